"""Calls of hopfield: associative memories of published sizes, and awkward shapes.

Their data are whole numbers, so that every field is exact and every decision has one answer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.ops.hopfield import hopfield_params
from convkit.ops.registry import Array, Spec
from convkit.testing.calls import Call

# Neurons and states, by name.
NAMED: dict[str, tuple[int, int]] = {
    "Hopfield 1982": (100, 128),
    "digits 8 x 8": (64, 297),
    "MNIST 28 x 28": (784, 128),
    "capacity": (2000, 64),
    "one state": (2000, 1),
}
NEURONS = 300  # that a reference follows in no time
# Neurons, states and length of the order.
AWKWARD: dict[str, tuple[int, int, int]] = {
    "size 1": (1, 1, 1),
    "two neurons": (2, 3, 7),
    "primes": (13, 7, 17),
    "15 neurons": (15, 4, 15),
    "33 neurons": (33, 9, 66),
    "more than a tile": (521, 3, 40),
    "more than a tile of states": (5, 67, 5),
    "no state": (4, 0, 4),
    "no update": (5, 3, 0),
}


def hopfield(
    name: str,
    n: int,
    states: int,
    *,
    updates: int | None = None,
    bias: bool = False,
    binary: bool = False,
) -> list[Call]:
    """All passes for a memory of n/8 random patterns, from states with one bit in five wrong."""
    low, high = (0, 1) if binary else (-1, 1)
    updates = n if updates is None else updates
    rounds = -(-updates // n)

    def data(rng: np.random.Generator) -> tuple[Array, Array | None, Array, Array]:
        patterns = rng.choice([-1, 1], (n // 8 + 1, n))
        w = patterns.T @ patterns
        np.fill_diagonal(w, 0)
        order = np.concatenate([np.arange(0), *(rng.permutation(n) for _ in range(rounds))])
        s = patterns[np.arange(states) % len(patterns)]
        s = np.where((rng.random(s.shape) < 0.2) == (s < 0), high, low)
        b = rng.integers(-3, 4, n) if bias else None
        return w, b, order[:updates], s

    def without_order(rng: np.random.Generator) -> list[Array | None]:
        w, b, _, s = data(rng)
        return [w, b, s]

    w, b, s = Spec((n, n)), Spec((n,)) if bias else None, Spec((states, n))
    params: dict[str, Any] = hopfield_params(low, high)
    order = Spec((updates,), "int64")
    return [
        Call(name, "hopfield", "asynchronous", (w, b, order, s), params, fill=data),
        Call(name, "hopfield", "synchronous", (w, b, s), params, fill=without_order),
        Call(name, "hopfield", "energy", (w, b, s), params, fill=without_order),
    ]


def named_hopfield(small: bool) -> list[Call]:
    """All passes on networks of published sizes."""
    found = []
    for name, (n, states) in NAMED.items():
        n = min(n, NEURONS) if small else n
        found += hopfield(f"{name}, {n} neurons, {states} states", n, states)
    return found


def awkward_hopfield() -> list[list[Call]]:
    """All passes on shapes that kernels trip over, with and without biases, -1/1 and 0/1."""
    return [
        hopfield(name + (", 0/1" if binary else ""), n, states, updates=m, bias=bias, binary=binary)
        for name, (n, states, m) in AWKWARD.items()
        for bias, binary in ((True, False), (False, True))
    ]
