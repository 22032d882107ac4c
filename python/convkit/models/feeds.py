"""Feeds: how an epoch is cut into runs of equal batches, from arrays or from an iterable."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from convkit import random
from convkit.models.data import Samples
from convkit.ops.registry import Array

__all__ = ["ArrayFeed", "Feed", "IterableFeed", "Passes", "Run", "Segment", "peek", "split_batch"]

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


class Run(NamedTuple):
    """Steps of one batch size, by the positions of their samples; see `Segment`."""

    order: Array | None
    first: int
    batch: int
    steps: int


class Passes:
    """Which samples the steps of an epoch take, in order or shuffled anew for each pass.

    Parameters
    ----------
    count : int
        Samples.
    batch : int
    shuffle : bool or "batch"
        "batch": the samples of a batch stay together and in order, and the batches are shuffled;
        the last one stays where it is if it is smaller.
    steps : int, optional
        Of an epoch, which then goes on where the one before ended, and begins a new pass where
        the data ends; by default an epoch is one pass.
    verb : str
        All but "fit" begin each epoch at the first sample, and end with the data.
    """

    def __init__(
        self,
        count: int,
        batch: int,
        shuffle: bool | str = False,
        steps: int | None = None,
        verb: str = "fit",
    ) -> None:
        self.count = count
        self.batch = batch
        self.shuffle = shuffle
        if steps is not None and verb != "fit":
            most = -(-count // batch)
            if most < steps:
                _warn_ran_out(verb, most, steps)
            steps = min(steps, most)
        self._goes_on = verb == "fit" and steps is not None
        self._limit = steps
        self._position = count  # a pass begins
        self._pass: tuple[int, ...] = ()
        self._kept: tuple[tuple[int, ...], Array | None] = ((), None)

    @property
    def steps(self) -> int:
        """Of an epoch."""
        return -(-self.count // self.batch) if self._limit is None else self._limit

    def _order(self, path: tuple[int, ...]) -> Array | None:
        if self.shuffle and self._kept[0] != path:
            self._kept = path, self._shuffled(random.generator(None, SHUFFLE, *path))
        return self._kept[1]

    def _shuffled(self, generator: np.random.Generator) -> Array:
        if self.shuffle != "batch":
            return generator.permutation(self.count).astype(np.int64, copy=False)
        whole = self.count // self.batch
        firsts = generator.permutation(whole).astype(np.int64, copy=False) * self.batch
        order = (firsts[:, None] + np.arange(self.batch)).reshape(-1)
        return np.concatenate([order, np.arange(whole * self.batch, self.count)])

    def epoch(self, *path: int, skip: int = 0) -> Iterator[Run]:
        """The runs of an epoch. The state changes when all have been taken."""
        left, passes = self.steps, 0
        position, name = self._position, self._pass
        if not self._goes_on:
            position = self.count
        order = self._order(name) if position < self.count else None
        while left:
            if position >= self.count:
                position, name = 0, (*path, passes)
                order = self._order(name)
                passes += 1
            rest = self.count - position
            batch = min(self.batch, rest)
            steps = min(rest // batch, left)
            dropped = min(skip, steps)
            skip -= dropped
            if dropped < steps:
                yield Run(order, position + dropped * batch, batch, steps - dropped)
            position += steps * batch
            left -= steps
        self._position, self._pass = position, name

    def get_state(self) -> dict[str, Any]:
        return {"position": self._position, "pass": list(self._pass)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        position = int(state["position"])
        if not 0 <= position <= self.count:
            raise ValueError(
                f"the state is of data with at least {position} samples, this has {self.count}"
            )
        self._position, self._pass = position, tuple(int(n) for n in state["pass"])


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
        for run in self._passes.epoch(*path, skip=skip):
            yield Segment(self.samples, *run)

    def get_state(self) -> dict[str, Any]:
        return self._passes.get_state()

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._passes.set_state(state)


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
        self._taken = 0  # batches of the iterator, before the epoch
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

    def epoch(self, *path: int, skip: int = 0) -> Generator[Segment, None, None]:
        if self._iterator is None or self._again:
            self._iterator = iter(self.source)
            for _ in range(0 if self._again else self._taken):  # another feed has had them
                next(self._iterator, None)
        done, taken, fresh = 0, self._taken, False
        while self._limit is None or done < self._limit:
            try:
                batch = next(self._iterator)
            except StopIteration:
                if not self._again and not self._once and not fresh:
                    self._iterator, taken, fresh = iter(self.source), 0, True
                    continue
                break
            fresh = False
            taken += 1
            samples = self.check(*split_batch(batch))
            if not samples.count:
                continue
            done += 1
            if done > skip:
                yield Segment(samples, None, 0, samples.count, 1)
        self._taken = taken
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

    def get_state(self) -> dict[str, Any]:
        return {"taken": 0 if self._again else self._taken}

    def set_state(self, state: Mapping[str, Any]) -> None:
        self._iterator, self._taken = None, int(state["taken"])


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
