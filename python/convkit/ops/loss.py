"""loss: one number per row, their total, and the gradient. Contract in csrc/ops/loss/loss.h."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.errors import did_you_mean
from convkit.ops.apply import apply, as_operand
from convkit.ops.loss_bounds import bound
from convkit.ops.loss_formulas import (
    FOCAL_BINARY_LOSSES,
    FOCAL_LABEL_LOSSES,
    FOCAL_LOSSES,
    LABEL_LOSSES,
    LOSSES,
    SMOOTHED,
    WHOLE_ROWS,
    reference,
)
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, define
from convkit.ops.targets import as_predictions, as_targets, as_weight, check_targets, rows

__all__ = ["LABEL_LOSSES", "LOSSES", "OP", "loss", "loss_backward", "loss_params"]


def _forward(ctx: Context, *operands: Array | None) -> tuple[Array, Array]:
    return reference(ctx, *operands)[:2]  # type: ignore[arg-type]


def _forward_bound(ctx: Context, *operands: Array | None) -> tuple[Any, Any]:
    return bound(ctx, *operands)[:2]  # type: ignore[arg-type]


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    p, t, weight, alpha = specs
    assert p is not None and t is not None
    kind = str(params["kind"])
    if kind not in LOSSES:
        raise ValueError(f"[loss] unknown kind {kind!r}{did_you_mean(kind, LOSSES)}")
    check_targets("loss", p, t, weight, labels=kind in LABEL_LOSSES)
    if alpha is not None:
        _check_alpha(kind, p, alpha)
    return [Spec((rows(p),), p.dtype), Spec((1,), "float64")]


def _check_alpha(kind: str, p: Spec, alpha: Spec) -> None:
    if kind not in FOCAL_LABEL_LOSSES:
        raise ValueError(
            f"[loss] {kind} takes no alpha for each class; the kinds that do are "
            + ", ".join(sorted(FOCAL_LABEL_LOSSES))
        )
    if alpha.shape != p.shape[-1:] or alpha.dtype != p.dtype:
        raise ValueError(
            f"[loss] alpha is {alpha.dtype}{alpha.shape}, expected {p.dtype} of shape "
            f"{p.shape[-1:]}: one number for each class of p, which is {p.shape}"
        )


def _infer_backward(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    return [*_infer(params, specs), specs[0]]


_INPUTS = ("p", "t", "weight?", "alpha?")
OP = define(
    Op(
        "loss",
        (
            Pass("forward", _INPUTS, ("loss", "total"), _forward, _forward_bound, infer=_infer),
            Pass(
                "backward",
                _INPUTS,
                ("loss", "total", "dp"),
                reference,
                bound,
                infer=_infer_backward,
            ),
        ),
    )
)


def loss_params(
    kind: str,
    label_smoothing: float = 0.0,
    scale: float = 1.0,
    *,
    divisor: float | None = None,
    gamma: float | None = None,
    alpha: float | None = None,
    balanced: bool = False,
    delta: float | None = None,
) -> dict[str, int | float | str]:
    """Parameters of the op, checked.

    Raises
    ------
    ValueError
        If the kind is unknown, or a parameter is out of range or not one of the kind.
    """
    if kind not in LOSSES:
        raise ValueError(f"[loss] unknown kind {kind!r}{did_you_mean(kind, LOSSES)}")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"[loss] label_smoothing is {label_smoothing}, expected 0 to 1")
    for name, given, kinds in (
        ("label_smoothing", label_smoothing or None, SMOOTHED),
        ("divisor", divisor, frozenset(LOSSES) - WHOLE_ROWS),
        ("gamma", gamma, FOCAL_LOSSES),
        ("alpha", alpha, FOCAL_LOSSES),
        ("balanced", balanced or None, FOCAL_BINARY_LOSSES),
        ("delta", delta, {"huber"}),
    ):
        if given is not None and kind not in kinds:
            raise ValueError(f"[loss] {kind} has no {name}")
    if gamma is not None and not (math.isfinite(gamma) and gamma >= 0):
        raise ValueError(f"[loss] gamma is {gamma}, expected a number from 0")
    if alpha is not None and not (math.isfinite(alpha) and alpha >= 0):
        raise ValueError(f"[loss] alpha is {alpha}, expected a number from 0")
    for name, given in (("delta", delta), ("divisor", divisor)):
        if given is not None and not (math.isfinite(given) and given > 0):
            raise ValueError(f"[loss] {name} is {given}, expected a number above 0")
    if divisor is None:
        divisor = 1.0 if kind == "kl_divergence" else 0.0  # 0: the number of outputs
    focal = kind in FOCAL_LOSSES
    return {
        "kind": kind,
        "label_smoothing": float(label_smoothing),
        "scale": float(scale),
        "divisor": float(divisor),
        "gamma": float(gamma if gamma is not None else 2.0 if focal else 0.0),
        "alpha": float(1.0 if alpha is None else alpha),
        "balanced": int(balanced),
        "delta": float(1.0 if delta is None else delta),
    }


def _prepare(
    p: ArrayLike,
    t: ArrayLike,
    kind: str,
    weight: ArrayLike | None,
    label_smoothing: float,
    scale: float,
    alpha: ArrayLike | None,
    options: dict[str, Any],
) -> tuple[list[Array | None], dict[str, int | float | str]]:
    """Operands and parameters of a call."""
    one = alpha is None or np.ndim(alpha) == 0
    number = float(alpha) if alpha is not None and one else None  # type: ignore[arg-type]
    params = loss_params(kind, label_smoothing, scale, alpha=number, **options)
    pa = as_predictions("loss", p)
    ta = as_targets("loss", t, pa, labels=kind in LABEL_LOSSES, values=True)
    each = None
    if not one:
        each = as_operand("loss", "alpha", np.asarray(alpha).astype(pa.dtype), (pa.dtype.name,))
        _check_alpha(kind, Spec(pa.shape, pa.dtype.name), Spec(each.shape, pa.dtype.name))
        if not (np.isfinite(each) & (each >= 0)).all():
            raise ValueError(f"[loss] alpha is {each.tolist()}, expected numbers from 0")
    return [pa, ta, as_weight("loss", weight, pa), each], params


def loss(
    p: ArrayLike,
    t: ArrayLike,
    kind: str,
    weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    *,
    divisor: float | None = None,
    gamma: float | None = None,
    alpha: ArrayLike | None = None,
    balanced: bool = False,
    delta: float | None = None,
    kernel: str | None = None,
) -> tuple[Array, float]:
    """Loss of each row, and their sum.

    Parameters
    ----------
    p : array_like of float32 or float64, shape (..., K)
        Predictions: logits for the kinds that begin with ``"softmax_"`` and ``"sigmoid_"``,
        probabilities for the other cross-entropies, any values for the rest.
    t : array_like
        Targets of p's shape or, for cross-entropies over classes, integer labels of shape (...,) or
        (..., 1). The hinge losses expect -1 and 1, the categorical one 0 and 1.
    kind : str
        One of the formulas of csrc/ops/loss/loss.h.
    weight : array_like, shape (...,), optional
        Factor of each row's loss.
    label_smoothing : float
        Share of the target that is spread evenly over the classes; of cross-entropies only.
    divisor : float, optional
        Of the sum over a row, in the kinds that are means; by default K (1 for
        ``"kl_divergence"``). 1 gives the sum and 2 half of it.
    gamma : float, optional
        Exponent of the focal kinds (Lin et al. 2017, equation 5); 2 by default.
    alpha : float or array_like of shape (K,), optional
        Factor of the focal kinds, 1 by default: over classes, of all or of each.
    balanced : bool
        Whether a binary focal loss counts targets of 1 with alpha and those of 0 with 1 - alpha.
    delta : float, optional
        Where ``"huber"`` becomes linear; 1 by default.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("loss", "forward")``; by default one is chosen.

    Returns
    -------
    loss : ndarray, shape (...,)
    total : float

    Raises
    ------
    TypeError
        If p is neither float32 nor float64, or t or weight have another floating dtype.
    ValueError
        If the shapes do not fit together, the kind is unknown, a parameter is not one of the kind,
        or a label is outside 0..K-1.
    """
    options = {"divisor": divisor, "gamma": gamma, "balanced": balanced, "delta": delta}
    operands, params = _prepare(p, t, kind, weight, label_smoothing, 1.0, alpha, options)
    losses, total = apply("loss", "forward", operands, params, kernel=kernel)
    assert operands[0] is not None
    return losses.reshape(operands[0].shape[:-1]), float(total[0])


def loss_backward(
    p: ArrayLike,
    t: ArrayLike,
    kind: str,
    weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    scale: float = 1.0,
    *,
    divisor: float | None = None,
    gamma: float | None = None,
    alpha: ArrayLike | None = None,
    balanced: bool = False,
    delta: float | None = None,
    kernel: str | None = None,
) -> tuple[Array, float, Array]:
    """Loss of each row, their sum, and the sum's gradient with respect to p.

    Parameters
    ----------
    p, t, kind, weight, label_smoothing, divisor, gamma, alpha, balanced, delta
        As `loss`.
    scale : float
        Factor of the gradient: 1/R for that of the mean.
    kernel : str, optional

    Returns
    -------
    loss : ndarray, shape (...,)
    total : float
    dp : ndarray of p's shape

    Raises
    ------
    TypeError, ValueError
        As `loss`.
    """
    options = {"divisor": divisor, "gamma": gamma, "balanced": balanced, "delta": delta}
    operands, params = _prepare(p, t, kind, weight, label_smoothing, scale, alpha, options)
    losses, total, dp = apply("loss", "backward", operands, params, kernel=kernel)
    return losses.reshape(dp.shape[:-1]), float(total[0]), dp
