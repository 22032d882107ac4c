"""The native module of the CUDA kernels, loaded when it is first asked for."""

from __future__ import annotations

import importlib
import os
from functools import cache
from typing import Any

from convkit import _core

__all__ = ["EMULATOR", "module", "require", "why_unavailable"]

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
        If they cannot; the message says why.
    """
    problem = why_unavailable()
    if problem:
        raise RuntimeError(f'device="cuda" cannot be used: {problem}; device="cpu" can')
    return module()
