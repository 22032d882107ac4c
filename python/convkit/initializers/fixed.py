"""Initial values that are not drawn."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.initializers.base import Array, Initializer


class Zeros(Initializer):
    """All values 0."""

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return np.zeros(shape, np.float32)


class Ones(Initializer):
    """All values 1."""

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return np.ones(shape, np.float32)


class Constant(Initializer):
    """All values `value`, or the array `value` itself.

    Parameters
    ----------
    value : float or array_like
    """

    def __init__(self, value: Any = 0.0) -> None:
        super().__init__()
        self.value = value

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        value = np.asarray(self.value, np.float32)
        try:
            return np.broadcast_to(value, shape).copy()
        except ValueError:
            raise ValueError(
                f"[Constant] value has shape {value.shape}, expected {shape}"
            ) from None


class Identity(Initializer):
    """The identity matrix times `gain`; for more rows or columns the rest is 0.

    A recurrent layer of ReLUs that begins with it as its recurrent kernel keeps what it has seen
    (Le, Jaitly and Hinton 2015).

    Parameters
    ----------
    gain : float
    """

    def __init__(self, gain: float = 1.0) -> None:
        super().__init__()
        self.gain = float(gain)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if len(shape) != 2:
            raise ValueError(f"[Identity] needs a shape of two axes, got {shape}")
        return self.gain * np.eye(*shape, dtype=np.float32)
