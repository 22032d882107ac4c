"""Rows of memory-mapped arrays, without keeping what was read in memory.

Rows come from the file by ``preadv`` rather than through the map: pages of a map count as the
process's own memory until the system takes them back, and a file that is cut off while it is
mapped kills the process, where a read reports it.
"""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["FileRows", "MappedRows", "MemoryRows", "RowSource", "is_mapped", "rows_of"]

Array = npt.NDArray[Any]
DESCRIPTORS = "/proc/self/fd"  # of Linux
PROBES = 64  # rows that are compared to see that the file is the one that is mapped


class RowSource(Protocol):
    """An array whose rows can be had in any order."""

    array: Array

    def read(self, rows: Array, out: Array) -> None:
        """Copy rows.

        Parameters
        ----------
        rows : ndarray of int64, shape (n,)
        out : ndarray, shape (n, ...)
            Of the array's dtype, contiguous.

        Raises
        ------
        OSError
            If the file cannot be read, or has become shorter than the array.
        """

    def close(self) -> None:
        """Give back what reading needs."""


def _mapping(array: Array) -> tuple[mmap.mmap | None, np.memmap[Any, Any] | None]:
    """The map that an array lies in, and the memmap that opened it; None where there is none."""
    opened, owner = None, array
    while isinstance(owner, np.ndarray):
        opened = owner if isinstance(owner, np.memmap) else opened
        owner = owner.base  # type: ignore[assignment]
    owner = owner.obj if isinstance(owner, memoryview) else owner
    return (owner, opened) if isinstance(owner, mmap.mmap) else (None, None)


def is_mapped(array: object) -> bool:
    """Whether an array's numbers lie in a mapped file."""
    return isinstance(array, np.ndarray) and _mapping(array)[0] is not None


def rows_of(array: Array) -> RowSource:
    """The best way to read rows of an array."""
    mapped, opened = _mapping(array)
    if mapped is None:
        return MemoryRows(array)
    # A private map ("c") may hold changes that the file knows nothing of.
    shared = opened is not None and opened.mode != "c"
    if shared and array[:1].flags.c_contiguous and hasattr(os, "preadv"):
        assert opened is not None
        start = opened.offset - opened.offset % mmap.ALLOCATIONGRANULARITY
        begin = np.frombuffer(mapped, np.uint8).ctypes.data
        for path in _paths(opened, mapped):
            with suppress(OSError):
                source = FileRows(array, mapped, path, start + array.ctypes.data - begin)
                if source.same_file():
                    return source
                source.close()
    return MappedRows(array, mapped, shared)


def _paths(opened: np.memmap[Any, Any], mapped: mmap.mmap) -> Iterator[str]:
    """Names that the mapped file may have; it may have been renamed or replaced since."""
    if opened.filename is not None:
        yield os.fspath(opened.filename)
    if os.path.isdir(DESCRIPTORS):  # the map holds one, so that the file itself is never gone
        for number in os.listdir(DESCRIPTORS):
            path = os.path.join(DESCRIPTORS, number)
            with suppress(OSError):
                found = os.stat(path)
                if stat.S_ISREG(found.st_mode) and found.st_size == mapped.size():
                    yield path


class MemoryRows:
    """Rows of an array in memory."""

    def __init__(self, array: Array) -> None:
        self.array = array

    def read(self, rows: Array, out: Array) -> None:
        np.take(self.array, rows, axis=0, out=out, mode="clip")  # "raise" would copy once more

    def close(self) -> None:
        pass


class MappedRows:
    """Rows through the map, whose pages are given back: where the file itself is out of reach.

    A file that is cut off between two reads is reported; during one, the system kills the process.
    """

    def __init__(self, array: Array, mapped: mmap.mmap, shared: bool) -> None:
        self.array = array
        self._mapped, self._shared = mapped, shared
        self._least = mapped.size() if shared else 0

    def read(self, rows: Array, out: Array) -> None:
        if self._shared and self._mapped.size() < self._least:
            raise OSError(
                f"the file of a memory-mapped array of shape {self.array.shape} was cut from "
                f"{self._least} to {self._mapped.size()} bytes while it was in use"
            )
        out[...] = self.array[rows]
        if self._shared and hasattr(self._mapped, "madvise"):
            self._mapped.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        pass


class FileRows:
    """Rows read from the file behind a memory-mapped array.

    Parameters
    ----------
    array : ndarray
        In a map; each row is contiguous.
    mapped : mmap
        Shared with the file, so that its pages can be given back.
    path : str
    offset : int
        Of the first row, in bytes.

    Raises
    ------
    OSError
        If the file cannot be opened.
    """

    def __init__(self, array: Array, mapped: mmap.mmap, path: str, offset: int) -> None:
        self.array = array
        self._mapped = mapped
        self.path = path
        self._offset, self._stride = offset, array.strides[0]
        self._row = array.dtype.itemsize * int(np.prod(array.shape[1:], dtype=np.int64))
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115  (until `close`)

    def same_file(self) -> bool:
        """Whether the file under this name is still the one that is mapped."""
        rows = np.unique(np.linspace(0, len(self.array) - 1, PROBES).astype(np.int64))
        found = np.empty((len(rows), *self.array.shape[1:]), self.array.dtype)
        try:
            self.read(rows, found)
        except OSError:
            return False
        mapped = self.array[rows].tobytes()
        if hasattr(self._mapped, "madvise"):  # each may have brought in megabytes around it
            self._mapped.madvise(mmap.MADV_DONTNEED)
        return found.tobytes() == mapped

    def read(self, rows: Array, out: Array) -> None:
        # Rows that follow one another here and there are one piece; pieces go by place in the file.
        joined = self._stride == self._row
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1 if joined else np.arange(1, len(rows))
        places = np.concatenate([[0], breaks])
        order = np.argsort(rows[places], kind="stable")
        ends = (np.append(places[1:], len(rows))[order] * self._row).tolist()
        begins = (places[order] * self._row).tolist()
        offsets = (self._offset + rows[places][order] * self._stride).tolist()
        memory = memoryview(out.reshape(-1).view(np.uint8))  # type: ignore[arg-type]
        file = self._file.fileno()
        if len(begins) > 1 and hasattr(os, "posix_fadvise"):
            # A disk does many reads in the time of one, if it hears of them all at once.
            for begin, end, offset in zip(begins, ends, offsets, strict=True):
                os.posix_fadvise(file, offset, end - begin, os.POSIX_FADV_WILLNEED)
        for begin, end, offset in zip(begins, ends, offsets, strict=True):
            done = os.preadv(file, [memory[begin:end]], offset)
            while done < end - begin:
                more = os.preadv(file, [memory[begin + done : end]], offset + done)
                if not more:
                    raise self._ended(offset, os.fstat(file).st_size)
                done += more

    def close(self) -> None:
        self._file.close()

    def _ended(self, offset: int, size: int) -> OSError:
        row = (offset - self._offset) // self._stride
        return OSError(
            f"the file {self.path!r} ends at byte {size}, before row {row} of the memory-mapped "
            f"array of shape {self.array.shape}: it was cut off while it was in use"
        )
