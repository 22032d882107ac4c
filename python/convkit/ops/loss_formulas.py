"""The formulas of loss in NumPy: the reference. Contract in csrc/ops/loss/loss.h."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from convkit import _core
from convkit.ops.registry import Array, Context

LOSSES: tuple[str, ...] = tuple(_core.choices("loss", "kind"))
FOCAL_LABEL_LOSSES = frozenset({"softmax_focal_cross_entropy", "focal_cross_entropy"})
LABEL_LOSSES = frozenset({"softmax_cross_entropy", "cross_entropy"}) | FOCAL_LABEL_LOSSES
FOCAL_BINARY_LOSSES = frozenset({"sigmoid_focal_cross_entropy", "binary_focal_cross_entropy"})
FOCAL_LOSSES = FOCAL_LABEL_LOSSES | FOCAL_BINARY_LOSSES
BINARY_LOSSES = frozenset({"sigmoid_cross_entropy", "binary_cross_entropy"}) | FOCAL_BINARY_LOSSES
SMOOTHED = LABEL_LOSSES | BINARY_LOSSES  # those with label smoothing
WHOLE_ROWS = LABEL_LOSSES | {"categorical_hinge", "cosine_similarity"}  # the others are means
ROOT = "root_mean_squared_error"
CLIP = 1e-7


class Rows(NamedTuple):
    """The operands as matrices: p and the smoothed t times alpha (R, K), weight (R, 1)."""

    p: Array
    t: Array
    weight: Array


def as_rows(ctx: Context, p: Array, t: Array, weight: Array | None, alpha: Array | None) -> Rows:
    """Labels made one-hot, targets smoothed, and a weight of 1 where there is none."""
    k = p.shape[-1]
    p = p.reshape(-1, k)
    if t.dtype.kind == "i":
        t = t.reshape(-1, 1) == np.arange(k)
    t = t.reshape(-1, k).astype(np.float64)
    s = ctx["label_smoothing"]
    if ctx["kind"] in LABEL_LOSSES:
        t = (1 - s) * t + s / k
    elif ctx["kind"] in BINARY_LOSSES:
        t = (1 - s) * t + s / 2
    if ctx["kind"] in FOCAL_LABEL_LOSSES:
        t = t * (ctx["alpha"] if alpha is None else alpha)
    weight = np.ones(len(p)) if weight is None else weight
    return Rows(p, t, weight.reshape(-1, 1))


def dtype_of(ctx: Context) -> str:
    """The working dtype."""
    return "float64" if ctx.out[0] is None else ctx.out[0].dtype


def edges(ctx: Context) -> tuple[float, float]:
    """Ends of the clipped range, as numbers of the working dtype: in float32, 1 - 1e-7 becomes
    1 - 1.19e-7, and log(1 - p) there would otherwise differ by a hundredth.
    """
    dtype = np.dtype(dtype_of(ctx))
    return float(dtype.type(CLIP)), float(dtype.type(1 - CLIP))


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
    low, high = edges(ctx)
    total = p.sum(axis=1, keepdims=True)
    q = p / total
    clipped = (q < low) | (q > high)
    losses = -(t * np.log(np.clip(q, low, high))).sum(axis=1)
    inside = np.where(clipped, 0, t).sum(axis=1, keepdims=True)
    return losses, (inside - np.where(clipped, 0, t / q)) / total


class Focal(NamedTuple):
    """Of each class (R, K): q; power = (1-q)^gamma; entropy = -log q; ratio = entropy / (1-q).

    The loss of a class is power * entropy; slope is -q d/dq of it.
    """

    q: Array
    other: Array
    power: Array
    entropy: Array
    ratio: Array
    slope: Array


def focal(q: Array, other: Array, entropy: Array, gamma: float) -> Focal:
    """Of probabilities q; `other` is 1 - q, perhaps known more exactly than by that difference."""
    ratio = np.where(other > 0, entropy / other, 1)
    power = other**gamma
    return Focal(q, other, power, entropy, ratio, power * (1 + gamma * q * ratio))


def focal_of_logits(ctx: Context, p: Array) -> Focal:
    """Of the softmax of logits."""
    z = p - p.max(axis=1, keepdims=True)
    e, top = np.exp(z), z == 0
    # The sum without one largest term, which is 1: then 1 - q of a sure class does not cancel.
    rest = np.where(top, 0, e).sum(axis=1, keepdims=True) + (top.sum(axis=1, keepdims=True) - 1)
    rest = rest + 0 * z.max(axis=1, keepdims=True)  # NaN in a row of NaN
    total = 1 + rest
    other = np.where(top, rest, total - e) / total
    return focal(e / total, other, np.log1p(rest) - z, ctx["gamma"])


def _softmax_focal_cross_entropy(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    f = focal_of_logits(ctx, p)
    nothing = 0 * f.q.sum(axis=1, keepdims=True)
    slopes = np.where(t == 0, 0, t * f.slope)
    losses = np.where(t == 0, nothing, t * f.power * f.entropy).sum(axis=1)
    return losses, f.q * slopes.sum(axis=1, keepdims=True) - slopes


def _focal_cross_entropy(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    low, high = edges(ctx)
    total = p.sum(axis=1, keepdims=True)
    q = np.clip(p / total, low, high)
    f = focal(q, 1 - q, -np.log(q), ctx["gamma"])
    slopes = np.where((p / total < low) | (p / total > high), 0, t * f.slope)
    losses = (t * f.power * f.entropy).sum(axis=1)
    return losses, (slopes.sum(axis=1, keepdims=True) - slopes / q) / total


def _categorical_hinge(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    others = (1 - t) * p
    largest = others.max(axis=1, keepdims=True)
    margin = largest - (t * p).sum(axis=1, keepdims=True) + 1
    ties = others == largest
    share = np.where(ties, (1 - t) / ties.sum(axis=1, keepdims=True), 0)
    gradient = np.where(margin > 0, share - t, np.where(np.isnan(margin), margin, 0))
    return np.maximum(margin, 0)[:, 0], gradient


def _cosine_similarity(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    least = edges(ctx)[0]
    p_norm = np.sqrt((p * p).sum(axis=1, keepdims=True))
    t_norm = np.maximum(np.sqrt((t * t).sum(axis=1, keepdims=True)), least)
    norm = np.maximum(p_norm, least)
    cosine = (p * t).sum(axis=1, keepdims=True) / (norm * t_norm)
    back = np.where(p_norm < least, 0, cosine / norm**2)
    return -cosine[:, 0], back * p - t / (norm * t_norm)


# Means: f(p, t) and df/dp, both (R, K).


def _sigmoid_cross_entropy(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    e = np.exp(-np.abs(p))
    sigmoid = np.where(p < 0, e, 1) / (1 + e)
    return np.maximum(p, 0) - p * t + np.log1p(e), sigmoid - t


def _binary_cross_entropy(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    low, high = edges(ctx)
    q = np.clip(p, low, high)
    losses = -(t * np.log(q) + (1 - t) * np.log(1 - q))
    clipped = (p < low) | (p > high)
    return losses, np.where(clipped, 0, (1 - t) / (1 - q) - t / q)


def balance(ctx: Context, t: Array) -> Array:
    """Weight of t in a binary focal loss."""
    if not ctx["balanced"]:
        return np.ones_like(t)
    return np.asarray(t * ctx["alpha"] + (1 - t) * (1 - ctx["alpha"]))


def _sigmoid_focal_cross_entropy(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    entropy, slope = _sigmoid_cross_entropy(ctx, p, t)
    e = np.exp(-np.abs(p))
    q, other = np.where(p < 0, e, 1) / (1 + e), np.where(p < 0, 1, e) / (1 + e)
    u = t * other + (1 - t) * q
    factor = balance(ctx, t) * u ** ctx["gamma"]
    inner = np.where(u > 0, q * other / u, 0)  # of d log u / dp = (1 - 2t) q (1 - q) / u
    return factor * entropy, factor * (slope + ctx["gamma"] * inner * (1 - 2 * t) * entropy)


def _binary_focal_cross_entropy(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    low, high = edges(ctx)
    q = np.clip(p, low, high)
    entropy, slope = _binary_cross_entropy(ctx, q, t)
    u = t * (1 - q) + (1 - t) * q
    factor = balance(ctx, t) * u ** ctx["gamma"]
    gradient = factor * (slope + ctx["gamma"] * (1 - 2 * t) / u * entropy)
    return factor * entropy, np.where((p < low) | (p > high), 0, gradient)


def _squared_error(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    return (p - t) ** 2, 2 * (p - t)


def _absolute_error(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    return np.abs(p - t), np.sign(p - t)


def _absolute_percentage_error(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    percent = 100 / np.maximum(np.abs(t), edges(ctx)[0])
    return percent * np.abs(p - t), percent * np.sign(p - t)


def _squared_logarithmic_error(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    least = edges(ctx)[0]
    d = np.log1p(np.maximum(p, least)) - np.log1p(np.maximum(t, least))
    return d**2, np.where(p < least, 0, 2 * d / (1 + p))


def _huber(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    d, delta = p - t, ctx["delta"]
    far = delta * (np.abs(d) - delta / 2)
    return np.where(np.abs(d) <= delta, d**2 / 2, far), np.clip(d, -delta, delta)


def _log_cosh(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    d = np.abs(p - t)
    near = np.log1p(2 * np.sinh(np.minimum(d, 1) / 2) ** 2)  # cosh d = 1 + 2 sinh^2(d/2)
    far = d - np.log(2) + np.log1p(np.exp(-2 * d))
    return np.where(d < 1, near, far), np.tanh(p - t)


def _poisson(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    rate = p + edges(ctx)[0]
    return p - t * np.log(rate), 1 - t / rate


def _kl_divergence(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    least = edges(ctx)[0]
    q, t = np.clip(p, least, 1), np.clip(t, least, 1)
    return t * np.log(t / q), np.where((p < least) | (p > 1), 0, -t / q)


def _hinge(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    margin = 1 - t * p
    slope = np.where(margin > 0, -t, np.where(np.isnan(margin), margin, 0))
    return np.maximum(margin, 0), slope


def _squared_hinge(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    h = np.maximum(1 - t * p, 0)
    return h**2, -2 * t * h


FORMULAS: dict[str, Callable[[Context, Array, Array], tuple[Array, Array]]] = {
    "softmax_cross_entropy": _softmax_cross_entropy,
    "cross_entropy": _cross_entropy,
    "sigmoid_cross_entropy": _sigmoid_cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
    "squared_error": _squared_error,
    "softmax_focal_cross_entropy": _softmax_focal_cross_entropy,
    "focal_cross_entropy": _focal_cross_entropy,
    "sigmoid_focal_cross_entropy": _sigmoid_focal_cross_entropy,
    "binary_focal_cross_entropy": _binary_focal_cross_entropy,
    "root_mean_squared_error": _squared_error,  # whose root `reference` takes
    "absolute_error": _absolute_error,
    "absolute_percentage_error": _absolute_percentage_error,
    "squared_logarithmic_error": _squared_logarithmic_error,
    "huber": _huber,
    "log_cosh": _log_cosh,
    "poisson": _poisson,
    "kl_divergence": _kl_divergence,
    "hinge": _hinge,
    "squared_hinge": _squared_hinge,
    "categorical_hinge": _categorical_hinge,
    "cosine_similarity": _cosine_similarity,
}


def divisor(ctx: Context, p: Array) -> float:
    """What the sum over a row is divided by in the kinds that are means."""
    return float(ctx["divisor"] or p.shape[1])


def row_losses(ctx: Context, p: Array, t: Array) -> tuple[Array, Array]:
    """Loss of each row (R,) and its gradient (R, K), unweighted; of squared errors for the root."""
    losses, gradient = FORMULAS[ctx["kind"]](ctx, p, t)
    if ctx["kind"] in WHOLE_ROWS:
        return losses, gradient
    by = divisor(ctx, p)
    return losses.sum(axis=1) / by, gradient / by


def root_of(losses: Array) -> tuple[float, float]:
    """Root of the mean of the rows' weighted squared errors, and d root / d mean (0 at 0)."""
    root = float(np.sqrt(losses.mean())) if losses.size else 0.0
    return root, 0.0 if root == 0 else 0.5 / root


def reference(
    ctx: Context, p: Array, t: Array, weight: Array | None = None, alpha: Array | None = None
) -> tuple[Array, Array, Array]:
    """The pass "backward"."""
    r = as_rows(ctx, p, t, weight, alpha)
    with np.errstate(all="ignore"):  # NaN and inf follow the formulas
        losses, gradient = row_losses(ctx, r.p, r.t)
        losses = losses * r.weight[:, 0]
        dp = ctx["scale"] * r.weight * gradient
        if ctx["kind"] == ROOT:
            root, slope = root_of(losses)
            losses, dp = np.full(len(losses), root), dp * slope
        return losses, losses.sum(keepdims=True), dp.reshape(p.shape)
