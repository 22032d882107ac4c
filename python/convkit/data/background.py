"""Work done in the background while the network trains."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")


def ahead(
    jobs: Iterable[Callable[[], T]],
    depth: int,
    workers: int = 1,
    waiting: deque[Future[T]] | None = None,
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
        0: each job is done in the caller's thread, when its result is asked for.
    workers : int
        Threads; jobs of one thread run one after the other.
    waiting : deque of Future, optional
        Results that an earlier call had not given out come first. Those of this call are left here.
    """
    waiting = deque() if waiting is None else waiting
    if depth == 0:
        yield from (job() for job in jobs)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="convkit-data")
    try:
        for job in jobs:
            while len(waiting) > depth:  # of an earlier call
                yield waiting.popleft().result()
            waiting.append(pool.submit(job))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        kept = [future for future in waiting if not future.cancelled()]
        waiting.clear()
        waiting.extend(kept)
