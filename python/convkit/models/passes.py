"""Which samples the steps of an epoch take."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from convkit import random
from convkit.models.data import Samples
from convkit.ops.registry import Array

__all__ = ["Passes", "Run", "Segment", "warn_ran_out"]

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
    numbers : ndarray of int64, optional
        Of the samples in the user's data, where they are not their positions.
    passing : bool
        Whether the arrays may be filled anew for the next segment.
    """

    samples: Samples
    order: Array | None
    first: int
    batch: int
    steps: int
    numbers: Array | None = None
    passing: bool = False

    @property
    def indexed(self) -> bool:
        """Whether the samples are taken by their numbers."""
        return self.order is not None

    @property
    def bindings(self) -> dict[str, Array]:
        """The arrays that a program binds to take these samples."""
        index = {} if self.order is None else {"index": self.order}
        return {**self.samples.arrays, **index}


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
                warn_ran_out(verb, most, steps)
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


def warn_ran_out(verb: str, done: int, steps: int) -> None:
    """Warn that there were fewer steps than were asked for, where that ends no training."""
    more = "steps" if verb != "validation" else "validation_steps"
    warnings.warn(
        f"[{verb}] the data ran out after {done} of {steps} steps, so it ends there; "
        f"lower {more}=, or leave it out to take all",
        stacklevel=5,
    )
