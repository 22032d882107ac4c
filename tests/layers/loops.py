"""Recurrent layers as loops over samples and steps, straight from the textbooks, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np


def sigmoid(a: Any) -> Any:
    return 1 / (1 + np.exp(-a))


SIMPLE = {
    "tanh": np.tanh,
    "sigmoid": sigmoid,
    "relu": lambda a: np.maximum(a, 0),
    "linear": lambda a: a,
}


def biases(bias: Any, wide: int) -> tuple[Any, Any]:
    """The bias beside the input and that beside the state."""
    if bias is None:
        return np.zeros(wide), np.zeros(wide)
    return (bias[0], bias[1]) if bias.ndim == 2 else (bias, np.zeros(wide))


def simple_step(x: Any, states: list[Any], weights: list[Any], options: Any) -> list[Any]:
    w, u, b = weights
    b0, b1 = biases(b, w.shape[1])
    return [SIMPLE[options.get("activation", "tanh")](x @ w + b0 + states[0] @ u + b1)]


def lstm_step(x: Any, states: list[Any], weights: list[Any], options: Any) -> list[Any]:
    (h, c), (w, u, b) = states, weights
    b0, b1 = biases(b, w.shape[1])
    i, f, g, o = np.split(x @ w + b0 + h @ u + b1, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def gru_step(x: Any, states: list[Any], weights: list[Any], options: Any) -> list[Any]:
    (h,), (w, u, b) = states, weights
    n = len(h)
    b0, b1 = biases(b, w.shape[1])
    xs = x @ w + b0
    gates = sigmoid(xs[: 2 * n] + h @ u[:, : 2 * n] + b1[: 2 * n])
    z, r = gates[:n], gates[n:]
    if options.get("reset_after", True):
        candidate = np.tanh(xs[2 * n :] + r * (h @ u[:, 2 * n :] + b1[2 * n :]))
    else:
        candidate = np.tanh(xs[2 * n :] + (r * h) @ u[:, 2 * n :])
    return [z * h + (1 - z) * candidate]


STEPS = {"simple": simple_step, "lstm": lstm_step, "gru": gru_step}


def run(
    cell: str,
    x: Any,
    weights: list[Any],
    *,
    initial: Any = None,
    mask: Any = None,
    backwards: bool = False,
    **options: Any,
) -> tuple[Any, list[Any]]:
    """Outputs in the order in which the steps are taken, and the states after the last step.

    Parameters
    ----------
    cell : str
    x : ndarray, shape (N, T, C)
    weights : list of ndarray
        kernel, recurrent kernel and, if there is one, bias.
    initial : list of ndarray, optional
        States, each (N, H).
    mask : ndarray, shape (N, T), optional
    backwards : bool
    """
    weights = [np.asarray(w, np.float64) for w in weights]
    weights = [*weights, None][:3]
    units, count = weights[1].shape[0], 2 if cell == "lstm" else 1
    n, t = x.shape[:2]
    y = np.zeros((n, t, units))
    finals = np.zeros((count, n, units))
    for sample in range(n):
        states = [np.zeros(units) if initial is None else initial[k][sample] for k in range(count)]
        output = np.zeros(units)
        for s, time in enumerate(reversed(range(t)) if backwards else range(t)):
            if mask is None or mask[sample, time]:
                states = STEPS[cell](x[sample, time].astype(np.float64), states, weights, options)
                output = states[0]
            y[sample, s] = output
        finals[:, sample] = states
    return y, list(finals)
