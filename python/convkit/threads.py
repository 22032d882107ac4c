"""How many threads the kernels use."""

from __future__ import annotations

import operator

from convkit import _core

__all__ = ["get_num_threads", "set_num_threads"]


def set_num_threads(count: int) -> None:
    """Set the number of threads that kernels may use; results do not depend on it.

    The environment variable ``CONVKIT_NUM_THREADS`` sets it from outside.

    Parameters
    ----------
    count : int
        At least 1.

    Raises
    ------
    ValueError
        If `count` is less than 1, or more than the pool can have.
    """
    count = operator.index(count)
    if count < 1:
        raise ValueError(f"[set_num_threads] count must be at least 1, got {count}")
    if count > 2**31 - 1:
        raise ValueError(f"[set_num_threads] there cannot be {count} threads; take fewer")
    _core.set_num_threads(count)


def get_num_threads() -> int:
    """Return the number of threads that kernels may use."""
    return int(_core.num_threads())
