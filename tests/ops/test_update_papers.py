"""update against the papers' algorithms, written down again, over 100 steps in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit.ops.registry import Array

STEPS, EPS = 100, 1e-7
START = np.random.default_rng(3).standard_normal(70)
CURVATURE = np.random.default_rng(4).uniform(0.1, 3.0, 70)
Run = Callable[[Callable[[Array, int], Array], Array], Array]


def gradient(w: Array, t: int) -> Array:
    """Of a bowl that moves about: it never comes to rest."""
    return CURVATURE * w + np.sin(3 * w + 0.37 * t)


def sgd(w: Array, eta: float = 0.05) -> Array:
    for t in range(STEPS):
        w = w - eta * gradient(w, t)
    return w


def momentum(w: Array, nesterov: bool, eta: float = 0.02, alpha: float = 0.9) -> Array:
    """Rumelhart et al. 1986; Nesterov's as in Sutskever et al. 2013, in the weights ahead."""
    v = np.zeros_like(w)
    for t in range(STEPS):
        g = gradient(w, t)
        v = alpha * v - eta * g
        w = w + (alpha * v - eta * g if nesterov else v)
    return w


def adagrad(w: Array, eta: float = 0.1, initial: float = 0.1) -> Array:
    total = np.full_like(w, initial)
    for t in range(STEPS):
        g = gradient(w, t)
        total = total + g**2
        w = w - eta / np.sqrt(total + EPS) * g
    return w


def adadelta(w: Array, eta: float = 0.7, rho: float = 0.95) -> Array:
    squares, steps = np.zeros_like(w), np.zeros_like(w)
    for t in range(STEPS):
        g = gradient(w, t)
        squares = rho * squares + (1 - rho) * g**2
        delta = -np.sqrt(steps + EPS) / np.sqrt(squares + EPS) * g
        steps = rho * steps + (1 - rho) * delta**2
        w = w + eta * delta
    return w


def rmsprop(w: Array, centered: bool, alpha: float, eta: float = 0.01, rho: float = 0.9) -> Array:
    n, mean, v = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for t in range(STEPS):
        g = gradient(w, t)
        n = rho * n + (1 - rho) * g**2
        mean = rho * mean + (1 - rho) * g
        spread = n - mean**2 if centered else n
        v = alpha * v - eta * g / np.sqrt(spread + EPS)
        w = w + v
    return w


def adam(w: Array, eta: float = 0.02, largest: bool = False, decay: float = 0.0) -> Array:
    m, v, most = np.zeros_like(w), np.zeros_like(w), np.zeros_like(w)
    for t in range(1, STEPS + 1):
        g = gradient(w, t - 1)
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        most = np.maximum(most, v)
        alpha = eta * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        w = w - eta * decay * w - alpha * m / (np.sqrt(most if largest else v) + EPS)
    return w


def nadam(w: Array, eta: float = 0.02) -> Array:
    m, v, product = np.zeros_like(w), np.zeros_like(w), 1.0
    for t in range(1, STEPS + 1):
        g = gradient(w, t - 1)
        mu, following = (0.9 * (1 - 0.5 * 0.96**i) for i in (t, t + 1))
        product *= mu
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g**2
        m_hat = following * m / (1 - product * following) + (1 - mu) * g / (1 - product)
        w = w - eta * m_hat / (np.sqrt(v / (1 - 0.999**t)) + EPS)
    return w


def adamax(w: Array, eta: float = 0.02) -> Array:
    m, u = np.zeros_like(w), np.zeros_like(w)
    for t in range(1, STEPS + 1):
        g = gradient(w, t - 1)
        m = 0.9 * m + 0.1 * g
        u = np.maximum(0.999 * u, np.abs(g))
        w = w - eta / (1 - 0.9**t) * m / (u + EPS)
    return w


def lion(w: Array, eta: float = 0.01, decay: float = 0.1) -> Array:
    m = np.zeros_like(w)
    for t in range(STEPS):
        g = gradient(w, t)
        w = w - eta * (np.sign(0.9 * m + 0.1 * g) + decay * w)
        m = 0.99 * m + 0.01 * g
    return w


CASES: list[tuple[str, Callable[[Array], Array], str, dict[str, Any]]] = [
    ("sgd", sgd, "sgd", {"learning_rate": 0.05}),
    ("momentum", lambda w: momentum(w, False), "sgd", {"learning_rate": 0.02, "momentum": 0.9}),
    (
        "nesterov",
        lambda w: momentum(w, True),
        "sgd",
        {"learning_rate": 0.02, "momentum": 0.9, "nesterov": True},
    ),
    ("adagrad", adagrad, "adagrad", {"learning_rate": 0.1}),
    ("adadelta", adadelta, "adadelta", {"learning_rate": 0.7}),
    ("rmsprop", lambda w: rmsprop(w, False, 0.0), "rmsprop", {"learning_rate": 0.01}),
    (
        "rmsprop, momentum",
        lambda w: rmsprop(w, False, 0.8),
        "rmsprop",
        {"learning_rate": 0.01, "momentum": 0.8},
    ),
    (
        "rmsprop, centered",
        lambda w: rmsprop(w, True, 0.8),
        "rmsprop",
        {"learning_rate": 0.01, "momentum": 0.8, "centered": True},
    ),
    ("adam", adam, "adam", {"learning_rate": 0.02}),
    ("adamw", lambda w: adam(w, decay=0.1), "adam", {"learning_rate": 0.02, "weight_decay": 0.1}),
    ("amsgrad", lambda w: adam(w, largest=True), "adam", {"learning_rate": 0.02, "amsgrad": True}),
    ("nadam", nadam, "nadam", {"learning_rate": 0.02}),
    ("adamax", adamax, "adamax", {"learning_rate": 0.02}),
    ("lion", lion, "lion", {"learning_rate": 0.01, "weight_decay": 0.1}),
]


@pytest.mark.parametrize("kernel", ["cpu_simd", "cpu_naive", "reference"])
@pytest.mark.parametrize(("name", "paper", "rule", "options"), CASES, ids=[c[0] for c in CASES])
def test_a_hundred_steps_are_those_of_the_paper(
    name: str, paper: Run, rule: str, options: dict[str, Any], kernel: str
) -> None:
    step = getattr(ck.ops, rule)
    w, state = START, []
    for t in range(STEPS):
        numbered = {"step": t} if rule in ("adam", "nadam", "adamax") else {}
        given = (
            state
            if rule != "rmsprop" or options.get("centered")
            else [*state[:1], None, *state[1:]]
        )
        w, *state = step(gradient(w, t), w, *given, kernel=kernel, **numbered, **options)
        state = [s for s in state if s is not None]
    wanted = paper(START)  # type: ignore[call-arg, arg-type]
    assert np.abs(wanted - START).max() > 0.1
    np.testing.assert_allclose(w, wanted, rtol=1e-12, atol=1e-12)


def test_the_variance_of_a_constant_gradient_is_not_negative() -> None:
    """Rounding may bring a - mean * mean below 0, and the root would be NaN."""
    g = np.full(64, 1234.567, np.float32)
    for kernel in ("cpu_simd", "cpu_naive", "reference"):
        w, a, mean = np.ones(64, np.float32), None, None
        for _ in range(300):
            w, a, mean = ck.ops.rmsprop(g, w, a, mean, centered=True, kernel=kernel)
            assert np.isfinite(w).all() and (w <= 1).all()


def test_clipping_comes_before_decay_and_climbing_before_clipping() -> None:
    g, w = np.array([3.0, -0.5, -7.0]), np.array([10.0, 10.0, 10.0])
    for row in ck.ops.kernels("update", "sgd"):
        new, _ = ck.ops.sgd(
            g, w, learning_rate=0.1, clip_value=2.0, weight_decay=0.1, decoupled=False,
            kernel=row.name,
        )  # fmt: skip
        np.testing.assert_allclose(new, [9.7, 9.95, 10.1], rtol=1e-15)
        new, _ = ck.ops.sgd(g, w, learning_rate=0.1, clip_value=2.0, maximize=True, kernel=row.name)
        np.testing.assert_allclose(new, [10.2, 9.95, 9.8], rtol=1e-15)


def test_the_first_steps_by_hand() -> None:
    g, w = np.array([0.5, -2.0, 0.0]), np.array([1.0, 1.0, 1.0])
    for kernel in ("cpu_simd", "cpu_naive", "reference"):
        new, m = ck.ops.lion(g, w, learning_rate=0.1, kernel=kernel)
        np.testing.assert_allclose(new, [0.9, 1.1, 1.0], rtol=1e-15)
        np.testing.assert_allclose(m, 0.01 * g, rtol=1e-13)
        new, a = ck.ops.adagrad(g, w, learning_rate=1.0, epsilon=0.0, kernel=kernel)
        np.testing.assert_allclose(a, [0.35, 4.1, 0.1], rtol=1e-15)
        np.testing.assert_allclose(new, 1 - g / np.sqrt([0.35, 4.1, 0.1]), rtol=1e-15)
        new, a = ck.ops.rmsprop(g, w, learning_rate=0.1, kernel=kernel)
        np.testing.assert_allclose(new[:2], 1 - np.array([1, -1]) * 0.1 / np.sqrt(0.1), rtol=1e-5)
        new, m, u = ck.ops.adamax(g, w, learning_rate=0.1, kernel=kernel)
        np.testing.assert_allclose(new, [0.9, 1.1, 1.0], rtol=1e-6)
        np.testing.assert_allclose(u, [0.5, 2.0, 0.0], rtol=1e-15)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("rho is 1", lambda g: ck.ops.adadelta(g, g, rho=1)),
        ("clip_value is 0", lambda g: ck.ops.lion(g, g, clip_value=0)),
        ("beta2 is -1", lambda g: ck.ops.nadam(g, g, beta2=-1)),
        ("must be alike", lambda g: ck.ops.adagrad(g, g[:2])),
        (r"step is -1, expected 0 to 2\*\*62", lambda g: ck.ops.adamax(g, g, step=-1)),
    ],
)
def test_errors(message: str, call: Any) -> None:
    with pytest.raises(ValueError, match=message):
        call(np.ones(4, np.float32))
