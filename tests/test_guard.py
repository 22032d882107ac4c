"""Guarded arrays are ordinary inside and deadly outside."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from guard import PAGE, guarded, guarded_copy

READ = """
import ctypes, sys
from guard import guarded
a = guarded((5, 3), "float32", end={end})
ctypes.c_float.from_address(a.ctypes.data + {offset}).value
"""


@pytest.mark.parametrize(
    ("end", "offset", "dies"),
    [(True, 60, True), (True, 56, False), (False, -4, True), (False, 0, False)],
)
def test_one_element_too_far(end: bool, offset: int, dies: bool) -> None:
    code = READ.format(end=end, offset=offset)
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parent, check=False)
    assert done.returncode == (-signal.SIGSEGV if dies else 0)


@pytest.mark.parametrize("end", [True, False])
@pytest.mark.parametrize("shape", [(), (1,), (7, 3), (PAGE,), (0, 4)])
def test_arrays_keep_values(shape: tuple[int, ...], end: bool) -> None:
    for dtype in ("float32", "float64", "uint8", "int64"):
        a = np.arange(np.prod(shape, dtype=int)).astype(dtype).reshape(shape)
        copy = guarded_copy(a, end=end)
        assert copy.dtype == a.dtype and copy.flags.writeable and copy.flags.aligned
        np.testing.assert_array_equal(copy, a)
        assert guarded(shape, dtype, end=end).shape == shape
