"""What a discrete Hopfield network is given: weights, states and orders, checked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike

from convkit.errors import did_you_mean
from convkit.models.hopfield.alphabets import ALPHABETS
from convkit.ops.hopfield import check_symmetric
from convkit.ops.registry import Array
from convkit.random import generator

__all__ = ["as_states", "as_weights", "sweep_orders"]


def as_weights(
    weights: ArrayLike, thresholds: ArrayLike | None, allow_diagonal: bool
) -> tuple[Array, Array | None]:
    """Weights (n, n) and biases (n,), the thresholds with the other sign, in float64.

    Raises
    ------
    ValueError
        If the weights are not square, finite and symmetric, have a diagonal that was not allowed,
        or the thresholds do not fit.
    """
    w = np.array(weights, np.float64)
    if w.ndim != 2 or w.shape[0] != w.shape[1] or not len(w):
        raise ValueError(f"[Hopfield] weights have shape {w.shape}, expected (n, n)")
    b = None if thresholds is None else -np.array(thresholds, np.float64)
    if b is not None and b.shape != w.shape[:1]:
        raise ValueError(
            f"[Hopfield] thresholds have shape {b.shape}, weights {w.shape}; expected ({len(w)},)"
        )
    for name, array in (("weights", w), ("thresholds", b)):
        if array is not None and not np.isfinite(array).all():
            raise ValueError(f"[Hopfield] {name} contain NaN or infinity")
    check_symmetric(w)
    if np.diagonal(w).any() and not allow_diagonal:
        i = int(np.flatnonzero(np.diagonal(w))[0])
        raise ValueError(
            f"[Hopfield] weights[{i}, {i}] is {w[i, i]:.9g}, expected 0: a neuron that acts "
            "on itself can break the descent of the energy; allow_diagonal=True accepts it"
        )
    return w, b


def as_states(
    name: str, values: ArrayLike, n: int, alphabet: str, dtype: str
) -> tuple[Array, bool]:
    """States (B, n) in the dtype, a copy, and whether one came without its axis.

    Raises
    ------
    ValueError
        If the length is not n, or a value is not of the alphabet.
    """
    array = np.asarray(values)
    single = array.ndim == 1
    array = array[None] if single else array
    if array.ndim != 2 or array.shape[1] != n:
        raise ValueError(
            f"[Hopfield] {name} have shape {np.shape(values)}, the network {n} neurons; "
            f"expected ({n},) or (B, {n})"
        )
    low, high = ALPHABETS[alphabet]
    strange = ~((array == low) | (array == high))
    if strange.any():
        at = tuple(int(i) for i in np.argwhere(strange)[0])
        raise ValueError(
            f"[Hopfield] {name} have {array[at]!s} at {at}, expected {low} or {high} "
            f"({alphabet} neurons)"
        )
    return array.astype(dtype), single


def sweep_orders(order: str | ArrayLike, n: int, seed: int | None) -> Iterator[Array]:
    """The order of n neurons in each sweep, for ever.

    Raises
    ------
    ValueError
        If it is neither "cyclic" nor "random" nor has each neuron.
    """
    if not isinstance(order, str):
        given = np.asarray(order)
        if given.dtype.kind not in "iu" or set(given.tolist()) != set(range(n)):
            raise ValueError(
                f"[Hopfield] order must have each of the neurons 0 to {n - 1}, "
                f"got {given.size} values of dtype {given.dtype}"
            )
        return _repeat(given.astype(np.int64))
    if order == "cyclic":
        return _repeat(np.arange(n))
    if order == "random":
        return _permutations(generator(seed), n)
    raise ValueError(
        f"[Hopfield] unknown order {order!r}{did_you_mean(order, ('cyclic', 'random'))}"
    )


def _repeat(order: Array) -> Iterator[Array]:
    while True:
        yield order


def _permutations(rng: np.random.Generator, n: int) -> Iterator[Array]:
    while True:
        yield rng.permutation(n)
