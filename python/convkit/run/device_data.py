"""What of a model's data is on a GPU beside its parameters."""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
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
    """A model's memory on the device: copies of arrays, each for as long as the array is there.

    An array is copied when a run first binds it; `forget` makes the next run copy all anew, as
    between calls of `fit` a user may have changed them. Arrays that the device has no room for go
    there block by block, while it trains: see `stream`.
    """

    def __init__(self) -> None:
        self._copies: dict[int, tuple[Any, Any]] = {}
        self._too_large: dict[int, Any] = {}  # arrays without room, for as long as they are there
        self._spare: list[Any] = []
        self._rings: list[Ring] = []  # that nobody uses
        self._sent: dict[int, tuple[Any, Block]] = {}  # by the arrays on the host
        self._calls = 0  # of `forget`
        self._lock = threading.RLock()
        self._thread = threading.local()

    def __reduce__(self) -> tuple[type[DeviceData], tuple[()]]:
        return DeviceData, ()  # a copy of a model starts without

    def arena(self, nbytes: int) -> Any:
        """Memory for activations, one block for each thread, kept between steps."""
        if self.arena_bytes < max(nbytes, 1):
            self._thread.arena = None  # give the old block back first
            self._thread.arena = cuda.allocate(nbytes, "activations")
        return self._thread.arena

    @property
    def arena_bytes(self) -> int:
        """Of this thread's block."""
        arena = getattr(self._thread, "arena", None)
        return 0 if arena is None else int(arena.nbytes)

    @contextmanager
    def ring(self, kinds: Kinds, length: int) -> Iterator[Ring | None]:
        """A ring for blocks that are read elsewhere, kept for the next one; None without room."""
        with self._lock:
            found = next((r for r in self._rings if r.takes(kinds, length)), None)
            if found is not None:
                self._rings.remove(found)
            else:
                self._rings.clear()
                with suppress(MemoryError):
                    found = Ring(kinds, length)
        try:
            yield found
        finally:
            if found is not None:
                with self._lock:
                    self._rings.append(found)

    def send(self, ring: Ring, place: int, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Let samples be copied to a place of a ring; the arrays, as they lie in the ring."""
        count = len(next(iter(arrays.values())))
        part = ring.part(place, count)
        part = {name: part[name] for name in arrays}
        for name, array in arrays.items():
            if array.ctypes.data != part[name].ctypes.data:
                part[name][...] = array
        ring.send(place, arrays, count)
        block = Block(ring, place, 0, count)
        with self._lock:
            for array in part.values():
                key = id(array)
                self._sent[key] = weakref.ref(array, partial(self._drop, key)), block
        return part

    def block_of(self, arrays: Iterable[Array | OnGpu]) -> Block | None:
        """The block that arrays were sent with; None if they were not."""
        found: Block | None = None
        for array in arrays:
            known = self._sent.get(id(array))
            if known is None or known[0]() is not array:
                return None
            found = known[1]
        return found

    @property
    def stream(self) -> Stream:
        """What this thread reads of arrays that have no room."""
        if not hasattr(self._thread, "stream"):
            self._thread.stream = Stream()
        elif self._thread.calls != self._calls:
            self._thread.stream.stop()
        self._thread.calls = self._calls
        stream: Stream = self._thread.stream
        return stream

    def room(self) -> int:
        """Bytes that data may take."""
        return int(ROOM * cuda.free_memory(0))

    def forget(self) -> None:
        """Copy all anew."""
        with self._lock:
            self._calls += 1
            self._spare += [memory for _, memory in self._copies.values()]
            self._copies.clear()
            self._too_large.clear()

    def fits(self, arrays: Iterable[Array | OnGpu]) -> bool:
        """Whether all of these arrays are on the device, or it has room for their copies."""
        with self._lock:
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
        with self._lock:
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
        """Forget an array that is gone."""
        self._too_large.pop(key, None)
        self._sent.pop(key, None)
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
