"""``convkit info``: what this machine and this build offer."""

from __future__ import annotations

import argparse
import os
import platform
from typing import Any

__all__ = ["add_parser", "run"]


def add_parser(verbs: Any) -> None:
    """Declare the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "info", help="show CPU, kernels, threads, CUDA and versions"
    )
    parser.set_defaults(run=run)


def _gpu() -> str:
    """The GPU, or why there is none to use."""
    from convkit import cuda

    if not cuda.is_available():
        return f"none: {cuda.why_unavailable()}"
    found = cuda.device_info()
    versions = [f"{v // 1000}.{v % 1000 // 10}" for v in (found.driver, found.runtime)]
    return (
        f"{found.name}, compute capability {'.'.join(map(str, found.capability))}, "
        f"{found.multiprocessors} multiprocessors, {found.memory_bytes / 1e9:.0f} GB; driver for "
        f"CUDA {versions[0]}, built with {versions[1]}"
    )


def run(options: argparse.Namespace) -> None:
    """Print one fact per line."""
    import numpy as np

    from convkit import __version__, _core
    from convkit.bench.machine import BLAS_VARIABLES

    facts = {
        "convkit": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": _core.cpu_name(),
        "cpus": f"{_core.usable_cpus()} usable",
        "threads": str(_core.num_threads()),
        "isa": f"{_core.isa()} (available: {', '.join(_core.available_isas())})",
        "blas": _core.blas_info(),
        "cuda": str(_core.cuda_build),
        "gpu": _gpu(),
    }
    for name, fact in facts.items():
        print(f"{name:<8} {fact}")
    for name in BLAS_VARIABLES:
        if os.environ.get(name):
            print(
                f"warning: {name}={os.environ[name]} holds OpenBLAS back from what it would choose "
                "for this CPU; unset it"
            )
