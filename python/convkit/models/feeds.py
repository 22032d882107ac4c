"""Feeds: how an epoch is cut into runs of equal batches, from arrays or from an iterable."""

from __future__ import annotations

import itertools
import math
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing
from functools import partial
from typing import Any, Protocol

from convkit.data.background import ahead
from convkit.data.prefetch import DEPTH, END, Prefetched
from convkit.data.sequence import is_sequence
from convkit.models.data import Samples
from convkit.models.passes import Passes, Segment, warn_ran_out
from convkit.models.streams import StreamedSamples, read_ahead

__all__ = [
    "ArrayFeed",
    "Feed",
    "IterableFeed",
    "Segment",
    "SequenceFeed",
    "peek",
    "split_batch",
]


class Feed(Protocol):
    """Where the batches of an epoch come from."""

    @property
    def steps(self) -> int | None:
        """Steps of an epoch, None where nobody knows."""

    def epoch(self, *path: int, skip: int = 0) -> Generator[Segment, None, None]:
        """The segments of an epoch; to be closed by who does not take them all.

        Parameters
        ----------
        *path : int
            Whatever tells this epoch from others, for the shuffle.
        skip : int
            Steps to leave out at the beginning, because they were done before.
        """

    def get_state(self) -> dict[str, Any]:
        """Where the epoch at hand began, or the next one will: what `set_state` takes."""

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on where another feed over the same data was."""


class ArrayFeed:
    """Batches from arrays: see `Passes`.

    Parameters
    ----------
    samples : Samples
    batch : int
    shuffle : bool or "batch"
    steps : int, optional
    verb : str
    """

    def __init__(
        self,
        samples: Samples,
        batch: int,
        shuffle: bool | str = False,
        steps: int | None = None,
        verb: str = "fit",
    ) -> None:
        self.samples = samples
        self._passes = Passes(samples.count, batch, shuffle, steps, verb)

    @property
    def steps(self) -> int:
        return self._passes.steps

    def epoch(self, *path: int, skip: int = 0) -> Generator[Segment, None, None]:
        runs = self._passes.epoch(*path, skip=skip)
        rows = self.samples.rows
        if rows is not None:  # a part of the arrays
            runs = (r._replace(order=rows if r.order is None else rows[r.order]) for r in runs)
        if isinstance(self.samples, StreamedSamples):
            yield from read_ahead(self.samples, runs)
        else:
            for run in runs:
                yield Segment(self.samples, *run)

    def describe(self) -> dict[str, Any]:
        """What decides which samples the steps take, besides the seed."""
        passes = self._passes
        told: dict[str, Any] = {
            "samples": passes.count,
            "batch_size": passes.batch,
            "shuffle": passes.shuffle,
        }
        if self.samples.weighted:  # by sample_weight or class_weight; exact in any order
            told["sum of weights"] = math.fsum(self.samples.arrays["weight"].flat)
        return told

    def get_state(self) -> dict[str, Any]:
        return self._passes.get_state()

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._passes.set_state(state)


def split_batch(batch: Any) -> tuple[Any, Any, Any]:
    """Split what an iterable yields into x, y and sample_weight; absent ones are None."""
    if isinstance(batch, tuple):
        if not 1 <= len(batch) <= 3:
            raise ValueError(
                f"an iterable of batches must yield x, (x, y) or (x, y, sample_weight), got a "
                f"tuple of {len(batch)}"
            )
        return (*batch, *(None,) * (3 - len(batch)))
    if isinstance(batch, list) and len(batch) in (2, 3):  # a DataLoader's batch
        return (*batch, *(None,) * (3 - len(batch)))
    return batch, None, None


def _checked(check: Callable[..., Samples], batch: Any, number: int) -> Samples:
    """Samples of a batch; complaints name its number, counted from 1."""
    try:
        return check(*split_batch(batch))
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        verb, found, text = str(error).partition("] ")
        if not found or not verb.startswith("["):
            raise kind(f"batch {number}: {error}") from error
        raise kind(f"{verb}] batch {number}: {text}") from error


class IterableFeed:
    """Batches from a generator, or from any object that can be iterated again and again.

    The latter is read ahead in the background. A generator is not, unless `prefetch` says so: what
    was read and not used would be lost to its next reader.

    Parameters
    ----------
    source : iterable
    check : callable
        ``check(x, y, sample_weight) -> Samples``.
    steps : int, optional
        Of an epoch; by default until the source ends.
    verb : str
        All but "fit" begin each epoch anew where the source allows it, and end with the data.

    Attributes
    ----------
    once : bool
        Whether the source can be read only once, as a generator.
    """

    def __init__(
        self,
        source: Iterable[Any],
        check: Callable[..., Samples],
        steps: int | None = None,
        verb: str = "fit",
    ) -> None:
        asked = source if isinstance(source, Prefetched) else None
        self.source = source if asked is None else asked.source
        self.check = check
        self._limit = steps
        self._iterator: Iterator[Any] | None = None
        self._taken = 0  # batches of the iterator, before the epoch
        self.once = iter(self.source) is self.source
        self._depth = (0 if self.once else DEPTH) if asked is None else asked.depth
        self._waiting: deque[Future[Any]] = deque() if asked is None else asked.waiting
        self._verb = verb
        self._again = not self.once and (steps is None or verb != "fit")
        self.ended = False

    @property
    def steps(self) -> int | None:
        if self._limit is not None:
            return self._limit
        length = getattr(self.source, "__len__", None)
        return None if length is None else int(length())

    def _begin(self) -> None:
        """Make an iterator, and leave out what another feed has had of it."""
        self._iterator = iter(self.source)
        if not self.once:
            self._waiting.clear()
        for _ in range(0 if self._again else self._taken):
            if self._waiting:
                self._waiting.popleft()
            else:
                next(self._iterator, None)

    def _next(self) -> Any:
        """The next batch, or END; in the thread that reads ahead."""
        assert self._iterator is not None
        batch = next(self._iterator, END)
        if batch is END and not self.once and not self._again:
            self._iterator = iter(self.source)
        return batch

    def epoch(self, *path: int, skip: int = 0) -> Generator[Segment, None, None]:
        if self._iterator is None or self._again:
            self._begin()
        done, taken, fresh = 0, self._taken, False
        results = ahead(itertools.repeat(self._next), self._depth, 1, self._waiting)
        with closing(results):
            while self._limit is None or done < self._limit:
                batch = next(results)
                if batch is END:
                    if not self._again and not self.once and not fresh:
                        taken, fresh = 0, True
                        continue
                    break
                fresh = False
                taken += 1
                samples = _checked(self.check, batch, taken)
                if not samples.count:
                    continue
                done += 1
                if done > skip:
                    yield Segment(samples, None, 0, samples.count, 1, passing=True)
        self._taken = taken
        if self.once and self._limit is None:
            self.ended = True
        if self._limit is not None and done < self._limit:
            self.ended = True
            if self._verb != "fit":
                warn_ran_out(self._verb, done, self._limit)
                return
            warnings.warn(
                f"the data ran out after {done} of {self._limit} steps of an epoch, so training "
                "ends; make the generator yield at least steps_per_epoch * epochs batches",
                stacklevel=2,
            )

    def get_state(self) -> dict[str, Any]:
        return {"taken": 0 if self._again else self._taken}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._iterator, self._taken = None, int(state["taken"])


class SequenceFeed:
    """Batches by number, made ahead in threads: see `convkit.data.PyDataset`.

    Parameters
    ----------
    source : object
        With ``__getitem__`` and ``__len__``.
    check : callable
        ``check(x, y, sample_weight) -> Samples``.
    shuffle : bool
        Whether each epoch takes the batches in another order.
    steps : int, optional
        Of an epoch; see `Passes`.
    verb : str
    """

    def __init__(
        self,
        source: Any,
        check: Callable[..., Samples],
        shuffle: bool = False,
        steps: int | None = None,
        verb: str = "fit",
    ) -> None:
        self.source = source
        self.check = check
        self._passes = Passes(len(source), 1, shuffle, steps, verb)
        self._workers = max(int(getattr(source, "workers", 1)), 1)
        self._depth = max(int(getattr(source, "max_queue_size", DEPTH)), self._workers)

    @property
    def steps(self) -> int:
        return self._passes.steps

    def epoch(self, *path: int, skip: int = 0) -> Generator[Segment, None, None]:
        self._call("on_epoch_begin")

        def get(number: int) -> tuple[int, Any]:
            return number, self.source[number]

        jobs = (
            partial(get, n if order is None else int(order[n]))
            for order, first, _, steps in self._passes.epoch(*path, skip=skip)
            for n in range(first, first + steps)
        )
        with closing(ahead(jobs, self._depth, self._workers)) as results:
            for number, batch in results:
                samples = _checked(self.check, batch, number + 1)
                if samples.count:
                    yield Segment(samples, None, 0, samples.count, 1, passing=True)
        self._call("on_epoch_end")

    def _call(self, hook: str) -> None:
        function = getattr(self.source, hook, None)
        if function is not None:
            function()

    def get_state(self) -> dict[str, Any]:
        return self._passes.get_state()

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._passes.set_state(state)


def peek(verb: str, source: Any) -> tuple[Any, Any]:
    """An iterable of the same batches, and the x of the first one.

    Raises
    ------
    ValueError
        If it yields nothing.
    """
    if is_sequence(source):
        if len(source) == 0:
            raise ValueError(f"[{verb}] x is empty: {type(source).__name__} has 0 batches")
        return source, split_batch(source[0])[0]
    waiting = source.waiting if isinstance(source, Prefetched) else None
    iterator = iter(source if waiting is None else source.source)
    if waiting:
        first = waiting[0].result()
    else:
        first = next(iterator, END)
    if first is END:
        raise ValueError(f"[{verb}] x is empty: the iterable yields no batch")
    x = split_batch(first)[0]
    if waiting is None:
        return (itertools.chain([first], iterator) if iterator is source else source), x
    if iterator is source.source and not waiting:
        waiting.append(Future())
        waiting[0].set_result(first)
    return source, x
