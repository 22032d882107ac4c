"""What of a model's data is on a GPU beside its parameters."""

from __future__ import annotations

import threading
import weakref
from typing import Any

from convkit.cuda import native as cuda
from convkit.ops.registry import Array

__all__ = ["DeviceData"]


class DeviceData:
    """A model's memory on the device: copies of arrays, each for as long as the array is there.

    An array is copied when a run first binds it; `forget` makes the next run copy all anew, as
    between calls of `fit` a user may have changed them.
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
            self._thread.arena = cuda.require().Memory(max(nbytes, 1), False)
        return self._thread.arena

    @property
    def arena_bytes(self) -> int:
        """Of this thread's block."""
        arena = getattr(self._thread, "arena", None)
        return 0 if arena is None else int(arena.nbytes)

    def forget(self) -> None:
        """Copy all anew."""
        with self._lock:
            self._spare += [memory for _, memory in self._copies.values()]
            self._copies.clear()

    def pointer(self, array: Array) -> int:
        """Where the copy of an array is."""
        key = id(array)
        with self._lock:
            known = self._copies.get(key)
            if known is None or known[0]() is not array:
                memory = self._take(array.nbytes)
                memory.write(array)

                def dropped(_: Any, key: int = key) -> None:
                    gone = self._copies.pop(key, None)
                    if gone is not None:
                        self._spare.append(gone[1])

                known = self._copies[key] = weakref.ref(array, dropped), memory
        return int(known[1].pointer)

    def _take(self, nbytes: int) -> Any:
        """Memory of that size, best one that was used before: then graphs need not change."""
        for i, memory in enumerate(self._spare):
            if memory.nbytes == max(nbytes, 1):
                return self._spare.pop(i)
        self._spare.clear()
        return cuda.require().Memory(max(nbytes, 1), False)
