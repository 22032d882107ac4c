"""dense_update: the gradient of a dense layer's weights and the optimiser's step in one.

Contract in csrc/ops/dense_update/dense_update.h; the rules are those of the op update.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.errors import did_you_mean
from convkit.ops.apply import apply, as_operand, as_unsigned, same_dtype
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Step, define
from convkit.ops.rounding import Rounded
from convkit.ops.update import STATE, update_params
from convkit.ops.update_formulas import RULES

__all__ = ["OP", "dense_update", "limit_of"]

Rule = Callable[..., tuple[Any, ...]]


def _rows(a: Array) -> Array:
    return a.reshape(math.prod(a.shape[:-1]), a.shape[-1])


def _reference(rule: Rule) -> Rule:
    def reference(ctx: Context, dy: Array, x: Array, *state_and_w: Array | None) -> tuple[Any, ...]:
        with np.errstate(all="ignore"):
            dw = _rows(x).T @ _rows(dy)
        return rule(ctx, dw, *state_and_w)

    return reference


def _bound(rule: Rule) -> Rule:
    """What becomes of the gradient's error, that of a sum of products, on its way to the result."""

    def bound(ctx: Context, dy: Array, x: Array, *state_and_w: Array | None) -> tuple[Any, ...]:
        rows_dy, rows_x = _rows(dy), _rows(x)
        with np.errstate(all="ignore"):
            # Higham 2002, equation 3.5; as backward_weight of dense.
            error = (len(rows_x) + 1) * (np.abs(rows_x).T @ np.abs(rows_dy))
            dw = Rounded(rows_x.T @ rows_dy, error)
        results = rule(ctx, dw, *(None if a is None else Rounded(a) for a in state_and_w))
        return tuple(0.0 if r is None else r.error for r in results)

    return bound


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    dy, x, w = specs[0], specs[1], specs[-1]
    assert dy is not None and x is not None and w is not None
    if not dy.shape or dy.shape[:-1] != x.shape[:-1]:
        raise ValueError(
            f"[dense_update] dy and x must have the same leading axes, got dy {dy.shape} and x "
            f"{x.shape}"
        )
    c, k = x.shape[-1], dy.shape[-1]
    for spec in specs[2:]:
        if spec is not None and spec.shape != (c, k):
            raise ValueError(
                f"[dense_update] state and w must be of shape (C, K) = {(c, k)} for x {x.shape} "
                f"and dy {dy.shape}, got {spec.shape}"
            )
    return []


def _infer_velocity(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    if params.get("momentum") and specs[-2] is None:
        raise ValueError("[dense_update] momentum needs a velocity")
    return _infer(params, specs)


def _flops(params: Params, inputs: Sequence[Spec | None], outputs: Sequence[Spec | None]) -> int:
    dy, x = inputs[0], inputs[1]
    assert dy is not None and x is not None
    return 2 * dy.size * x.shape[-1]


OP = define(
    Op(
        "dense_update",
        tuple(
            Pass(
                name,
                ("dy", "x"),
                (),
                _reference(rule),
                _bound(rule),
                updates=(*STATE[name], "w"),
                infer=_infer_velocity if name == "sgd" or name == "rmsprop" else _infer,
                flops=_flops,
            )
            for name, rule in RULES.items()
        ),
    )
)


def limit_of(dtype: str, rows: int) -> float:
    """The largest number in x and dy from which no gradient can overflow, whatever the others.

    A sum of `rows` products of such numbers is at most a quarter of the largest number, which
    leaves room for its rounding.
    """
    return math.sqrt(float(np.finfo(dtype).max) / max(rows, 1)) / 2


def dense_update(
    rule: str,
    dy: ArrayLike,
    x: ArrayLike,
    w: ArrayLike,
    state: Mapping[str, ArrayLike] | None = None,
    *,
    learning_rate: float = 1e-3,
    step: int = 0,
    kernel: str | None = None,
    **options: Any,
) -> tuple[Array, dict[str, Array]]:
    """One step of an optimiser on the weights of a dense layer, without keeping their gradient.

    The same as the function of the rule (``ck.ops.sgd``, ``ck.ops.adam``, ...) with the gradient
    ``x^T dy``.

    Parameters
    ----------
    rule : str
        "sgd", "adagrad", "adadelta", "rmsprop", "adam", "nadam", "adamax" or "lion".
    dy : array_like of float32 or float64, shape (..., K)
        Gradient of the layer's output, before the activation.
    x : array_like, shape (..., C)
        The layer's input.
    w : array_like, shape (C, K)
        Weights; they stay as they are.
    state : mapping of str to array_like of shape (C, K), optional
        By its name in csrc/ops/update/update.h: such as "v" of sgd, which momentum needs, or "m"
        and "v" of adam. What a rule cannot do without begins with zeros; "largest" of adam,
        "mean" and "v" of rmsprop are used if they are given.
    learning_rate : float
    step : int
        Steps done before: 0 in the first one; below 2**62.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("dense_update", rule)``; by default one is chosen.
    **options
        Numbers of the rule, as its own function takes them: momentum, nesterov, beta1, beta2, rho,
        epsilon, weight_decay, decoupled, maximize, clip_value.

    Returns
    -------
    w : ndarray, shape (C, K)
        The new weights.
    state : dict of str to ndarray
        The new state.

    Raises
    ------
    TypeError
        If a dtype is neither float32 nor float64, the dtypes differ or an option is unknown.
    ValueError
        If the shapes do not fit together, a rule or a state is unknown or a number is out of its
        range.
    """
    if rule not in STATE:
        raise ValueError(f"[dense_update] unknown rule {rule!r}{did_you_mean(rule, STATE)}")
    params = update_params(**options)
    given = dict(state or {})
    names = {name.rstrip("?"): name.endswith("?") for name in STATE[rule]}
    for name in given:
        if name not in names:
            raise ValueError(
                f"[dense_update] {rule} has no state {name!r}{did_you_mean(name, names)}"
            )
    dya, xa = as_operand("dense_update", "dy", dy), as_operand("dense_update", "x", x)
    wa = as_operand("dense_update", "w", w).copy()
    held: dict[str, Array | None] = {}
    for name, optional in names.items():
        if name in given:
            held[name] = as_operand("dense_update", name, given[name]).copy()
        else:
            wanted = not optional or (name == "v" and bool(params["momentum"]))
            held[name] = np.zeros_like(wa) if wanted else None
    same_dtype("dense_update", dy=dya, x=xa, w=wa, **held)
    block = Step(
        step=as_unsigned("dense_update", "step", step, 62), learning_rate=float(learning_rate)
    )
    apply("dense_update", rule, [dya, xa, *held.values(), wa], params, kernel=kernel, step=block)
    return wa, {name: a for name, a in held.items() if a is not None}
