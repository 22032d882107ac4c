"""update: the rules in NumPy and their error bounds. Contract in csrc/ops/update/update.h.

A rule takes the gradient, the state and the weights and returns the new state and weights. What
comes before every rule (the sign, clipping, weight decay) is `_before`. The bounds are the rules
themselves, run on `Rounded` numbers. Plain SGD has a stronger promise, which a test asserts: the
bits of NumPy's ``w - lr * g`` in the working dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from convkit.ops.registry import Array, Context
from convkit.ops.rounding import Rounded

__all__ = ["RULES", "bound_of", "clip_norm", "clip_norm_bound", "global_norm", "global_norm_bound"]

Rule = Callable[..., tuple[Any, ...]]


def _eta(ctx: Context) -> float:
    return float(ctx.step.learning_rate * ctx["lr_scale"])


def _before(ctx: Context, g: Any, w: Any) -> tuple[Any, Any]:
    """Gradient and weights as the rule takes them."""
    decay, most = ctx["weight_decay"], ctx["clip_value"]
    if ctx["maximize"]:
        g = -g
    if most < np.inf:
        g = np.minimum(np.maximum(g, -most), most)
    if decay == 0:  # 0 * w would make NaN of an infinite w
        return g, w
    return (g, w - _eta(ctx) * decay * w) if ctx["decoupled"] else (g + decay * w, w)


def _rule(formula: Rule) -> Rule:
    """A rule with what comes before it; numbers that are not finite go through in silence."""

    @wraps(formula)
    def rule(ctx: Context, g: Any, *state_and_w: Any) -> tuple[Any, ...]:
        with np.errstate(all="ignore"):
            g, w = _before(ctx, g, state_and_w[-1])
            return formula(ctx, g, *state_and_w[:-1], w)

    return rule


@_rule
def _sgd(ctx: Context, g: Any, v: Any, w: Any) -> tuple[Any, ...]:
    eta, momentum = _eta(ctx), ctx["momentum"]
    if momentum == 0:
        return v, w - eta * g
    v = momentum * v - eta * g
    return v, w + (momentum * v - eta * g if ctx["nesterov"] else v)


@_rule
def _adagrad(ctx: Context, g: Any, a: Any, w: Any) -> tuple[Any, ...]:
    a = a + g * g
    return a, w - _eta(ctx) * g / np.sqrt(a + ctx["epsilon"])


@_rule
def _adadelta(ctx: Context, g: Any, a: Any, d: Any, w: Any) -> tuple[Any, ...]:
    rho, epsilon = ctx["rho"], ctx["epsilon"]
    a = rho * a + (1 - rho) * g * g
    s = np.sqrt((d + epsilon) / (a + epsilon)) * g
    d = rho * d + (1 - rho) * s * s
    return a, d, w - _eta(ctx) * s


@_rule
def _rmsprop(ctx: Context, g: Any, a: Any, mean: Any, v: Any, w: Any) -> tuple[Any, ...]:
    rho = ctx["rho"]
    variance = a = rho * a + (1 - rho) * g * g
    if mean is not None:
        mean = rho * mean + (1 - rho) * g
        variance = np.maximum(a - mean * mean, 0.0)
    s = _eta(ctx) * g / np.sqrt(variance + ctx["epsilon"])
    if v is None:
        return a, mean, None, w - s
    v = ctx["momentum"] * v + s
    return a, mean, v, w - v


def _moments(ctx: Context, g: Any, m: Any, v: Any) -> tuple[Any, Any]:
    return m + (g - m) * (1 - ctx["beta1"]), v + (g * g - v) * (1 - ctx["beta2"])


@_rule
def _adam(ctx: Context, g: Any, m: Any, v: Any, largest: Any, w: Any) -> tuple[Any, ...]:
    m, v = _moments(ctx, g, m, v)
    t = ctx.step.step + 1
    rate = float(_eta(ctx) * np.sqrt(1 - ctx["beta2"] ** t) / (1 - ctx["beta1"] ** t))
    if largest is None:
        return m, v, None, w - rate * m / (np.sqrt(v) + ctx["epsilon"])
    largest = np.maximum(largest, v)
    return m, v, largest, w - rate * m / (np.sqrt(largest) + ctx["epsilon"])


def _nadam_rates(ctx: Context) -> tuple[float, float]:
    """Factors of m and g: mu_(t+1) / (1 - M_(t+1)) and (1 - mu_t) / (1 - M_t)."""
    beta, t = ctx["beta1"], ctx.step.step + 1

    def mu(i: int) -> float:
        return float(beta * (1 - 0.5 * 0.96**i))

    # From some 900 on a factor 1 - 0.96^i / 2 is 1.
    product = beta**t * float(np.prod(1 - 0.5 * 0.96 ** np.arange(1.0, min(t, 1024) + 1)))
    return mu(t + 1) / (1 - product * mu(t + 1)), (1 - mu(t)) / (1 - product)


@_rule
def _nadam(ctx: Context, g: Any, m: Any, v: Any, w: Any) -> tuple[Any, ...]:
    m, v = _moments(ctx, g, m, v)
    eta, (of_m, of_g) = _eta(ctx), _nadam_rates(ctx)
    unbias = 1 / (1 - ctx["beta2"] ** (ctx.step.step + 1))
    step = (eta * of_m * m + eta * of_g * g) / (np.sqrt(v * unbias) + ctx["epsilon"])
    return m, v, w - step


@_rule
def _adamax(ctx: Context, g: Any, m: Any, u: Any, w: Any) -> tuple[Any, ...]:
    m = m + (g - m) * (1 - ctx["beta1"])
    u = np.maximum(ctx["beta2"] * u, np.abs(g))
    rate = _eta(ctx) / (1 - ctx["beta1"] ** (ctx.step.step + 1))
    return m, u, w - rate * m / (u + ctx["epsilon"])


@_rule
def _lion(ctx: Context, g: Any, m: Any, w: Any) -> tuple[Any, ...]:
    beta1, beta2 = ctx["beta1"], ctx["beta2"]
    w = w - _eta(ctx) * np.sign(beta1 * m + (1 - beta1) * g)
    return beta2 * m + (1 - beta2) * g, w


RULES: dict[str, Rule] = {
    "sgd": _sgd,
    "adagrad": _adagrad,
    "adadelta": _adadelta,
    "rmsprop": _rmsprop,
    "adam": _adam,
    "nadam": _nadam,
    "adamax": _adamax,
    "lion": _lion,
}


def bound_of(rule: Rule) -> Rule:
    """The error bound of a rule: each result's error when the rule runs on rounded numbers."""

    def bound(ctx: Context, *arrays: Array | None) -> tuple[Any, ...]:
        results = rule(ctx, *(None if a is None else Rounded(a) for a in arrays))
        return tuple(0.0 if r is None else r.error for r in results)

    return bound


def global_norm(ctx: Context, *g: Array) -> tuple[Array]:
    """The 2-norm of all values."""
    return (np.sqrt(np.array([sum(float((a * a).sum()) for a in g)])),)


def clip_norm(ctx: Context, norm: Array, g: Array) -> tuple[Array]:
    """The gradient, scaled down if the norm is over the largest that is allowed."""
    return (g * (ctx["max_norm"] / norm[0]) if norm[0] > ctx["max_norm"] else g,)


# A sum of n squares, in any order, is within n eps of itself (Higham 2002, eq. 4.4); the root
# halves that.
def global_norm_bound(ctx: Context, *g: Array) -> tuple[Any]:
    """Error bound of `global_norm`."""
    n = sum(a.size for a in g)
    return ((n / 2 + 2) * global_norm(ctx, *g)[0],)


def clip_norm_bound(ctx: Context, norm: Array, g: Array) -> tuple[Any]:
    """Error bound of `clip_norm`."""
    return (4 * np.abs(clip_norm(ctx, norm, g)[0]) if norm[0] > ctx["max_norm"] else 0.0,)
