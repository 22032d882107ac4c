"""The two alphabets of a Hopfield network, and the map between them."""

from __future__ import annotations

import numpy as np

from convkit.errors import did_you_mean
from convkit.ops.registry import Array

__all__ = ["ALPHABETS", "check_alphabet", "to_binary", "to_bipolar"]

# The values of a neuron.
ALPHABETS: dict[str, tuple[int, int]] = {"bipolar": (-1, 1), "binary": (0, 1)}


def check_alphabet(alphabet: str) -> None:
    """Raise a ValueError if there is no alphabet of that name."""
    if alphabet not in ALPHABETS:
        known = did_you_mean(alphabet, ALPHABETS)
        raise ValueError(f"[Hopfield] unknown alphabet {alphabet!r}{known}")


def to_binary(w: Array, b: Array | None, offset: float) -> tuple[Array, Array, float]:
    """Weights, biases and offset of ``E(v) = E(s)`` under ``s = 2 v - 1``; the fields double.

    ``-1/2 s.W s - b.s + offset``, multiplied out.
    """
    b = np.zeros(len(w)) if b is None else b
    sums = w.sum(axis=1)
    return 4 * w, 2 * b - 2 * sums, offset + float(b.sum() - sums.sum() / 2)


def to_bipolar(w: Array, b: Array | None, offset: float) -> tuple[Array, Array, float]:
    """Undo `to_binary`."""
    b = np.zeros(len(w)) if b is None else b
    sums = w.sum(axis=1)
    return w / 4, b / 2 + sums / 4, offset - float(b.sum() / 2 + sums.sum() / 8)
