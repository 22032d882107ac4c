"""What a kernel costs on one thread, by a model: how many threads it is worth follows from it.

The rates are those of arrays in a cache and of tiles of middling size: rather too high than too
low, so that where other threads cannot bring much, none are asked.
"""

from __future__ import annotations

__all__ = ["BYTES_PER_SECOND", "FLOPS_PER_SECOND", "seconds"]

FLOPS_PER_SECOND = 100e9
BYTES_PER_SECOND = 60e9


def seconds(flops: float, nbytes: float) -> float:
    """Time on one thread.

    Parameters
    ----------
    flops : float
        Floating-point operations.
    nbytes : float
        Of the operands, each moved once.

    Returns
    -------
    float
        Seconds. The native pool makes the number of threads of it: the one that finishes first,
        given what it costs to start the others (``ThreadPool::worth_threads``).
    """
    return flops / FLOPS_PER_SECOND + nbytes / BYTES_PER_SECOND
