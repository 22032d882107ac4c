"""Memory-mapped data: blocks of batches are read in the background while the network trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.data.background import ahead
from convkit.data.files import RowSource, is_mapped, rows_of
from convkit.models.data import (
    Samples,
    as_source,
    check_samples,
    check_shape,
    input_title,
    require_targets,
    same_length,
)
from convkit.models.passes import Run, Segment
from convkit.models.targets import as_targets, as_weights
from convkit.ops.registry import Array
from convkit.program.lower import external_names

if TYPE_CHECKING:
    from convkit.losses import Loss

__all__ = ["LEAST", "StreamedSamples", "is_streamed", "open_samples", "read_ahead"]

LEAST = 64 << 20  # bytes of mapped arrays; less than that goes to the kernels as it is
BLOCK = 16 << 20  # bytes that are read together
AHEAD = 2  # blocks


def is_streamed(values: Iterable[Any]) -> bool:
    """Whether arrays are to be read bit by bit, since most of them may not fit in memory."""
    nbytes: int = sum(v.nbytes for v in values if is_mapped(v))
    return nbytes >= LEAST


@dataclass(frozen=True)
class StreamedSamples(Samples):
    """Samples of which some are in files. `arrays` are as the user gave them, not yet checked.

    Attributes
    ----------
    check : callable
        ``check(arrays) -> Samples`` of rows that have been read.
    """

    check: Callable[[Mapping[str, Array]], Samples] | None = None

    def cut(self, begin: int, end: int) -> StreamedSamples:
        arrays = {name: array[begin:end] for name, array in self.arrays.items()}
        count = max(end - begin, 0)
        return StreamedSamples(arrays, self.inputs, count, self.target, check=self.check)

    def take(
        self,
        sources: Mapping[str, RowSource],
        rows: Array,
        memory: dict[str, Array] | None = None,
    ) -> Samples:
        """Read and check rows.

        Parameters
        ----------
        sources : dict of str to RowSource
            Of `arrays`.
        rows : ndarray of int64, shape (n,)
        memory : dict of str to ndarray, optional
            To read into, from the last call; made larger where need be.

        Raises
        ------
        OSError
            If a file is not what it was.
        TypeError, ValueError
            If the numbers are not what the model takes; the sample is named.
        """
        memory = {} if memory is None else memory
        found = {}
        for name, source in sources.items():
            array = source.array
            if name not in memory or len(memory[name]) < len(rows):
                memory[name] = np.empty((len(rows), *array.shape[1:]), array.dtype)
            found[name] = memory[name][: len(rows)]
            source.read(rows, found[name])
        assert self.check is not None
        try:
            return self.check(found)
        except (TypeError, ValueError):
            for k, row in enumerate(rows):
                self._check_one({name: array[k : k + 1] for name, array in found.items()}, int(row))
            raise

    def _check_one(self, arrays: Mapping[str, Array], row: int) -> None:
        assert self.check is not None
        try:
            self.check(arrays)
        except (TypeError, ValueError) as error:
            raise type(error)(
                f"{error}. That is in sample {row} of the memory-mapped data, which is checked as "
                "it is read; the weights are those from before the batches that it came with"
            ) from None


def open_samples(
    verb: str,
    model: Any,
    values: Sequence[Any],
    y: Any,
    sample_weight: Any,
    class_weight: Mapping[int, float] | None,
    loss: Loss | None,
) -> StreamedSamples:
    """Check of mapped data what can be checked without reading it: see `check_samples`."""
    names = external_names(model)
    arrays: dict[str, Array] = {}
    for name, node, value in zip(names, model.inputs, values, strict=True):
        arrays[name] = _given(value, input_title(verb, name, node))
        check_shape(verb, node, arrays[name])
    counts = {name: len(array) for name, array in arrays.items()}
    if loss is not None:
        require_targets(verb, y, loss)
        arrays["y"] = _given(y, f"[{verb}] y")
        counts["y"] = len(arrays["y"]) if arrays["y"].ndim else 0
        if sample_weight is not None:
            arrays["weight"] = np.asarray(sample_weight)
            counts["sample_weight"] = len(sample_weight)
    same_length(verb, counts)
    if loss is not None and not is_mapped(arrays["y"]):  # before the first step
        output = tuple(model.outputs[0].shape[1:])
        arrays["y"] = as_targets(verb, arrays["y"], output, loss)
        weights = as_weights(verb, arrays["y"], output, loss, sample_weight, class_weight)
        if weights is not None:
            arrays["weight"] = weights
        class_weight = None

    def check(rows: Mapping[str, Array]) -> Samples:
        x = [rows[name] for name in names]
        return check_samples(
            verb, model, x if len(x) > 1 else x[0], rows.get("y"), rows.get("weight"),
            class_weight, loss,
        )  # fmt: skip

    count = counts[names[0]]
    whole = StreamedSamples(arrays, (), count, None, check=check)
    with _sources(whole) as sources:
        probe = whole.take(sources, np.zeros(min(count, 1), np.int64))
    return StreamedSamples(arrays, probe.inputs, count, probe.target, check=check)


def _given(value: Any, title: str) -> Array:
    """An array as it is, if it is mapped; otherwise one that the kernels can gather from."""
    if not is_mapped(value):
        return as_source(value, title)
    array = np.asarray(value)
    as_source(array[:0], title)  # refuses dtypes
    return array


@contextmanager
def _sources(samples: Samples) -> Iterator[dict[str, RowSource]]:
    sources: dict[str, RowSource] = {}
    try:
        for name, array in samples.arrays.items():
            sources[name] = rows_of(array)
        yield sources
    finally:
        for source in sources.values():
            source.close()


def _blocks(samples: Samples, runs: Iterator[Run]) -> Iterator[tuple[int, int, Array]]:
    """Batch, steps and the numbers of the samples of what is read together."""
    sizes = (a.dtype.itemsize * math.prod(a.shape[1:]) for a in samples.arrays.values())
    nbytes = max(sum(sizes), 1)
    for order, first, batch, steps in runs:
        most = max(BLOCK // (nbytes * batch), 1)
        for done in range(0, steps, most):
            taken = min(most, steps - done)
            begin = first + done * batch
            end = begin + taken * batch
            yield batch, taken, np.arange(begin, end) if order is None else order[begin:end]


def read_ahead(samples: StreamedSamples, runs: Iterator[Run]) -> Generator[Segment, None, None]:
    """Segments of blocks in memory: the same samples, in the same order, as `runs` name."""
    ring: list[dict[str, Array]] = [{} for _ in range(AHEAD + 1)]

    with _sources(samples) as sources:

        def read(memory: dict[str, Array], batch: int, steps: int, rows: Array) -> Segment:
            return Segment(samples.take(sources, rows, memory), None, 0, batch, steps, rows)

        # A block's memory is free again when the one after it is asked for.
        jobs = (
            partial(read, ring[i % len(ring)], *block)
            for i, block in enumerate(_blocks(samples, runs))
        )
        yield from ahead(jobs, AHEAD)
