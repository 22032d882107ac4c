"""The native module of the CUDA kernels, loaded when it is first asked for."""

from __future__ import annotations

import gc
import importlib
import os
import weakref
from collections.abc import Callable
from functools import cache, partial
from typing import Any, Protocol

from convkit import _core

__all__ = [
    "EMULATOR",
    "Holder",
    "allocate",
    "free_memory",
    "hold",
    "made",
    "module",
    "require",
    "why_unavailable",
]

# Set to 1, a build that emulates CUDA on the CPU is taken for a device: a slow one, for tests.
EMULATOR = "CONVKIT_CUDA_EMULATOR"


@cache
def _loaded() -> tuple[Any, str]:
    """The module, or None and what the matter is."""
    try:
        return importlib.import_module("convkit._cuda"), ""
    except ImportError as error:
        if error.name == "convkit._cuda":
            return None, f"convkit was built without CUDA kernels ({_core.cuda_build})"
        return None, f"the module of the CUDA kernels cannot be loaded: {error}"


def module() -> Any:
    """The native module, whatever can be run with it; None where there is none."""
    return _loaded()[0]


def why_unavailable() -> str:
    """What is in the way of running kernels, in words; empty if nothing is."""
    native, problem = _loaded()
    if native is None:
        return problem
    if native.emulated and os.environ.get(EMULATOR) != "1":
        return f"this build emulates CUDA on the CPU, for tests; {EMULATOR}=1 lets it pass for one"
    return str(native.why_unavailable())


def require() -> Any:
    """The native module, where kernels can run.

    Raises
    ------
    RuntimeError
        If they cannot; the message says why. In a process that was forked from one that has used
        the GPU: CUDA does not survive that.
    """
    problem = why_unavailable()
    if problem:
        raise RuntimeError(f'device="cuda" cannot be used: {problem}; device="cpu" can')
    if _first_user() != os.getpid():
        raise RuntimeError(
            "the GPU was used before this process was forked, which CUDA does not survive: start "
            'processes with multiprocessing.get_context("spawn"), or use the GPU in them only'
        )
    return module()


@cache
def _first_user() -> int:
    """The process that asked first."""
    return os.getpid()


class Holder(Protocol):
    """Who holds memory of the device that can be made again."""

    def release(self) -> None:
        """Give back what is not in use."""


_holders: weakref.WeakSet[Holder] = weakref.WeakSet()


def hold(holder: Holder) -> None:
    """Let `holder` be asked to give memory back where the device has too little."""
    _holders.add(holder)


def _reclaim() -> None:
    """Free what nobody uses: dead models, which refer to themselves, and data of idle ones."""
    gc.collect()
    for holder in list(_holders):
        holder.release()


def free_memory(wanted: int) -> int:
    """Bytes that are free on the device. If it is less than wanted, what is idle is freed first."""
    native = require()
    if native.memory_info()[0] < wanted:
        _reclaim()
    return int(native.memory_info()[0])


def made(make: Callable[[], Any], purpose: str, nbytes: int | None = None) -> Any:
    """Something that takes memory of the device; if there is too little, what is idle is freed.

    Parameters
    ----------
    make : callable
    purpose : str
        What the memory is for, in messages.
    nbytes : int, optional
        How much, if it is known.

    Raises
    ------
    MemoryError
        If the device has none; the message says what for.
    """
    try:
        return make()
    except MemoryError:
        _reclaim()
    try:
        return make()
    except MemoryError:
        amount = "memory" if nbytes is None else f"{nbytes / 1e6:,.1f} MB"
        raise MemoryError(
            f"the GPU has no {amount} for {purpose}, only {free_memory(0) / 1e6:,.1f} MB are "
            "free; take smaller batches or a smaller model, or leave arrays that were moved there"
        ) from None


def allocate(nbytes: int, purpose: str, *, shared: bool = False) -> Any:
    """Zeroed memory of the device.

    Parameters
    ----------
    nbytes : int
    purpose : str
        What it is for, in messages.
    shared : bool
        Whether the CPU sees it too, while no kernel runs.

    Raises
    ------
    MemoryError
        If the device has none; the message says how much was wanted, and what for.
    """
    return made(partial(require().Memory, max(nbytes, 1), shared), purpose, nbytes)
