"""Memory-mapped data: blocks of batches are read in the background while the network trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain
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
from convkit.run.staging import BLOCKS, Kinds, Ring, kinds_of

if TYPE_CHECKING:
    from convkit.losses import Loss
    from convkit.run.device_data import DeviceData

__all__ = ["LEAST", "StreamedSamples", "is_streamed", "open_samples", "read_ahead"]

LEAST = 64 << 20  # bytes of mapped arrays; less than that goes to the kernels as it is
BLOCK = 16 << 20  # bytes that are read together
AHEAD = BLOCKS - 1  # blocks that are read while the network trains on one


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
    kinds : dict
        Shape and dtype of a row of each array that this gives.
    on_gpu : callable
        Where a GPU's data is, if it is to go there; None if not.
    """

    check: Callable[[Mapping[str, Array]], Samples] | None = None
    kinds: Kinds = field(default_factory=dict)
    on_gpu: Callable[[], DeviceData | None] = lambda: None

    def cut(self, begin: int, end: int) -> StreamedSamples:
        arrays = {name: array[begin:end] for name, array in self.arrays.items()}
        return replace(self, arrays=arrays, count=max(end - begin, 0), rows=None)

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

    def on_gpu() -> DeviceData | None:
        found: DeviceData | None = model.store.device_data if model.device == "cuda" else None
        return found

    whole = StreamedSamples(arrays, (), count, None, check=check, on_gpu=on_gpu)
    with _sources(whole) as sources:
        probe = whole.take(sources, np.zeros(min(count, 1), np.int64))
    kinds = kinds_of(probe.arrays)
    return replace(whole, inputs=probe.inputs, target=probe.target, kinds=kinds)


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
    together = _together(samples)
    for order, first, batch, steps in runs:
        most = max(together // batch, 1)
        for done in range(0, steps, most):
            taken = min(most, steps - done)
            begin = first + done * batch
            end = begin + taken * batch
            yield batch, taken, np.arange(begin, end) if order is None else order[begin:end]


def _together(samples: Samples) -> int:
    """Samples that are read together, but for a batch that is larger."""
    sizes = (a.dtype.itemsize * math.prod(a.shape[1:]) for a in samples.arrays.values())
    return BLOCK // max(sum(sizes), 1)


def read_ahead(samples: StreamedSamples, runs: Iterator[Run]) -> Generator[Segment, None, None]:
    """Segments of blocks in memory: the same samples, in the same order, as `runs` name.

    Those for a GPU are read into memory from which they are copied there ahead, too.
    """
    memory: list[dict[str, Array]] = [{} for _ in range(BLOCKS)]
    gpu = samples.on_gpu()
    with _sources(samples) as sources, ExitStack() as held:
        ring: Ring | None = None

        def read(place: int, batch: int, steps: int, rows: Array) -> Segment:
            if ring is None:
                found = samples.take(sources, rows, memory[place])
            elif len(rows) > ring.length:  # a larger batch than the first one
                found = samples.take(sources, rows)
            else:
                part, given = ring.part(place, len(rows)), kinds_of(samples.arrays)
                same = {name: a for name, a in part.items() if given.get(name) == ring.kinds[name]}
                memory[place] |= same
                found = samples.take(sources, rows, memory[place])
                if kinds_of(found.arrays) == samples.kinds:
                    found = replace(found, arrays=ring.take(place, found.arrays))
            return Segment(found, None, 0, batch, steps, rows)

        blocks = _blocks(samples, runs)
        first = next(blocks, None)
        if first is None:
            return
        if gpu is not None:
            length = max(min(_together(samples), samples.count), len(first[2]))
            ring = held.enter_context(gpu.ring(samples.kinds, length))
        # A block's memory is free again when the one after it is asked for.
        jobs = (partial(read, i % BLOCKS, *block) for i, block in enumerate(chain([first], blocks)))
        yield from ahead(jobs, AHEAD)
