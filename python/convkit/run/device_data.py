"""What of a model's data is on a GPU beside its parameters."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from convkit.cuda import native as cuda
from convkit.cuda.array import Array as OnGpu
from convkit.ops.registry import Array
from convkit.run.staging import Block, Kinds, Ring, Stream

__all__ = ["DeviceData"]

ROOM = 0.9  # of the free memory that data may take


class DeviceData:
    """A thread's memory on the device: copies of arrays, each for as long as the array is there.

    An array is copied when a run first binds it; `forget` makes the next run copy all anew, as
    between calls of `fit` a user may have changed them. Arrays that the device has no room for go
    there block by block, while it trains: see `stream`, and `ring` for those that are in files.
    Between runs it is idle, and gives all of that back where others want the memory.

    Attributes
    ----------
    stream : Stream
        What is read of arrays that have no room.
    """

    def __init__(self) -> None:
        self.stream = Stream()
        self._arena: Any = None
        self._copies: dict[int, tuple[Any, Any]] = {}
        self._too_large: dict[int, Any] = {}  # arrays without room, for as long as they are there
        self._spare: list[Any] = []
        self._rings: list[Ring] = []
        self._busy = threading.Lock()
        cuda.hold(self)

    @contextmanager
    def used(self) -> Iterator[None]:
        """Keep what is on the device for a run; no other one of the thread may begin in it."""
        with self._busy:
            yield

    def release(self) -> None:
        """Give back all but the activations, if no run uses it; any thread may ask for that."""
        if self._busy.acquire(blocking=False):
            try:
                self.stream.stop()
                self.stream.ring = None
                self._copies.clear()
                self._spare.clear()
                self._rings = [ring for ring in self._rings if ring.taken]
            finally:
                self._busy.release()

    def arena(self, nbytes: int) -> Any:
        """Memory for activations, kept between steps."""
        if self.arena_bytes < max(nbytes, 1):
            self._arena = None  # give the old block back first, and what nobody uses
            self._spare.clear()
            self._rings = [ring for ring in self._rings if ring.taken]
            try:
                self._arena = cuda.allocate(nbytes, "activations")
            except MemoryError:
                self._copies.clear()  # data can do with less
                self._arena = cuda.allocate(nbytes, "activations")
        return self._arena

    @property
    def arena_bytes(self) -> int:
        return 0 if self._arena is None else int(self._arena.nbytes)

    @contextmanager
    def ring(self, kinds: Kinds, length: int) -> Iterator[Ring | None]:
        """A ring for blocks that a feed reads, kept for the next one; None if it has no room."""
        with self._busy:
            found = next((r for r in self._rings if not r.taken and r.takes(kinds, length)), None)
            if found is None:
                self._rings = [ring for ring in self._rings if ring.taken]
                with suppress(MemoryError):
                    found = Ring(kinds, length)
                    self._rings.append(found)
            if found is not None:
                found.taken = True
        if found is None:
            yield None
            return
        try:
            yield found
        finally:
            found.taken = False

    def block_of(self, arrays: Collection[Array | OnGpu]) -> Block | None:
        """The block of a ring that arrays are; None if they are not."""
        found = (ring.block_of(arrays) for ring in self._rings if ring.taken)
        return next((block for block in found if block is not None), None)

    def room(self) -> int:
        """Bytes that data may take."""
        return int(ROOM * cuda.free_memory(0))

    def forget(self) -> None:
        """Copy all anew."""
        with self._busy:
            self.stream.stop()
            self._spare += [memory for _, memory in self._copies.values()]
            self._copies.clear()
            self._too_large.clear()

    def fits(self, arrays: Iterable[Array | OnGpu]) -> bool:
        """Whether all of these arrays are on the device, or it has room for their copies."""
        missing = [a for a in arrays if not (isinstance(a, OnGpu) or self._knows(a))]
        if any(self._is_too_large(a) for a in missing):
            return False
        if self._has_room([max(a.nbytes, 1) for a in missing]):
            return True
        self._spare.clear()
        for a in missing:
            key = id(a)
            self._too_large[key] = weakref.ref(a, partial(self._drop, key))
        return False

    def pointer(self, array: Array | OnGpu) -> int:
        """Where an array on the device is, or the copy of one that is not."""
        if isinstance(array, OnGpu):
            return array.pointer
        key = id(array)
        if not self._knows(array):
            memory = self._place(array)
            self._copies[key] = weakref.ref(array, partial(self._drop, key)), memory
        return int(self._copies[key][1].pointer)

    def _knows(self, array: Array) -> bool:
        known = self._copies.get(id(array))
        return known is not None and known[0]() is array

    def _is_too_large(self, array: Array) -> bool:
        known = self._too_large.get(id(array))
        return known is not None and known() is array

    def _drop(self, key: int, _: Any) -> None:
        """Forget an array that is gone; its last owner may have been another thread."""
        self._too_large.pop(key, None)
        gone = self._copies.pop(key, None)
        if gone is not None:
            self._spare.append(gone[1])

    def _has_room(self, sizes: list[int]) -> bool:
        """Whether there is memory of so many bytes each; spare memory is kept where it is used."""
        kept, wanted = [], 0
        for nbytes in sizes:
            memory = next((m for m in self._spare if m.nbytes == nbytes), None)
            if memory is None:
                wanted += nbytes
            else:
                self._spare.remove(memory)
                kept.append(memory)
        if wanted:
            self._spare.clear()
        self._spare += kept
        return not wanted or wanted <= ROOM * cuda.free_memory(math.ceil(wanted / ROOM))

    def _place(self, array: Array) -> Any:
        """A copy on the device, best where one of that size was: then graphs need not change."""
        nbytes = max(array.nbytes, 1)
        memory = next((m for m in self._spare if m.nbytes == nbytes), None)
        if memory is not None:
            self._spare.remove(memory)
        else:
            memory = cuda.allocate(nbytes, "the data")
        memory.write(array)
        return memory
