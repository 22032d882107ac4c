"""Random numbers that depend on a seed and a position, and on nothing else.

Dropout masks, shuffles and initial weights come from Philox 4x32-10 (Salmon, Moraes, Dror and
Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011), a pure function of a key and a
counter. The same seed therefore gives the same numbers on NumPy, CPU and CUDA, on any number of
threads. ``csrc/core/philox.h`` is the same function in C++.

The layout of `uniform24`, shared by all three:

========  ==========================================================================
key       (seed low 32 bits, seed high 32 bits)
counter   (i//4 low 32 bits, i//4 high 32 bits, step mod 2**32, stream)
element   i takes word i % 4 of the four words that come out; its upper 24 bits count
========  ==========================================================================
"""

from __future__ import annotations

import operator
import secrets

import numpy as np
import numpy.typing as npt

__all__ = ["current_seed", "generator", "philox4x32", "set_seed", "uniform24"]

_MASK32 = np.uint64(0xFFFFFFFF)
_SHIFT32 = np.uint64(32)
_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (0x9E3779B9, 0xBB67AE85)  # the golden ratio and sqrt(3) - 1
_PATH_TAG = 0x636F6E76  # keeps the counters of generator() apart from those of uniform24()

_seed: int | None = None


def set_seed(seed: int | None) -> None:
    """Set the global seed, from which weights, shuffles and dropout masks follow.

    Parameters
    ----------
    seed : int or None
        From 0 to 2**64 - 1. None forgets the seed; the next use draws a new one.

    Raises
    ------
    TypeError, ValueError
        If it is no whole number, or out of range.
    """
    global _seed
    _seed = None if seed is None else _checked(seed, 64, "seed")


def current_seed() -> int:
    """Return the global seed.

    Without a `set_seed` before, one is drawn from the operating system's entropy at the first call
    and kept, so that a run can always be repeated by printing it.

    Returns
    -------
    int
        From 0 to 2**64 - 1.
    """
    global _seed
    if _seed is None:
        _seed = secrets.randbits(63)
    return _seed


def philox4x32(
    counter: npt.NDArray[np.uint32], key: npt.NDArray[np.uint32]
) -> npt.NDArray[np.uint32]:
    """Philox 4x32 with ten rounds.

    Parameters
    ----------
    counter : ndarray of uint32, shape (n, 4)
    key : ndarray of uint32, shape (2,)

    Returns
    -------
    ndarray of uint32, shape (n, 4)
    """
    counter = np.asarray(counter, np.uint32)
    key = np.asarray(key, np.uint32)
    if counter.ndim != 2 or counter.shape[1] != 4 or key.shape != (2,):
        raise ValueError(
            f"[philox4x32] counter must be (n, 4) and key (2,), not {counter.shape} and {key.shape}"
        )
    c0, c1, c2, c3 = (counter[:, i].astype(np.uint64) for i in range(4))
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(10):
        a = c0 * _MULTIPLIERS[0]  # 32 x 32 bits: exact in 64
        b = c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            (b >> _SHIFT32) ^ c1 ^ np.uint64(k0),
            b & _MASK32,
            (a >> _SHIFT32) ^ c3 ^ np.uint64(k1),
            a & _MASK32,
        )
        k0 = (k0 + _WEYL[0]) & 0xFFFFFFFF
        k1 = (k1 + _WEYL[1]) & 0xFFFFFFFF
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def uniform24(seed: int, stream: int, step: int, n: int) -> npt.NDArray[np.float32]:
    """Uniform numbers in [0, 1), in steps of 2**-24.

    Parameters
    ----------
    seed : int
        From 0 to 2**64 - 1.
    stream : int
        Who consumes the numbers, for example one stream per dropout layer; from 0 to 2**32 - 1.
    step : int
        The training step, taken modulo 2**32.
    n : int
        How many.

    Returns
    -------
    ndarray of float32, shape (n,)
        Element i equals ``philox_uniform(seed, stream, step, i)`` of ``csrc/core/philox.h``.
    """
    seed = _checked(seed, 64, "seed")
    stream = _checked(stream, 32, "stream")
    step = operator.index(step) & 0xFFFFFFFF
    n = operator.index(n)
    if n < 0:
        raise ValueError(f"[uniform24] n must not be negative, not {n}")
    block = np.arange((n + 3) // 4, dtype=np.uint64)
    counter = np.empty((block.size, 4), np.uint32)
    counter[:, 0] = block & _MASK32
    counter[:, 1] = block >> _SHIFT32
    counter[:, 2] = step
    counter[:, 3] = stream
    bits = philox4x32(counter, _halves(seed)).ravel()[:n]
    return (bits >> np.uint32(8)).astype(np.float32) * np.float32(2.0**-24)


def generator(seed: int | None = None, *path: int) -> np.random.Generator:
    """Return a NumPy generator for one purpose, independent of those for other purposes.

    Parameters
    ----------
    seed : int or None
        From 0 to 2**64 - 1; None: `current_seed`.
    *path : int
        What the numbers are for, for example (layer, weight) or (epoch,); each from 0 to
        2**64 - 1. Different paths, also of different lengths, give independent streams.

    Returns
    -------
    numpy.random.Generator
        Over `numpy.random.Philox`. Its key is computed here from seed and path, by `philox4x32`,
        so that it does not rest on how NumPy mixes seeds.

    Examples
    --------
    >>> a = generator(1, 0, 2).random(3)
    >>> bool((a == generator(1, 0, 2).random(3)).all())
    True
    """
    key = _halves(current_seed() if seed is None else _checked(seed, 64, "seed"))
    words = _mix(key, len(path), 0)
    for depth, step in enumerate(path, 1):
        words = _mix(words[:2] ^ words[2:], _checked(step, 64, "path"), depth)
    low, high = (int(words[i]) | int(words[i + 1]) << 32 for i in (0, 2))
    return np.random.Generator(np.random.Philox(key=np.array([low, high], np.uint64)))


def _mix(key: npt.NDArray[np.uint32], value: int, depth: int) -> npt.NDArray[np.uint32]:
    counter = np.concatenate([_halves(value), np.array([depth, _PATH_TAG], np.uint32)])
    return philox4x32(counter[None], key).ravel()


def _halves(value: int) -> npt.NDArray[np.uint32]:
    return np.array([value & 0xFFFFFFFF, value >> 32], np.uint32)


def _checked(value: int, bits: int, name: str) -> int:
    try:
        if isinstance(value, bool | np.bool_):
            raise TypeError
        value = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be a whole number from 0 to 2**{bits} - 1, not {value!r}"
        ) from None
    if not 0 <= value < 1 << bits:
        raise ValueError(f"{name} must be from 0 to 2**{bits} - 1, not {value}")
    return value
