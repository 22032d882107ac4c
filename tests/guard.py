"""Arrays that end, or begin, exactly at inaccessible memory: one element too far is a crash."""

from __future__ import annotations

import ctypes
import math
import mmap
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

PAGE = mmap.PAGESIZE
PROT_NONE = 0

_mprotect = ctypes.CDLL(None, use_errno=True).mprotect
_mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def guarded(shape: Sequence[int], dtype: Any, *, end: bool) -> NDArray[Any]:
    """Return an array between two pages that can be neither read nor written.

    Parameters
    ----------
    shape : sequence of int
    dtype : dtype_like
    end : bool
        Whether it ends at the second page; else it begins at the first.
    """
    dtype = np.dtype(dtype)
    count = math.prod(shape)
    size = count * dtype.itemsize
    if size == 0:
        return np.empty(shape, dtype)
    body = -(-size // PAGE) * PAGE
    memory = mmap.mmap(-1, body + 2 * PAGE)  # unmapped together with the array
    base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    for page in (base, base + PAGE + body):
        if _mprotect(page, PAGE, PROT_NONE) != 0:
            raise OSError(ctypes.get_errno(), "mprotect failed")
    offset = PAGE + (body - size if end else 0)
    return np.frombuffer(memory, dtype, count, offset).reshape(shape)


def guarded_copy(array: NDArray[Any], *, end: bool) -> NDArray[Any]:
    """Return a copy of `array` made by `guarded`."""
    copy = guarded(array.shape, array.dtype, end=end)
    copy[...] = array
    return copy
