"""What the machine is and what it can do, measured in the run that quotes it."""

from __future__ import annotations

import os
import platform
from dataclasses import asdict, dataclass
from importlib import metadata

import numpy as np

from convkit import _core

# OpenBLAS reads these once, when it is loaded; they hold it to another processor's kernels.
BLAS_VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


@dataclass(frozen=True)
class Machine:
    """The yardstick of a report.

    Attributes
    ----------
    cpu, isa, blas : str
        Processor, instruction set of the kernels, and the core that OpenBLAS chose.
    threads, cpus : int
        Threads of the pool, and processors that this process may use.
    peak_gflops : float
        float32 multiply-adds of all threads, counted as two operations, 1e9 per second.
    copy_gbs : float
        Bytes read and written by all threads copying 256 MiB, 1e9 per second.
    load : float
        Average number of running processes in the last minute, when the run began.
    versions : dict
    """

    cpu: str
    isa: str
    blas: str
    threads: int
    cpus: int
    peak_gflops: float
    copy_gbs: float
    load: float
    versions: dict[str, str]

    def as_dict(self) -> dict[str, object]:
        """The fields, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        versions = ", ".join(f"{k} {v}" for k, v in self.versions.items())
        return (
            f"{self.cpu}, {self.cpus} cpus, {self.threads} threads, {self.isa}\n"
            f"peak {self.peak_gflops:.0f} GFLOP/s, copy {self.copy_gbs:.1f} GB/s "
            f"(measured in this run), load {self.load:.2f}\n"
            f"BLAS: {self.blas}\n{versions}"
        )


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that take part."""
    found = {"python": platform.python_version(), "numpy": np.__version__}
    for name in ("convkit", "torch", "scikit-learn"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def measure(seconds: float = 0.3) -> Machine:
    """Measure peak and bandwidth with the present number of threads and ISA.

    Parameters
    ----------
    seconds : float
        For each of the two.

    Returns
    -------
    Machine
    """
    return Machine(
        cpu=_core.cpu_name(),
        isa=_core.isa(),
        blas=_core.blas_info(),
        threads=_core.num_threads(),
        cpus=_core.usable_cpus(),
        peak_gflops=_core.peak_flops(seconds) / 1e9,
        copy_gbs=_core.copy_bandwidth(256 << 20, seconds) / 1e9,
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan"),
        versions=versions(),
    )
