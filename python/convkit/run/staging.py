"""Data that a GPU has no room for: it trains on one block while the next ones are on their way."""

from __future__ import annotations

import math
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from convkit import _core
from convkit.cuda import native as cuda
from convkit.ops.registry import Array

__all__ = ["BLOCKS", "Block", "Kinds", "Ring", "Stream", "kinds_of"]

BLOCK = 16 << 20  # bytes that are copied together
BLOCKS = 3  # one that kernels read, one that is copied, one that is gathered
GATHERERS = 4  # threads: one gathers 7 to 10 GB/s, and a bus takes 50
ALIGNMENT = 256  # bytes, as of memory that the device gives

Kinds = dict[str, tuple[tuple[int, ...], str]]  # shape and dtype of a row, by the array's name


def kinds_of(arrays: Mapping[str, Any]) -> Kinds:
    """Shape and dtype of a row of each array."""
    return {name: (tuple(a.shape[1:]), a.dtype.name) for name, a in arrays.items()}


def _row_bytes(kinds: Kinds) -> int:
    return sum(np.dtype(dtype).itemsize * math.prod(shape) for shape, dtype in kinds.values())


class Ring:
    """Places for blocks of samples, as much pinned memory of the host as of the GPU.

    Of each array there the rows of all blocks lie together, so that a sample is found by its place
    alone: what reads another block begins at another sample, and is the same program and graph.

    Parameters
    ----------
    kinds : dict
        By name, shape and dtype of a row.
    length : int
        Samples of a block.

    Attributes
    ----------
    host : dict of str to ndarray, shape (BLOCKS * length, ...)
    taken : bool
        Whether a feed reads into it.
    staging : native.Staging
    pointers : dict of str to int
        Of the arrays on the GPU, and of "index", which takes them in order.
    """

    def __init__(self, kinds: Kinds, length: int) -> None:
        self.kinds = kinds
        self.length = length
        offsets, end = {}, 0
        for name in kinds:
            offsets[name] = end
            nbytes = BLOCKS * length * _row_bytes({name: kinds[name]})
            end += -(-nbytes // ALIGNMENT) * ALIGNMENT
        purpose = "samples on their way there"
        native = cuda.require()
        self.staging = cuda.made(lambda: native.Staging(max(end, 1), BLOCKS), purpose, end)
        memory = np.asarray(self.staging)
        self.host: dict[str, Array] = {}
        for name, (shape, dtype) in kinds.items():
            nbytes = BLOCKS * length * _row_bytes({name: kinds[name]})
            part = memory[offsets[name] : offsets[name] + nbytes]
            self.host[name] = part.view(dtype).reshape(BLOCKS * length, *shape)
        self._index = cuda.allocate(8 * BLOCKS * length, purpose)
        self._index.write(np.arange(BLOCKS * length))
        self._offsets = offsets
        self._blocks: dict[int, tuple[Any, Block]] = {}  # by the arrays that `take` gave
        self.taken = False
        self.pointers = {name: self.staging.pointer + at for name, at in offsets.items()}
        self.pointers["index"] = self._index.pointer

    def takes(self, kinds: Kinds, batch: int) -> bool:
        """Whether batches of such samples have a place here."""
        return batch <= self.length and kinds.items() <= self.kinds.items()

    def take(self, place: int, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Let samples be copied to the GPU; the arrays, as they lie in the host's memory here."""
        count = len(next(iter(arrays.values())))
        part = self.part(place, count)
        part = {name: part[name] for name in arrays}
        for name, array in arrays.items():
            if array.ctypes.data != part[name].ctypes.data:  # it was not read in place
                part[name][...] = array
        self.send(place, arrays, count)
        for array in part.values():
            key = id(array)
            forget = partial(self._blocks.pop, key)
            self._blocks[key] = weakref.ref(array, forget), Block(self, place, 0, count)
        return part

    def block_of(self, arrays: Collection[Any]) -> Block | None:
        """The block that `take` gave arrays of; None if it gave them not."""
        known = [self._blocks.get(id(array)) for array in arrays]
        if any(k is None or k[0]() is not a for k, a in zip(known, arrays, strict=True)):
            return None
        return known[0][1] if known and known[0] is not None else None

    def part(self, place: int, count: int) -> dict[str, Array]:
        """The host's memory for samples of a block, once the last ones have been copied from it."""
        self.staging.wait(place)
        begin = place * self.length
        return {name: array[begin : begin + count] for name, array in self.host.items()}

    def send(self, place: int, names: Mapping[str, Any], count: int) -> None:
        """Let samples of a block be copied."""
        stretches = []
        for name in names:
            row = _row_bytes({name: self.kinds[name]})
            stretches.append((self._offsets[name] + place * self.length * row, count * row))
        self.staging.send(place, stretches)


class Block(NamedTuple):
    """Samples from one position to another, and their place in a ring."""

    ring: Ring
    place: int
    begin: int
    end: int

    @property
    def moved(self) -> int:
        """What to add to a position to have that on the GPU."""
        return self.place * self.ring.length - self.begin

    @contextmanager
    def read(self, reader: Any) -> Iterator[None]:
        """While a native executor reads the samples."""
        self.ring.staging.begin(self.place, reader)
        try:
            yield
        finally:
            self.ring.staging.end(self.place, reader)


class Stream:
    """What a thread reads of arrays that have no room on the GPU, in the order of an index.

    The next blocks are gathered and sent by threads of its own.
    """

    def __init__(self) -> None:
        self.ring: Ring | None = None
        self._blocks: deque[tuple[Block, Future[None]]] = deque()  # the latter when it was sent
        self._of: tuple[Any, ...] = ()  # references to what the blocks are of
        self._copies: dict[str, Array] = {}  # of arrays that are on the GPU, where others are not
        self._next = 0  # the block to be made
        self._pools: tuple[ThreadPoolExecutor, ...] = ()  # of the one that sends; of those it asks

    def at(
        self,
        arrays: Mapping[str, Any],
        index: Array | None,
        position: int,
        batch: int,
        room: Callable[[], int],
    ) -> Block:
        """The block with a batch from a position on; waits until it is on its way.

        Parameters
        ----------
        arrays : mapping of str to ndarray
        index : ndarray of int64, optional
            The order of the samples.
        position : int
            Of the first sample, in that order.
        batch : int
        room : callable
            Bytes of the GPU that the blocks may take, if they hold more than one batch each.
        """
        wanted = [*arrays.values(), index]
        same = len(wanted) == len(self._of) and all(
            a is (None if b is None else b()) for a, b in zip(wanted, self._of, strict=True)
        )
        if not same or self.ring is None or not self.ring.takes(kinds_of(arrays), batch):
            self._begin(arrays, index, batch, room)
        blocks = self._blocks
        while blocks and not blocks[0][0].begin <= position <= blocks[0][0].end - batch:
            blocks.popleft()[1].result()
        if not blocks:
            self._next = position
        self._send_ahead(arrays, index, batch)
        block, sent = blocks[0]
        sent.result()
        return block

    def stop(self) -> None:
        """Forget what was read ahead."""
        while self._blocks:
            self._blocks.popleft()[1].exception()
        self._of = ()
        self._copies.clear()

    def _begin(
        self,
        arrays: Mapping[str, Any],
        index: Array | None,
        batch: int,
        room: Callable[[], int],
    ) -> None:
        self.stop()
        kinds = kinds_of(arrays)
        if self.ring is None or not self.ring.takes(kinds, batch):
            self.ring = None  # give its memory back first
            count = len(next(iter(arrays.values())) if index is None else index)
            nbytes = max(_row_bytes(kinds), 1)
            most = min(BLOCK // nbytes, room() // (BLOCKS * (nbytes + 8)), count)
            self.ring = Ring(kinds, max(most // batch * batch, batch))
        wanted = [*arrays.values(), index]
        self._of = tuple(None if a is None else weakref.ref(a) for a in wanted)
        on_gpu = {name: a for name, a in arrays.items() if not isinstance(a, np.ndarray)}
        self._copies = {name: a.numpy() for name, a in on_gpu.items()}

    def _send_ahead(self, arrays: Mapping[str, Any], index: Array | None, batch: int) -> None:
        ring, blocks = self.ring, self._blocks
        assert ring is not None
        if not self._pools:
            counts = 1, min(GATHERERS, _core.num_threads())
            self._pools = tuple(ThreadPoolExecutor(n, "convkit-data") for n in counts)
        sender, gatherers = self._pools
        sources = {**arrays, **self._copies}
        total = len(next(iter(arrays.values())) if index is None else index)
        while len(blocks) < BLOCKS and self._next < total:
            begin = self._next
            self._next = end = min(begin + ring.length // batch * batch, total)
            place = (blocks[-1][0].place + 1) % BLOCKS if blocks else 0
            sent = sender.submit(_send, ring, place, sources, index, begin, end, gatherers)
            blocks.append((Block(ring, place, begin, end), sent))


def _send(
    ring: Ring,
    place: int,
    arrays: Mapping[str, Array],
    index: Array | None,
    begin: int,
    end: int,
    gatherers: ThreadPoolExecutor,
) -> None:
    """Gather samples of arrays, and let them be copied."""
    part = ring.part(place, end - begin)

    def gather(stretch: tuple[int, int]) -> None:
        first, last = stretch
        for name, array in arrays.items():
            out = part[name][first - begin : last - begin]
            if index is None:
                out[...] = array[first:last]
            else:  # mode "raise" would copy once more
                np.take(array, index[first:last], axis=0, out=out, mode="clip")

    cuts = np.linspace(begin, end, GATHERERS + 1).astype(int).tolist()
    for _ in gatherers.map(gather, pairwise(cuts)):
        pass
    ring.send(place, arrays, end - begin)
