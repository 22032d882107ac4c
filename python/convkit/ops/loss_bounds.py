"""Rounding bounds of loss, first order, in units of eps, the unit roundoff of the working dtype.

Elementary functions are stated to 3 ulp, so 6 eps; a smoothed t is within 4 |t| (1 - s, product,
s/K, sum), a sum of K terms within K times the sum of their magnitudes. Each function returns (bound
of the row losses, bound of the gradient); those of means do so for f(p, t), (R, K) both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from convkit.ops.loss_formulas import (
    FORMULAS,
    ROOT,
    SMOOTHED,
    WHOLE_ROWS,
    Focal,
    as_rows,
    balance,
    divisor,
    dtype_of,
    edges,
    focal,
    focal_of_logits,
    root_of,
    row_losses,
)
from convkit.ops.registry import Array, Context

Bounds = tuple[Array, Array]


def _eps(ctx: Context) -> float:
    """Unit roundoff of the working dtype."""
    return float(np.finfo(dtype_of(ctx)).eps) / 2


def _flushed(ctx: Context) -> float:
    """The smallest normal number, in units of eps: what is lost where a value is denormal."""
    return float(np.finfo(dtype_of(ctx)).tiny) / _eps(ctx)


def _total(a: Array) -> Array:
    return np.asarray(a.sum(axis=1, keepdims=True))


def _softmax_cross_entropy(ctx: Context, p: Array, t: Array) -> Bounds:
    k = p.shape[1]
    z = p - p.max(axis=1, keepdims=True)
    e = np.exp(z)
    total = _total(e)
    log_sum, s = np.log(total), e / total
    # exp(z) is wrong by 6 and by the rounding of z itself, which it multiplies by |z|.
    z = np.where(np.isinf(z), 0, np.abs(z))
    of_sum = k + 6 + _total(s * z)
    each = of_sum + (k + 12) * log_sum + (k + 7) * z
    gradient = _total(t) * (s * (z + of_sum + k + 12) + 2 * _flushed(ctx)) + 6 * t
    return (t * each).sum(axis=1), gradient


def _cross_entropy(ctx: Context, p: Array, t: Array) -> Bounds:
    k, eps = p.shape[1], _eps(ctx)
    low, high = edges(ctx)
    total = _total(p)
    # The division by the sum multiplies its error by sum|p| / |sum p|: 1 for probabilities.
    of_q = k * _total(np.abs(p)) / np.abs(total) + 2
    q = p / total
    log_q = np.abs(np.log(np.clip(q, low, high)))
    clipped = (q < low) | (q > high)
    inside = _total(np.where(clipped, 0, t))
    own = np.where(clipped, 0, t / np.abs(q))
    gradient = (inside * (k + of_q + 6) + own * (2 * of_q + 8)) / np.abs(total)
    # Where q lies on an edge within its own error, either side of the jump is right.
    near = np.minimum(np.abs(q - low), np.abs(q - high)) <= 2 * eps * (of_q * np.abs(q) + 1e-7)
    jump = _total(np.where(near, t, 0)) + np.where(near, t / np.abs(q), 0)
    gradient = gradient + jump / np.abs(total) / eps
    return (t * (of_q + 4 + (k + 11) * log_q)).sum(axis=1), gradient


def _of_power(ctx: Context, u: Array, error: Array) -> Array:
    """Bound of u^gamma, for a u within `error`: near 0 the slope may be infinite, so both ends."""
    eps, gamma = _eps(ctx), ctx["gamma"]
    error = error + _flushed(ctx)
    exact, high, low = u**gamma, (u + eps * error) ** gamma, np.maximum(u - eps * error, 0) ** gamma
    spread = np.maximum(high - exact, exact - low) / eps
    exponent = gamma * np.abs(np.log(np.maximum(u, np.finfo(dtype_of(ctx)).tiny)))
    return np.asarray(spread + exact * (8 * exponent + 6))


def _focal(
    ctx: Context, f: Focal, t: Array, of_other: Array, of_entropy: Array, of_ratio: Array
) -> tuple[Array, Array]:
    """Bounds of the row losses and of each class's t * slope, from those of the parts."""
    k, gamma = f.q.shape[1], ctx["gamma"]
    of_power = _of_power(ctx, f.other, of_other)
    each = of_power * f.entropy + f.power * (of_entropy + (k + 8) * f.entropy)
    inner = gamma * f.q * f.ratio
    slopes = of_power * (1 + inner) + f.power * (gamma * of_ratio + 4 * inner) + 10 * f.slope
    return np.where(t == 0, 0, t * each).sum(axis=1), np.where(t == 0, 0, t * slopes)


def _softmax_focal(ctx: Context, p: Array, t: Array) -> Bounds:
    k, flushed = p.shape[1], p.shape[1] * _flushed(ctx)
    f = focal_of_logits(ctx, p)
    z = p - p.max(axis=1, keepdims=True)
    e, top = np.exp(z), z == 0
    z = np.where(np.isinf(z), 0, np.abs(z))
    rest = _total(np.where(top, 0, e)) + (_total(top) - 1)
    # All in units of the value itself: rest is a sum of positive terms, as in softmax.
    of_rest = k + 6 + _total(e * z) / np.maximum(rest, np.finfo(np.float64).tiny)
    of_q = 8 + z + of_rest * rest / (1 + rest)
    of_other = np.where(top, f.other * (2 * of_rest + 4), 2 * of_q + f.q * (6 + z) + 2) + flushed
    of_entropy = 6 * np.log1p(rest) + of_rest * rest / (1 + rest) + z + f.entropy
    with np.errstate(all="ignore"):
        relative = of_entropy / f.entropy + of_other / f.other + 1
        relative = np.minimum(np.where(np.isnan(relative), np.inf, relative), 1 / _eps(ctx))
    of_ratio = f.q * f.ratio * (of_q + relative)
    losses, own = _focal(ctx, f, t, of_other, of_entropy, of_ratio)
    total = _total(np.where(t == 0, 0, t * f.slope))
    gradient = f.q * (_total(own) + total * (k + of_q + 6)) + 2 * flushed * total + own
    return losses, gradient


def _focal_cross_entropy(ctx: Context, p: Array, t: Array) -> Bounds:
    k, eps = p.shape[1], _eps(ctx)
    low, high = edges(ctx)
    total = _total(p)
    of_q = k * _total(np.abs(p)) / np.abs(total) + 2
    given = p / total
    q = np.clip(given, low, high)
    f = focal(q, 1 - q, -np.log(q), ctx["gamma"])
    # entropy / (1-q) has a small slope, -1/q at most: that both come from the same q cancels.
    of_ratio = 16 * q * f.ratio + of_q * q * (1 + f.ratio)
    losses, own = _focal(ctx, f, t, of_q * q + f.other, of_q + 6 * f.entropy + 2, of_ratio)
    clipped = (given < low) | (given > high)
    slopes = np.where(clipped, 0, t * f.slope)
    own = np.where(clipped, 0, own)
    gradient = _total(own) + _total(slopes) * (k + of_q + 6) + (own + slopes * (2 * of_q + 8)) / q
    near = np.abs(given - low) <= 2 * eps * (of_q * np.abs(given) + 1e-7)
    near |= np.abs(given - high) <= 2 * eps * (of_q * np.abs(given) + 1e-7)
    jumps = np.where(near, t * f.slope, 0)
    gradient = gradient + (_total(jumps) + jumps / q) / eps
    return losses, gradient / np.abs(total)


def _categorical_hinge(ctx: Context, p: Array, t: Array) -> Bounds:
    k, eps = p.shape[1], _eps(ctx)
    others, own = (1 - t) * p, _total(np.abs(t * p))
    largest = others.max(axis=1, keepdims=True)
    of_others = 3 * np.abs(others).max(axis=1, keepdims=True)
    of_margin = of_others + (k + 3) * own + 3 * (np.abs(largest) + 1)
    margin = largest - _total(t * p) + 1
    gradient = 3 * (np.abs(t) + np.abs(1 - t))
    # Where the margin is 0, or where others tie with the largest, within their errors.
    near = (others < largest) & (others >= largest - 4 * eps * of_others)
    tied = near.any(axis=1, keepdims=True) & (near | (others == largest))
    jump = np.where(np.abs(margin) <= 2 * eps * of_margin, np.abs(t) + np.abs(1 - t), 0)
    jump = jump + np.where(tied, np.abs(1 - t), 0)
    return of_margin[:, 0], gradient + jump / eps


def _cosine_similarity(ctx: Context, p: Array, t: Array) -> Bounds:
    k, least = p.shape[1], edges(ctx)[0]
    p_norm = np.sqrt(_total(p * p))
    norm, t_norm = np.maximum(p_norm, least), np.maximum(np.sqrt(_total(t * t)), least)
    cosine = np.abs(_total(p * t)) / (norm * t_norm)
    of_cosine = (k + 2) * _total(np.abs(p * t)) / (norm * t_norm) + (k + 8) * cosine
    back = np.where(p_norm < least, 0, 1 / norm**2)
    gradient = (of_cosine + (k + 10) * cosine) * back * np.abs(p)
    return of_cosine[:, 0], gradient + (k + 8) * np.abs(t) / (norm * t_norm)


# ---- means


def _sigmoid_cross_entropy(ctx: Context, p: Array, t: Array) -> Bounds:
    e = np.exp(-np.abs(p))
    magnitude = np.maximum(p, 0) + np.abs(p) * t + np.log1p(e)
    sigmoid = np.where(p < 0, e, 1) / (1 + e)
    return 18 * magnitude, 18 * sigmoid + 8 * t


def _binary_cross_entropy(ctx: Context, p: Array, t: Array) -> Bounds:
    q = np.clip(p, *edges(ctx))
    other = np.abs(1 - t) + t
    losses = t * np.abs(np.log(q)) + other * np.abs(np.log(1 - q))
    return 14 * losses + 2 * other, 12 * (other / (1 - q) + t / q)


def _binary_focal(
    ctx: Context, t: Array, u: Array, inner: Array, entropy: Array, *errors: Array
) -> Bounds:
    """Of a focal loss w u^gamma H whose gradient is w u^gamma (slope + gamma (1-2t) inner H).

    `errors` are the bounds of u, inner, entropy (H) and slope, and a bound of |slope|.
    """
    of_u, of_inner, of_entropy, of_slope, slope = errors
    of_t = 4 * t if ctx["label_smoothing"] else 0 * t
    power, of_power = u ** ctx["gamma"], _of_power(ctx, u, of_u)
    weight = np.abs(balance(ctx, t))
    of_weight = (4 + of_t) * (1 if ctx["balanced"] else 0)
    twist = ctx["gamma"] * np.abs(1 - 2 * t)
    factor = weight * power
    of_factor = weight * of_power + of_weight * power + 3 * factor
    losses = of_factor * entropy + factor * (of_entropy + 2 * entropy)
    change = slope + twist * inner * entropy
    of_change = of_slope + twist * (of_inner * entropy + inner * (of_entropy + 5 * entropy))
    of_change = of_change + 2 * ctx["gamma"] * of_t * inner * entropy + 2 * change
    return losses, of_factor * change + factor * of_change


def _sigmoid_focal(ctx: Context, p: Array, t: Array) -> Bounds:
    of_t = 4 * t if ctx["label_smoothing"] else 0 * t
    of_entropy, of_slope = _sigmoid_cross_entropy(ctx, p, t)
    e = np.exp(-np.abs(p))
    q, other = np.where(p < 0, e, 1) / (1 + e), np.where(p < 0, 1, e) / (1 + e)
    u = np.abs(t) * other + np.abs(1 - t) * q
    of_u = 18 * u + of_t + 2 * _flushed(ctx)
    with np.errstate(all="ignore"):
        inner = np.where(u > 0, q * other / u, 0)
        relative = np.minimum(np.where(u > 0, 30 + of_u / u, np.inf), 1 / _eps(ctx))
    entropy = np.maximum(p, 0) - p * t + np.log1p(e)
    errors = (of_u, inner * relative, of_entropy, of_slope, np.abs(q - t))
    return _binary_focal(ctx, t, u, inner, entropy, *errors)


def _binary_focal_cross_entropy(ctx: Context, p: Array, t: Array) -> Bounds:
    q = np.clip(p, *edges(ctx))
    of_t = 4 * t if ctx["label_smoothing"] else 0 * t
    of_entropy, of_slope = _binary_cross_entropy(ctx, p, t)
    u = np.abs(t) * (1 - q) + np.abs(1 - t) * q
    of_u = 5 * u + of_t
    entropy = -(t * np.log(q) + (1 - t) * np.log(1 - q))
    slope = np.abs((1 - t) / (1 - q) - t / q)
    errors = (of_u, (of_u / u + 3) / u, of_entropy, of_slope, slope)
    return _binary_focal(ctx, t, u, 1 / u, entropy, *errors)


def _squared_error(ctx: Context, p: Array, t: Array) -> Bounds:
    d = np.abs(p - t)
    return 4 * d * d, 8 * d


def _absolute_error(ctx: Context, p: Array, t: Array) -> Bounds:
    return 2 * np.abs(p - t), np.zeros_like(p)


def _absolute_percentage_error(ctx: Context, p: Array, t: Array) -> Bounds:
    percent = 100 / np.maximum(np.abs(t), edges(ctx)[0])
    return 4 * percent * np.abs(p - t), 3 * percent


def _squared_logarithmic_error(ctx: Context, p: Array, t: Array) -> Bounds:
    least = edges(ctx)[0]
    a, b = np.log1p(np.maximum(p, least)), np.log1p(np.maximum(t, least))
    d = np.abs(a - b)
    # 1 + p is rounded before its logarithm is taken. The square of the error counts near 0.
    of_d = 2 + 6 * (a + b) + d
    gradient = np.where(p < least, 0, (2 * of_d + 6 * d) / (1 + np.maximum(p, least)))
    return 2 * d * of_d + _eps(ctx) * of_d**2 + 2 * d * d, gradient


def _huber(ctx: Context, p: Array, t: Array) -> Bounds:
    d = np.abs(p - t)
    near = np.minimum(d, ctx["delta"])
    return 8 * near * d, 2 * near


def _log_cosh(ctx: Context, p: Array, t: Array) -> Bounds:
    d = np.abs(p - t)
    # |d| - log 2 + ... cancels at most to 0.43 of 1; the rounding of d multiplies by tanh d.
    loss = np.where(d < 1, np.log1p(2 * np.sinh(np.minimum(d, 1) / 2) ** 2), d - 0.5)
    return 40 * loss + d * np.tanh(d), 10 * np.tanh(d)


def _poisson(ctx: Context, p: Array, t: Array) -> Bounds:
    rate = p + edges(ctx)[0]
    log_rate = np.abs(np.log(rate))
    return np.abs(t) * (2 + 9 * log_rate) + 2 * np.abs(p), 5 * np.abs(t / rate) + 1


def _kl_divergence(ctx: Context, p: Array, t: Array) -> Bounds:
    least = edges(ctx)[0]
    q, t = np.clip(p, least, 1), np.clip(t, least, 1)
    return t * (3 + 9 * np.abs(np.log(t / q))), 3 * t / q


def _hinge(ctx: Context, p: Array, t: Array) -> Bounds:
    margin, size = 1 - t * p, np.abs(t * p)
    near = np.abs(margin) <= 4 * _eps(ctx) * (size + 1)  # either side of the jump is right
    return size + 2 * np.abs(margin), np.where(near, np.abs(t) / _eps(ctx), 0)


def _squared_hinge(ctx: Context, p: Array, t: Array) -> Bounds:
    margin, size = 1 - t * p, np.abs(t * p)
    h = np.maximum(margin, 0)
    of_h = np.where((h == 0) & (np.isinf(size) | (margin < -4 * _eps(ctx) * size)), 0, size + 2 * h)
    return 2 * h * of_h + _eps(ctx) * of_h**2 + 2 * h * h, 2 * np.abs(t) * (of_h + 3 * h)


_BOUNDS: dict[str, Callable[[Context, Array, Array], Bounds]] = {
    "softmax_cross_entropy": _softmax_cross_entropy,
    "cross_entropy": _cross_entropy,
    "sigmoid_cross_entropy": _sigmoid_cross_entropy,
    "binary_cross_entropy": _binary_cross_entropy,
    "squared_error": _squared_error,
    "softmax_focal_cross_entropy": _softmax_focal,
    "focal_cross_entropy": _focal_cross_entropy,
    "sigmoid_focal_cross_entropy": _sigmoid_focal,
    "binary_focal_cross_entropy": _binary_focal_cross_entropy,
    "root_mean_squared_error": _squared_error,
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


def _of_rows(ctx: Context, p: Array, signed: Array) -> Bounds:
    """Bounds of what `row_losses` returns, unweighted."""
    # Cross-entropies multiply t by something, so that they need its magnitude.
    t = np.abs(signed) if ctx["kind"] in SMOOTHED else signed
    losses, gradient = _BOUNDS[ctx["kind"]](ctx, p, t)
    if ctx["kind"] in WHOLE_ROWS:
        return losses, gradient
    by, terms = abs(divisor(ctx, p)), np.abs(FORMULAS[ctx["kind"]](ctx, p, signed)[0])
    return (losses + (p.shape[1] + 2) * terms).sum(axis=1) / by, gradient / by


def bound(
    ctx: Context, p: Array, t: Array, weight: Array | None = None, alpha: Array | None = None
) -> tuple[Any, Any, Any]:
    """Bounds of the pass "backward"."""
    r = as_rows(ctx, p, t, weight, alpha)
    weight = np.abs(r.weight)
    with np.errstate(all="ignore"):
        exact = row_losses(ctx, r.p, r.t)
        losses, gradient = _of_rows(ctx, r.p, r.t)
        losses = weight[:, 0] * (losses + np.abs(exact[0]))
        dp = abs(ctx["scale"]) * weight * (gradient + 4 * np.abs(exact[1]))
        # The total is summed in float64, whatever the working dtype.
        in_total = len(r.p) * float(np.finfo(np.float64).eps) / 2 / _eps(ctx)
        total = losses.sum() + in_total * np.abs(weight[:, 0] * exact[0]).sum()
        if ctx["kind"] != ROOT:
            return losses, total, dp.reshape(p.shape)
        n = max(len(r.p), 1)
        root, slope = root_of(r.weight[:, 0] * exact[0])
        of_root = slope * total / n + 2 * root
        plain = np.abs(ctx["scale"] * r.weight * exact[1])
        relative = of_root / root if root else 0.0
        dp = dp * slope + plain * slope * (relative + 3)
        return np.full(len(r.p), of_root), n * of_root, dp.reshape(p.shape)
