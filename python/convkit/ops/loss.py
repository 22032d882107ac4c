"""loss: one number per row, their total, and the gradient. Contract in csrc/ops/loss/loss.h."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from convkit import _core
from convkit.errors import did_you_mean
from convkit.ops.apply import apply
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, define
from convkit.ops.targets import as_predictions, as_targets, as_weight, check_targets, rows

__all__ = ["LOSSES", "OP", "loss", "loss_backward", "loss_params"]

LOSSES: tuple[str, ...] = tuple(_core.choices("loss", "kind"))
LABEL_LOSSES = frozenset({"softmax_cross_entropy", "cross_entropy"})  # over classes
CLIP = 1e-7


class Rows(NamedTuple):
    """The operands as matrices: p and the smoothed t (R, K), weight (R, 1)."""

    p: Array
    t: Array
    weight: Array


def _rows(ctx: Context, p: Array, t: Array, weight: Array | None) -> Rows:
    k = p.shape[-1]
    p = p.reshape(-1, k)
    if t.dtype.kind == "i":
        t = t.reshape(-1, 1) == np.arange(k)
    t = t.reshape(-1, k).astype(np.float64)
    s = ctx["label_smoothing"]
    if ctx["kind"] in LABEL_LOSSES:
        t = (1 - s) * t + s / k
    elif ctx["kind"] != "squared_error":
        t = (1 - s) * t + s / 2
    weight = np.ones(len(p)) if weight is None else weight
    return Rows(p, t, weight.reshape(-1, 1))


def _edges(ctx: Context) -> tuple[float, float]:
    """Ends of the clipped range, as numbers of the working dtype: in float32, 1 - 1e-7 becomes
    1 - 1.19e-7, and log(1 - p) there would otherwise differ by a hundredth.
    """
    dtype = np.dtype(_dtype(ctx))
    return float(dtype.type(CLIP)), float(dtype.type(1 - CLIP))


def _dtype(ctx: Context) -> str:
    """The working dtype."""
    return "float64" if ctx.out[0] is None else ctx.out[0].dtype


def _eps(ctx: Context) -> float:
    """Unit roundoff of the working dtype."""
    return float(np.finfo(_dtype(ctx)).eps) / 2


# Each kind: (row losses (R,), gradient of a row's loss with respect to p (R, K)), unweighted.


def _softmax_cross_entropy(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    z = p - p.max(axis=1, keepdims=True)
    e = np.exp(z)
    log_sum = np.log(e.sum(axis=1, keepdims=True))
    # A class without weight counts nothing, even at p = -inf; log_sum spreads the NaN of a row.
    terms = np.where(t == 0, 0 * log_sum, t * (log_sum - z))
    gradient = e / e.sum(axis=1, keepdims=True) * t.sum(axis=1, keepdims=True) - t
    return terms.sum(axis=1), gradient


def _cross_entropy(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    low, high = _edges(ctx)
    total = p.sum(axis=1, keepdims=True)
    q = p / total
    clipped = (q < low) | (q > high)
    losses = -(t * np.log(np.clip(q, low, high))).sum(axis=1)
    inside = np.where(clipped, 0, t).sum(axis=1, keepdims=True)
    return losses, (inside - np.where(clipped, 0, t / q)) / total


def _sigmoid_cross_entropy(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    e = np.exp(-np.abs(p))
    losses = np.maximum(p, 0) - p * t + np.log1p(e)
    sigmoid = np.where(p < 0, e, 1) / (1 + e)
    return losses.mean(axis=1), (sigmoid - t) / p.shape[1]


def _binary_cross_entropy(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    low, high = _edges(ctx)
    q = np.clip(p, low, high)
    losses = -(t * np.log(q) + (1 - t) * np.log(1 - q))
    clipped = (p < low) | (p > high)
    return losses.mean(axis=1), np.where(clipped, 0, (1 - t) / (1 - q) - t / q) / p.shape[1]


def _squared_error(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    return ((p - t) ** 2).mean(axis=1), 2 * (p - t) / p.shape[1]


_FORMULAS: dict[str, Callable[[Context, Array, Array], tuple[Array, Array]]] = {
    "softmax_cross_entropy": _softmax_cross_entropy,
    "cross_entropy": _cross_entropy,
    "sigmoid_cross_entropy": _sigmoid_cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
    "squared_error": _squared_error,
}


def _backward(
    ctx: Context, p: Array, t: Array, weight: Array | None = None
) -> tuple[Array, Array, Array]:
    r = _rows(ctx, p, t, weight)
    with np.errstate(all="ignore"):  # NaN and inf follow the formulas
        losses, gradient = _FORMULAS[ctx["kind"]](ctx, r.p, r.t)
        losses = losses * r.weight[:, 0]
        dp = ctx["scale"] * r.weight * gradient
        return losses, losses.sum(keepdims=True), dp.reshape(p.shape)


def _forward(ctx: Context, p: Array, t: Array, weight: Array | None = None) -> tuple[Array, Array]:
    return _backward(ctx, p, t, weight)[:2]


# Rounding bounds, first order, in units of eps. Elementary functions are stated to 3 ulp, so 6 eps;
# a smoothed t is within 4 |t| (1 - s, product, s/K, sum), a sum of K terms within K times the sum
# of their magnitudes. Each function returns (bound of the row losses, bound of the gradient).


def _softmax_cross_entropy_bound(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    k = p.shape[1]
    z = p - p.max(axis=1, keepdims=True)
    e = np.exp(z)
    total = e.sum(axis=1, keepdims=True)
    log_sum, s = np.log(total), e / total
    # exp(z) is wrong by 6 and by the rounding of z itself, which it multiplies by |z|.
    z = np.where(np.isinf(z), 0, np.abs(z))
    of_sum = k + 6 + (s * z).sum(axis=1, keepdims=True)
    each = of_sum + (k + 12) * log_sum + (k + 7) * z
    sum_t = t.sum(axis=1, keepdims=True)
    flushed = float(np.finfo(_dtype(ctx)).tiny) / _eps(ctx)  # where exp(z) is denormal
    gradient = sum_t * (s * (z + of_sum + k + 12) + 2 * flushed) + 6 * t
    return (t * each).sum(axis=1), gradient


def _cross_entropy_bound(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    k, eps = p.shape[1], _eps(ctx)
    low, high = _edges(ctx)
    total = p.sum(axis=1, keepdims=True)
    # The division by the sum multiplies its error by sum|p| / |sum p|: 1 for probabilities.
    of_q = k * np.abs(p).sum(axis=1, keepdims=True) / np.abs(total) + 2
    q = p / total
    log_q = np.abs(np.log(np.clip(q, low, high)))
    clipped = (q < low) | (q > high)
    inside = np.where(clipped, 0, t).sum(axis=1, keepdims=True)
    own = np.where(clipped, 0, t / np.abs(q))
    gradient = (inside * (k + of_q + 6) + own * (2 * of_q + 8)) / np.abs(total)
    # Where q lies on an edge within its own error, either side of the jump is right.
    near = np.minimum(np.abs(q - low), np.abs(q - high)) <= 2 * eps * (of_q * np.abs(q) + 1e-7)
    jump = np.where(near, t, 0).sum(axis=1, keepdims=True) + np.where(near, t / np.abs(q), 0)
    gradient = gradient + jump / np.abs(total) / eps
    return (t * (of_q + 4 + (k + 11) * log_q)).sum(axis=1), gradient


def _sigmoid_cross_entropy_bound(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    k = p.shape[1]
    e = np.exp(-np.abs(p))
    magnitude = np.maximum(p, 0) + np.abs(p) * t + np.log1p(e)
    sigmoid = np.where(p < 0, e, 1) / (1 + e)
    return (k + 20) * magnitude.mean(axis=1), (18 * sigmoid + 8 * t) / k


def _binary_cross_entropy_bound(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    k = p.shape[1]
    q = np.clip(p, *_edges(ctx))
    other = np.abs(1 - t) + t
    losses = t * np.abs(np.log(q)) + other * np.abs(np.log(1 - q))
    gradient = 12 * (other / (1 - q) + t / q)
    return ((k + 16) * losses + 2 * other).mean(axis=1), gradient / k


def _squared_error_bound(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    k, d = p.shape[1], np.abs(p - t)
    return (k + 6) * (d * d).mean(axis=1), 12 * d / k


_BOUNDS = {
    "softmax_cross_entropy": _softmax_cross_entropy_bound,
    "cross_entropy": _cross_entropy_bound,
    "sigmoid_cross_entropy": _sigmoid_cross_entropy_bound,
    "binary_cross_entropy": _binary_cross_entropy_bound,
    "squared_error": _squared_error_bound,
}


def _backward_bound(
    ctx: Context, p: Array, t: Array, weight: Array | None = None
) -> tuple[Any, Any, Any]:
    r = _rows(ctx, p, t, weight)
    # Only squared_error subtracts t before it multiplies: the others need its magnitude.
    magnitude = r.t if ctx["kind"] == "squared_error" else np.abs(r.t)
    weight = np.abs(r.weight)
    with np.errstate(all="ignore"):
        losses, gradient = _BOUNDS[ctx["kind"]](ctx, r.p, magnitude)
        exact = _FORMULAS[ctx["kind"]](ctx, r.p, r.t)
        losses = weight[:, 0] * (losses + np.abs(exact[0]))
        # The total is summed in float64, whatever the working dtype.
        in_total = len(r.p) * float(np.finfo(np.float64).eps) / 2 / _eps(ctx)
        total = losses.sum() + in_total * np.abs(weight[:, 0] * exact[0]).sum()
        dp = abs(ctx["scale"]) * weight * (gradient + 4 * np.abs(exact[1]))
    return losses, total, dp.reshape(p.shape)


def _forward_bound(
    ctx: Context, p: Array, t: Array, weight: Array | None = None
) -> tuple[Any, Any]:
    return _backward_bound(ctx, p, t, weight)[:2]


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    p, t, weight = specs
    assert p is not None and t is not None
    if params["kind"] not in LOSSES:
        known = did_you_mean(params["kind"], LOSSES)
        raise ValueError(f"[loss] unknown kind {params['kind']!r}{known}")
    check_targets("loss", p, t, weight, labels=params["kind"] in LABEL_LOSSES)
    return [Spec((rows(p),), p.dtype), Spec((1,), "float64")]


def _infer_backward(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    return [*_infer(params, specs), specs[0]]


OP = define(
    Op(
        "loss",
        (
            Pass(
                "forward",
                ("p", "t", "weight?"),
                ("loss", "total"),
                _forward,
                _forward_bound,
                infer=_infer,
            ),
            Pass(
                "backward",
                ("p", "t", "weight?"),
                ("loss", "total", "dp"),
                _backward,
                _backward_bound,
                infer=_infer_backward,
            ),
        ),
    )
)


def loss_params(
    kind: str, label_smoothing: float = 0.0, scale: float = 1.0
) -> dict[str, int | float | str]:
    """Parameters of the op, checked.

    Raises
    ------
    ValueError
        If the kind is unknown or the smoothing is not in 0..1 or not defined for the kind.
    """
    if kind not in LOSSES:
        raise ValueError(f"[loss] unknown kind {kind!r}{did_you_mean(kind, LOSSES)}")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"[loss] label_smoothing is {label_smoothing}, expected 0 to 1")
    if label_smoothing and kind == "squared_error":
        raise ValueError("[loss] squared_error has no label_smoothing")
    return {"kind": kind, "label_smoothing": float(label_smoothing), "scale": float(scale)}


def _operands(
    p: ArrayLike, t: ArrayLike, weight: ArrayLike | None, kind: str
) -> list[Array | None]:
    pa = as_predictions("loss", p)
    ta = as_targets("loss", t, pa, labels=kind in LABEL_LOSSES, values=True)
    return [pa, ta, as_weight("loss", weight, pa)]


def loss(
    p: ArrayLike,
    t: ArrayLike,
    kind: str,
    weight: ArrayLike | None = None,
    label_smoothing: float = 0.0,
    *,
    kernel: str | None = None,
) -> tuple[Array, float]:
    """Loss of each row, and their sum.

    Parameters
    ----------
    p : array_like of float32 or float64, shape (..., K)
        Predictions: logits for ``"softmax_cross_entropy"`` and ``"sigmoid_cross_entropy"``,
        probabilities for ``"cross_entropy"`` and ``"binary_cross_entropy"``, any values for
        ``"squared_error"``.
    t : array_like
        Targets of p's shape or, for ``"softmax_cross_entropy"`` and ``"cross_entropy"``, integer
        labels of shape (...,) or (..., 1).
    kind : str
    weight : array_like, shape (...,), optional
        Factor of each row's loss.
    label_smoothing : float
        Share of the target that is spread evenly over the classes.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("loss", "forward")``; by default the first that fits.

    Returns
    -------
    loss : ndarray, shape (...,)
    total : float

    Raises
    ------
    TypeError
        If p is neither float32 nor float64, or t or weight have another floating dtype.
    ValueError
        If the shapes do not fit together, the kind is unknown, or a label is outside 0..K-1.
    """
    params = loss_params(kind, label_smoothing)
    operands = _operands(p, t, weight, kind)
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
    kernel: str | None = None,
) -> tuple[Array, float, Array]:
    """Loss of each row, their sum, and the sum's gradient with respect to p.

    Parameters
    ----------
    p, t, kind, weight, label_smoothing
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
    params = loss_params(kind, label_smoothing, scale)
    operands = _operands(p, t, weight, kind)
    losses, total, dp = apply("loss", "backward", operands, params, kernel=kernel)
    return losses.reshape(dp.shape[:-1]), float(total[0]), dp
