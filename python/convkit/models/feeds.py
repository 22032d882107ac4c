"""Feeds: how an epoch is cut into runs of equal batches, from arrays or from an iterable."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from convkit import random
from convkit.models.data import Samples
from convkit.ops.registry import Array

__all__ = ["ArrayFeed", "Feed", "IterableFeed", "Segment", "peek", "split_batch"]

SHUFFLE = 0x73687566  # the path of shuffles among the uses of the seed


class Segment(NamedTuple):
    """A run of steps with the same batch size over the same arrays.

    Attributes
    ----------
    samples : Samples
    order : ndarray of int64 or None
        Of the samples; None: as they come.
    first : int
        Position of the first sample.
    batch, steps : int
    """

    samples: Samples
    order: Array | None
    first: int
    batch: int
    steps: int


class Feed(Protocol):
    """Where the batches of an epoch come from."""

    @property
    def steps(self) -> int | None:
        """Steps of an epoch, None where nobody knows."""

    def epoch(self, *path: int) -> Iterator[Segment]:
        """The segments of an epoch.

        Parameters
        ----------
        *path : int
            Whatever tells this epoch from others, for the shuffle.
        """


class ArrayFeed:
    """Batches from arrays, in order or shuffled anew for each pass.

    With `steps`, an epoch of training goes on where the one before ended, and begins a new pass
    where the data ends.

    Parameters
    ----------
    samples : Samples
    batch : int
    shuffle : bool
    steps : int, optional
        Of an epoch; by default all samples.
    verb : str
        All but "fit" begin each epoch at the first sample, and end with the data.
    """

    def __init__(
        self,
        samples: Samples,
        batch: int,
        shuffle: bool = False,
        steps: int | None = None,
        verb: str = "fit",
    ) -> None:
        self.samples = samples
        self.batch = batch
        self.shuffle = shuffle
        if steps is not None and verb != "fit":
            most = -(-samples.count // batch)
            if most < steps:
                _warn_ran_out(verb, most, steps)
            steps = min(steps, most)
        self._again = verb != "fit"
        self._limit = steps
        self._index: Array | None = None
        self._position = samples.count

    @property
    def steps(self) -> int:
        return -(-self.samples.count // self.batch) if self._limit is None else self._limit

    def _begin(self, path: tuple[int, ...]) -> None:
        self._position = 0
        if self.shuffle:
            order = random.generator(None, SHUFFLE, *path)
            self._index = order.permutation(self.samples.count).astype(np.int64, copy=False)

    def epoch(self, *path: int) -> Iterator[Segment]:
        count, left, passes = self.samples.count, self.steps, 0
        if self._limit is None or self._again:
            self._position = count
        while left:
            if self._position >= count:
                self._begin((*path, passes))
                passes += 1
            first, rest = self._position, count - self._position
            batch = min(self.batch, rest)
            steps = min(rest // batch, left)
            self._position += steps * batch
            left -= steps
            yield Segment(self.samples, self._index, first, batch, steps)


def _warn_ran_out(verb: str, done: int, steps: int) -> None:
    more = "steps" if verb != "validation" else "validation_steps"
    warnings.warn(
        f"[{verb}] the data ran out after {done} of {steps} steps, so it ends there; "
        f"lower {more}=, or leave it out to take all",
        stacklevel=5,
    )


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


class IterableFeed:
    """Batches from a generator, or from any object that can be iterated again and again.

    Parameters
    ----------
    source : iterable
    check : callable
        ``check(x, y, sample_weight) -> Samples``.
    steps : int, optional
        Of an epoch; by default until the source ends.
    verb : str
        All but "fit" begin each epoch anew where the source allows it, and end with the data.
    """

    def __init__(
        self,
        source: Iterable[Any],
        check: Callable[..., Samples],
        steps: int | None = None,
        verb: str = "fit",
    ) -> None:
        self.source = source
        self.check = check
        self._limit = steps
        self._iterator: Iterator[Any] | None = None
        self._once = iter(source) is source
        self._verb = verb
        self._again = not self._once and (steps is None or verb != "fit")
        self.ended = False

    @property
    def steps(self) -> int | None:
        if self._limit is not None:
            return self._limit
        length = getattr(self.source, "__len__", None)
        return None if length is None else int(length())

    def epoch(self, *path: int) -> Iterator[Segment]:
        if self._iterator is None or self._again:
            self._iterator = iter(self.source)
        done, fresh = 0, False
        while self._limit is None or done < self._limit:
            try:
                batch = next(self._iterator)
            except StopIteration:
                if not self._again and not self._once and not fresh:
                    self._iterator, fresh = iter(self.source), True
                    continue
                break
            fresh = False
            samples = self.check(*split_batch(batch))
            if not samples.count:
                continue
            done += 1
            yield Segment(samples, None, 0, samples.count, 1)
        if self._once and self._limit is None:
            self.ended = True
        if self._limit is not None and done < self._limit:
            self.ended = True
            if self._verb != "fit":
                _warn_ran_out(self._verb, done, self._limit)
                return
            warnings.warn(
                f"the data ran out after {done} of {self._limit} steps of an epoch, so training "
                "ends; make the generator yield at least steps_per_epoch * epochs batches",
                stacklevel=2,
            )


def peek(verb: str, source: Iterable[Any]) -> tuple[Iterable[Any], Any]:
    """An iterable of the same batches, and the x of the first one.

    Raises
    ------
    ValueError
        If it yields nothing.
    """
    iterator = iter(source)
    first = next(iterator, None)
    if first is None:
        raise ValueError(f"[{verb}] x is empty: the iterable yields no batch")
    if iterator is not source:
        return source, split_batch(first)[0]
    return itertools.chain([first], iterator), split_batch(first)[0]
