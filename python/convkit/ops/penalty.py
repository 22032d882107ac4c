"""penalty: what regularisation adds to the loss. Contract in csrc/ops/penalty/penalty.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_operand
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, define

__all__ = ["OP", "penalty", "penalty_backward", "penalty_params"]


def _forward(ctx: Context, x: Array) -> tuple[Array]:
    total = np.zeros(1)
    with np.errstate(over="ignore", invalid="ignore"):
        if ctx["l1"]:  # 0 * inf would be NaN
            total = total + ctx["l1"] * np.abs(x).sum()
        if ctx["l2"]:
            total = total + ctx["l2"] * (x * x).sum()
        return (ctx["scale"] * total,)


def _derivative(ctx: Context, x: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        # The scale goes in before the sum: 0 of a scale that vanishes makes no NaN of infinity.
        slope = np.where(np.isnan(x), x, ctx["scale"] * ctx["l1"] * np.sign(x))
        return slope + 2 * ctx["scale"] * ctx["l2"] * x if ctx["scale"] * ctx["l2"] else slope


def _backward(ctx: Context, x: Array) -> tuple[Array, Array]:
    return (*_forward(ctx, x), _derivative(ctx, x))


def _accumulate(ctx: Context, x: Array, g: Array) -> tuple[Array, Array]:
    return g + _derivative(ctx, x), *_forward(ctx, x)


# The sums are in float64, whatever the working dtype; a sum of n terms of one sign is within n eps
# of itself (Higham 2002, section 4.2). Five more roundings: square, l1 or l2, their sum, scale.
def _total_bound(ctx: Context, x: Array) -> Array:
    share = float(np.finfo(np.float64).eps / np.finfo(ctx.dtype).eps)
    return (x.size + 5) * share * _finite(np.abs(_forward(ctx, x)[0]))


def _finite(bound: Any) -> Array:
    """Infinity and NaN are met exactly."""
    return np.nan_to_num(np.asarray(bound, np.float64), nan=0.0, posinf=0.0)


def _slope_bound(ctx: Context, x: Array) -> Array:
    l1, l2 = abs(ctx["scale"] * ctx["l1"]), abs(2 * ctx["scale"] * ctx["l2"])
    with np.errstate(over="ignore", invalid="ignore"):
        return _finite(2 * l1 * np.sign(x) ** 2 + (4 * l2 * np.abs(x) if l2 else 0.0))


def _forward_bound(ctx: Context, x: Array) -> tuple[Any]:
    return (_total_bound(ctx, x),)


def _backward_bound(ctx: Context, x: Array) -> tuple[Any, Any]:
    return _total_bound(ctx, x), _slope_bound(ctx, x)


def _accumulate_bound(ctx: Context, x: Array, g: Array) -> tuple[Any, Any]:
    with np.errstate(over="ignore", invalid="ignore"):
        sum_of_both = np.abs(g + _derivative(ctx, x))
        return _finite(sum_of_both) + 2 * _slope_bound(ctx, x), _total_bound(ctx, x)


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    return [Spec((1,), "float64")]


def _infer_backward(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    return [Spec((1,), "float64"), specs[0]]


def _infer_accumulate(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    if specs[0] != specs[1]:
        raise ValueError(f"[penalty] x and its gradient differ: {specs[0]} and {specs[1]}")
    return [Spec((1,), "float64")]


OP = define(
    Op(
        "penalty",
        (
            Pass("forward", ("x",), ("total",), _forward, _forward_bound, infer=_infer),
            Pass(
                "backward",
                ("x",),
                ("total", "dx"),
                _backward,
                _backward_bound,
                infer=_infer_backward,
            ),
            Pass(
                "accumulate",
                ("x",),
                ("total",),
                _accumulate,
                _accumulate_bound,
                updates=("g",),
                infer=_infer_accumulate,
            ),
        ),
    )
)


def penalty_params(
    l1: float = 0.0, l2: float = 0.0, scale: float = 1.0
) -> dict[str, int | float | str]:
    """Parameters of the op, checked.

    Raises
    ------
    ValueError
        If a factor is negative or not finite.
    """
    for name, value in (("l1", l1), ("l2", l2), ("scale", scale)):
        if not 0 <= value < np.inf:
            raise ValueError(f"[penalty] {name} is {value}, expected a number of at least 0")
    return {"l1": float(l1), "l2": float(l2), "scale": float(scale)}


def penalty(
    x: ArrayLike,
    l1: float = 0.0,
    l2: float = 0.0,
    scale: float = 1.0,
    *,
    kernel: str | None = None,
) -> float:
    """What regularisation adds to the loss: ``scale * (l1 * sum |x| + l2 * sum x^2)``.

    Parameters
    ----------
    x : array_like of float32 or float64
    l1, l2, scale : float
        At least 0.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("penalty")``; by default one is chosen.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If the dtype is neither float32 nor float64.
    ValueError
        If a factor is negative.
    """
    xa = as_operand("penalty", "x", x)
    params = penalty_params(l1, l2, scale)
    return float(apply("penalty", "forward", [xa], params, kernel=kernel)[0][0])


def penalty_backward(
    x: ArrayLike,
    l1: float = 0.0,
    l2: float = 0.0,
    scale: float = 1.0,
    *,
    kernel: str | None = None,
) -> tuple[float, Array]:
    """The penalty and its gradient, ``scale * (l1 * sign(x) + 2 * l2 * x)``; sign(0) is 0.

    Parameters
    ----------
    x, l1, l2, scale, kernel
        As `penalty`.

    Returns
    -------
    total : float
    dx : ndarray of x's shape

    Raises
    ------
    TypeError, ValueError
        As `penalty`.
    """
    xa = as_operand("penalty", "x", x)
    params = penalty_params(l1, l2, scale)
    total, dx = apply("penalty", "backward", [xa], params, kernel=kernel)
    return float(total[0]), dx
