"""GPUs: whether there is one, what it is, and what convkit has on it.

``model.compile(..., device="cuda")`` trains there. The kernels are in a native module of their own,
which is loaded when it is first asked for.
"""

from __future__ import annotations

from typing import NamedTuple

from convkit.cuda import native
from convkit.cuda.array import Array, asarray

__all__ = [
    "Array",
    "DeviceInfo",
    "asarray",
    "device_info",
    "is_available",
    "memory_info",
    "why_unavailable",
]


class DeviceInfo(NamedTuple):
    """What a device is.

    Attributes
    ----------
    name : str
    capability : tuple of int
        Compute capability, (major, minor).
    multiprocessors : int
    shared_bytes : int
        Most shared memory that a block of threads may have.
    memory_bytes : int
    driver, runtime : int
        Versions of CUDA, as 1000 * major + 10 * minor.
    """

    name: str
    capability: tuple[int, int]
    multiprocessors: int
    shared_bytes: int
    memory_bytes: int
    driver: int
    runtime: int


def is_available() -> bool:
    """Whether kernels can run on a GPU here."""
    return not why_unavailable()


def why_unavailable() -> str:
    """What is in the way of `is_available`, in words; empty if nothing is."""
    return native.why_unavailable()


def device_info() -> DeviceInfo:
    """What the device is.

    Raises
    ------
    RuntimeError
        If there is none.
    """
    return DeviceInfo(**native.require().device_info())


def memory_info() -> tuple[int, int]:
    """Free and total memory of the device, in bytes.

    Raises
    ------
    RuntimeError
        If there is none.
    """
    free, total = native.require().memory_info()
    return int(free), int(total)
