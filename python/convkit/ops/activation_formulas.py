"""The kinds of activations, their parameters and their formulas: the reference of `activation`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from convkit import _core
from convkit.errors import did_you_mean
from convkit.ops.registry import Array

KINDS: tuple[str, ...] = tuple(_core.choices("activation", "activation"))

# gelu and silu are not monotonic: their derivative needs x.
FROM_OUTPUT = frozenset(KINDS) - {"gelu", "silu"}

# Keras's defaults; no other kind has a parameter.
_ALPHA = {"leaky_relu": 0.2, "elu": 1.0}

SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
TANH_SCALE, TANH_SLOPE = 1.7159, 2 / 3  # of scaled_tanh

_erfc = np.vectorize(math.erfc, otypes=[np.float64])  # NumPy has none; a reference may be slow


def activation_params(activation: str | None = None, alpha: float | None = None) -> dict[str, Any]:
    """Parameters of an activation, alone or fused into another op.

    Parameters
    ----------
    activation : str, optional
        One of `KINDS`; None is "linear".
    alpha : float, optional
        leaky_relu: slope below 0 (0.2); elu: scale below 0 (1.0). At least 0.

    Returns
    -------
    dict
        ``{"activation": name, "alpha": float}``

    Raises
    ------
    ValueError
        If the name is unknown, alpha is negative or not finite, or the kind has no alpha.
    """
    kind = "linear" if activation is None else activation
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(f"unknown activation {kind!r}{did_you_mean(kind, KINDS)}")
    value = _ALPHA.get(kind, 0.0) if alpha is None else float(alpha)
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"[activation] alpha of {kind} must be finite and at least 0, got {alpha}")
    if value and kind not in _ALPHA:
        raise ValueError(f"[activation] {kind} has no alpha, got {alpha}; leaky_relu and elu do")
    return {"activation": kind, "alpha": value}


def logistic(x: Array) -> Array:
    """``1 / (1 + exp(-x))`` without overflow."""
    e = np.exp(-np.abs(x))
    return np.asarray(np.where(x < 0, e, 1) / (1 + e))


def activate(x: Array, kind: str, alpha: float = 0.0) -> Array:
    """Reference ``f(x)``."""
    low = np.minimum(x, 0)  # where the other branch is taken, it must not overflow
    with np.errstate(all="ignore"):
        match kind:
            case "linear":
                y = x
            case "relu":
                y = np.where(x < 0, 0, x)
            case "leaky_relu":
                y = np.where(x < 0, alpha * x, x)
            case "sigmoid":
                y = logistic(x)
            case "tanh":
                y = np.tanh(x)
            case "scaled_tanh":
                y = TANH_SCALE * np.tanh(TANH_SLOPE * x)
            case "hardtanh":
                y = np.clip(x, -1, 1)
            case "hard_sigmoid":
                y = np.clip(x + 3, 0, 6) / 6
            case "elu":
                y = np.where(x < 0, alpha * np.expm1(low), x)
            case "selu":
                y = SELU_SCALE * np.where(x < 0, SELU_ALPHA * np.expm1(low), x)
            case "softplus":
                y = np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))
            case "softsign":
                y = x / (1 + np.abs(x))
            case "gelu":  # 0.5 x (1 + erf(x / sqrt 2)), which would cancel for x << 0
                y = 0.5 * x * _erfc(-x / math.sqrt(2))
            case "silu":
                y = x * logistic(x)
            case "exponential":
                y = np.exp(x)
            case "step":
                y = np.where(np.isnan(x), x, np.where(x > 0, 1.0, 0.0))
            case _:
                raise ValueError(f"unknown activation {kind!r}{did_you_mean(kind, KINDS)}")
    return np.asarray(y)


def derivative_from_input(x: Array, kind: str, alpha: float = 0.0) -> Array:
    """Reference ``f'(x)`` given x; at a kink it is that of the side below."""
    low = np.minimum(x, 0)
    with np.errstate(all="ignore"):
        match kind:
            case "linear":
                d = np.ones_like(x)
            case "relu":
                d = np.where(x > 0, 1.0, 0.0)
            case "leaky_relu":
                d = np.where(x > 0, 1.0, alpha)
            case "sigmoid":
                d = logistic(x) * logistic(-x)
            case "tanh":
                d = 1 - np.tanh(x) ** 2
            case "scaled_tanh":
                d = TANH_SCALE * TANH_SLOPE * (1 - np.tanh(TANH_SLOPE * x) ** 2)
            case "hardtanh":
                d = np.where((x > -1) & (x < 1), 1.0, 0.0)
            case "hard_sigmoid":
                d = np.where((x > -3) & (x < 3), 1 / 6, 0.0)
            case "elu":
                d = np.where(x > 0, 1.0, alpha * np.exp(low))
            case "selu":
                d = SELU_SCALE * np.where(x > 0, 1.0, SELU_ALPHA * np.exp(low))
            case "softplus":
                d = logistic(x)
            case "softsign":
                d = 1 / (1 + np.abs(x)) ** 2
            case "gelu":
                density = np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
                d = 0.5 * _erfc(-x / math.sqrt(2)) + x * density
            case "silu":
                d = logistic(x) * (1 + x * logistic(-x))
            case "exponential":
                d = np.exp(x)
            case "step":
                d = np.zeros_like(x)
            case _:
                raise ValueError(f"unknown activation {kind!r}{did_you_mean(kind, KINDS)}")
    return np.asarray(d)


def derivative_from_output(y: Array, kind: str, alpha: float = 0.0) -> Array:
    """Reference ``f'(x)`` given ``y = f(x)``, for the kinds of `FROM_OUTPUT`.

    A clipped y does not tell x = 1 from x > 1: there the derivative is 0.
    """
    with np.errstate(all="ignore"):
        match kind:
            case "linear":
                d = np.ones_like(y)
            case "relu":
                d = np.where(y > 0, 1.0, 0.0)
            case "leaky_relu":
                d = np.where(y > 0, 1.0, alpha)
            case "sigmoid":
                d = y * (1 - y)
            case "tanh":
                d = (1 - y) * (1 + y)
            case "scaled_tanh":
                d = TANH_SLOPE / TANH_SCALE * (TANH_SCALE - y) * (TANH_SCALE + y)
            case "hardtanh":
                d = np.where((y > -1) & (y < 1), 1.0, 0.0)
            case "hard_sigmoid":
                d = np.where((y > 0) & (y < 1), 1 / 6, 0.0)
            case "elu":
                d = np.where(y > 0, 1.0, y + alpha)
            case "selu":
                d = np.where(y > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA)
            case "softplus":
                d = -np.expm1(-y)
            case "softsign":
                d = (1 - np.abs(y)) ** 2
            case "exponential":
                d = y
            case "step":
                d = np.zeros_like(y)
            case _:
                raise ValueError(f"[activation] the derivative of {kind} needs x, not only y")
    return np.asarray(d)
