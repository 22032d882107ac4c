"""Work done in the background while the network trains."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")


def ahead(
    jobs: Iterable[Callable[[], T]], depth: int, workers: int = 1
) -> Generator[T, None, None]:
    """Results of jobs in their order, the next ones in the making.

    While the caller has one result, at most `depth` more are made or wait. What a job raises comes
    out here in its turn, with its traceback. When the generator is closed, or anything goes wrong,
    the threads are gone before it returns: who does not take all results must close it.

    Parameters
    ----------
    jobs : iterable of callable
        Taken in the caller's thread; the next one when a result is asked for.
    depth : int
    workers : int
        Threads; jobs of one thread run one after the other.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix="convkit-data")
    waiting: deque[Future[T]] = deque()
    try:
        for job in jobs:
            waiting.append(pool.submit(job))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
