"""What of a model's data is on a GPU beside its parameters."""

from __future__ import annotations

import math
import threading
import weakref
from typing import Any

from convkit.cuda import native as cuda
from convkit.cuda.array import Array as OnGpu
from convkit.ops.registry import Array

__all__ = ["DeviceData"]

ROOM = 0.9  # of the free memory that data may take


class DeviceData:
    """A model's memory on the device: copies of arrays, each for as long as the array is there.

    An array is copied when a run first binds it; `forget` makes the next run copy all anew, as
    between calls of `fit` a user may have changed them. What the device has no room for stays in
    the host's memory, which is pinned: the kernel that gathers a batch reads it over the bus.
    """

    def __init__(self) -> None:
        self._copies: dict[int, tuple[Any, Any]] = {}
        self._spare: list[Any] = []
        self._lock = threading.Lock()
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

    def forget(self) -> None:
        """Copy all anew."""
        with self._lock:
            for _, memory in self._copies.values():
                self._give_back(memory)
            self._copies.clear()

    def pointer(self, array: Array | OnGpu) -> int:
        """Where an array on the device is, or the copy of one that is not."""
        if isinstance(array, OnGpu):
            return array.pointer
        key = id(array)
        with self._lock:
            known = self._copies.get(key)
            if known is None or known[0]() is not array:
                memory = self._place(array)

                def dropped(_: Any, key: int = key) -> None:
                    gone = self._copies.pop(key, None)
                    if gone is not None:
                        self._give_back(gone[1])

                known = self._copies[key] = weakref.ref(array, dropped), memory
        return int(known[1].pointer)

    def _place(self, array: Array) -> Any:
        """A copy on the device, best where one of that size was: then graphs need not change."""
        nbytes = max(array.nbytes, 1)
        memory = next((m for m in self._spare if m.nbytes == nbytes), None)
        if memory is not None:
            self._spare.remove(memory)
        else:
            self._spare.clear()
            if nbytes > ROOM * cuda.free_memory(math.ceil(nbytes / ROOM)):
                return cuda.require().Pinned(array)
            memory = cuda.allocate(nbytes, "the data")
        memory.write(array)
        return memory

    def _give_back(self, memory: Any) -> None:
        if hasattr(memory, "nbytes"):  # it is not the host's
            self._spare.append(memory)
