"""What a kernel costs on one thread, by a model: how many threads it is worth follows from it."""

from __future__ import annotations

from convkit import _core

__all__ = ["seconds"]


def seconds(flops: float, nbytes: float) -> float:
    """Time on one thread, at the rates of ``core/thread_pool.h``.

    Parameters
    ----------
    flops : float
        Floating-point operations.
    nbytes : float
        Of the operands, each moved once.

    Returns
    -------
    float
        Seconds, rather too few than too many. The native pool makes the number of threads of it:
        the one that finishes first, given what it costs to have the others join
        (``ThreadPool::worth_threads``).
    """
    return flops / _core.thread_flops + nbytes / _core.thread_bytes
