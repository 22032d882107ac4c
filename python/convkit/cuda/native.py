"""The native module of the CUDA kernels, loaded when it is first asked for."""

from __future__ import annotations

import importlib
import os
from functools import cache
from typing import Any

from convkit import _core

__all__ = ["EMULATOR", "allocate", "module", "require", "why_unavailable"]

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
    native = require()
    try:
        return native.Memory(max(nbytes, 1), shared)
    except MemoryError:
        free = native.memory_info()[0]
        raise MemoryError(
            f"the GPU has no {nbytes / 1e6:,.1f} MB for {purpose}, only {free / 1e6:,.1f} MB are "
            "free; take smaller batches or a smaller model, or leave arrays that were moved there"
        ) from None
