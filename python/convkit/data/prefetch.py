"""prefetch: the next batches are made while the network trains on this one."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing
from typing import Any

from convkit.data.background import ahead

__all__ = ["DEPTH", "END", "Prefetched", "prefetch"]

DEPTH = 2  # batches
END = object()  # stands behind the last batch


class Prefetched:
    """What `prefetch` returns; give it to ``fit``, or iterate over it.

    Attributes
    ----------
    source : iterable
    depth : int
    waiting : deque of Future
        What was made ahead of the last reader and not taken by it, if `source` is an iterator.
    """

    def __init__(self, source: Iterable[Any], depth: int) -> None:
        self.source = source
        self.depth = depth
        self.waiting: deque[Future[Any]] = deque()

    def __iter__(self) -> Iterator[Any]:
        iterator = iter(self.source)
        waiting = self.waiting if iterator is self.source else deque()

        def jobs() -> Iterator[Any]:
            while True:
                yield lambda: next(iterator, END)

        with closing(ahead(jobs(), self.depth, 1, waiting)) as batches:
            for batch in batches:
                if batch is END:
                    return
                yield batch

    def __repr__(self) -> str:
        return f"prefetch({self.source!r}, {self.depth})"


class _Sized(Prefetched):
    def __len__(self) -> int:
        return len(self.source)  # type: ignore[arg-type]


def prefetch(iterable: Iterable[Any], depth: int = DEPTH) -> Prefetched:
    """Batches of an iterable, the next ones made in a thread while the network trains on this one.

    ``fit``, ``evaluate`` and ``predict`` do so by themselves, two batches ahead, with what can be
    iterated again and again. A generator or another iterator they read in step, because what was
    read ahead and not used would be lost to whoever reads it next: wrapped in this function it is
    read ahead, and the wrapper keeps what was not used for its next reader. A depth of 0 keeps
    everything in the caller's thread.

    Parameters
    ----------
    iterable : iterable
        Its code runs in another thread, where Python lets it run while native code does.
    depth : int
        Batches that are made ahead.

    Returns
    -------
    Prefetched
        An iterable, of the same length if there is one.

    Raises
    ------
    TypeError, ValueError
        If one cannot iterate over it, or `depth` is negative.

    Examples
    --------
    >>> import convkit as ck
    >>> list(ck.data.prefetch(n * n for n in range(5)))
    [0, 1, 4, 9, 16]
    """
    if not isinstance(iterable, Iterable):
        raise TypeError(
            f"[prefetch] {type(iterable).__name__} cannot be iterated over; give a generator, or "
            "an object with __iter__ (an object with __getitem__ and __len__ needs no prefetch)"
        )
    try:
        depth = operator.index(depth)
    except TypeError:
        raise TypeError(f"[prefetch] depth must be a whole number, not {depth!r}") from None
    if depth < 0:
        raise ValueError(f"[prefetch] depth is {depth}, expected 0 or more batches")
    kind = _Sized if hasattr(iterable, "__len__") else Prefetched
    return kind(iterable, depth)
