"""What the machine is and what it can do, measured in the run that quotes it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

import numpy as np

from convkit import _core
from convkit.bench.load import busy_processors
from convkit.errors import did_you_mean

__all__ = [
    "BLAS_VARIABLES",
    "Machine",
    "Rates",
    "Yardstick",
    "child_environment",
    "measure",
    "without_blas_limits",
]

# OpenBLAS reads these once, when it is loaded; they hold it to another processor's kernels.
BLAS_VARIABLES = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
_THREAD_VARIABLES = (
    "CONVKIT_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS",
)  # fmt: skip
# What holds everybody to an instruction set: convkit, then oneDNN, ATen and MKL of PyTorch, then
# OpenBLAS of NumPy (and of convkit's im2col rows). Nobody is held back by "avx512".
_ISA_VARIABLES = {
    "baseline": ("SSE41", "default", "SSE4_2", "Nehalem"),
    "avx2": ("AVX2", "avx2", "AVX2", "Haswell"),
    "avx512": (),
}
_OTHERS = (
    "ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS", "OPENBLAS_CORETYPE",
)  # fmt: skip
_COPY_BYTES = 256 << 20


@dataclass(frozen=True)
class Rates:
    """What the machine did in the seconds of a measurement, sampled between its rounds.

    The rate of a processor falls when it is busy with wide vectors or when neighbours are, by 15 %
    within minutes, so that a peak of another time says little.

    Attributes
    ----------
    peak_gflops : tuple of float
        float32 multiply-adds of all threads, counted as two operations, 1e9 per second.
    copy_gbs : tuple of float
        Bytes read and written by all threads copying 256 MiB, 1e9 per second.
    clock_ghz : tuple of float
        Estimated clock of one core: integer products that wait for each other, three cycles each.
    """

    peak_gflops: tuple[float, ...]
    copy_gbs: tuple[float, ...]
    clock_ghz: tuple[float, ...]

    @property
    def peak(self) -> float:
        """Median peak, 1e9 operations per second."""
        return float(np.median(self.peak_gflops))

    @property
    def copy(self) -> float:
        """Median rate of copying, 1e9 bytes per second."""
        return float(np.median(self.copy_gbs))

    @classmethod
    def joined(cls, parts: Sequence[Rates]) -> Rates:
        """All samples of several measurements."""
        names = ("peak_gflops", "copy_gbs", "clock_ghz")
        return cls(*(tuple(v for p in parts for v in getattr(p, name)) for name in names))

    def as_dict(self) -> dict[str, Any]:
        """For JSON: of each rate the samples, their median and range."""
        return {
            name: {
                "median": float(np.median(values)),
                "range": [min(values), max(values)],
                "samples": list(values),
            }
            for name, values in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Rates:
        """Read what `as_dict` gives."""
        return cls(*(tuple(record[n]["samples"]) for n in ("peak_gflops", "copy_gbs", "clock_ghz")))

    def __str__(self) -> str:
        peak, copy, clock = self.peak_gflops, self.copy_gbs, self.clock_ghz
        return (
            f"peak {self.peak:.0f} ({min(peak):.0f}-{max(peak):.0f}) GFLOP/s, "
            f"copy {self.copy:.1f} ({min(copy):.1f}-{max(copy):.1f}) GB/s, "
            f"clock about {np.median(clock):.1f} ({min(clock):.1f}-{max(clock):.1f}) GHz"
        )


class Yardstick:
    """Measures the machine with the threads and the ISA of this process.

    Parameters
    ----------
    threads : int, optional
        By default as many as the process has.
    """

    def __init__(self, threads: int | None = None) -> None:
        if threads is not None:
            _core.set_num_threads(threads)
        self._samples: dict[str, list[float]] = {}
        self._copies: Any = None
        self._load = busy_processors()
        self.restart()

    def restart(self) -> None:
        """Forget the samples of the rates."""
        self._samples = {"peak_gflops": [], "copy_gbs": [], "clock_ghz": []}

    def sample(self, seconds: float = 0.02, copy: bool = True) -> None:
        """Take one sample of each rate; copying takes longest, so it may be left out.

        Parameters
        ----------
        seconds : float
            For each rate.
        copy : bool
        """
        _core.peak_flops(seconds / 2)  # threads that have slept find their processors, clocks rise
        self._samples["peak_gflops"].append(to_digits(_core.peak_flops(seconds) / 1e9))
        self._samples["clock_ghz"].append(to_digits(_core.clock_rate(seconds / 4) / 1e9))
        if copy:
            if self._copies is None:
                self._copies = _core.CopyTest(_COPY_BYTES)  # kept: a first touch takes long
            self._samples["copy_gbs"].append(to_digits(self._copies.bandwidth(seconds) / 1e9))

    def rates(self) -> Rates:
        """The samples so far."""
        return Rates(**{name: tuple(values) for name, values in self._samples.items()})

    def samples(self) -> dict[str, list[float]]:
        """The samples so far, for JSON."""
        return self._samples

    def facts(self) -> dict[str, Any]:
        """What this machine is, for `Machine`."""
        return {
            "cpu": _core.cpu_name(),
            "isa": _core.isa(),
            "blas": _core.blas_info(),
            "threads": _core.num_threads(),
            "cpus": _core.usable_cpus(),
            "load": self._load,
            "versions": versions(),
        }


@dataclass(frozen=True)
class Machine:
    """The yardstick of a report.

    Attributes
    ----------
    cpu, isa, blas : str
        Processor, instruction set of the kernels, and the core that OpenBLAS chose.
    threads, cpus : int
        Threads of the pool, and processors that this process may use.
    load : float
        Processors that were busy with other work: before anything was measured or, if that was
        more, in the rounds of a case; nan where the system does not say.
    versions : dict
    rates : Rates
    """

    cpu: str
    isa: str
    blas: str
    threads: int
    cpus: int
    load: float
    versions: dict[str, str]
    rates: Rates

    def as_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return {**asdict(self), "rates": self.rates.as_dict()}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Machine:
        """Read what `as_dict` gives."""
        return cls(**{**record, "rates": Rates.from_dict(record["rates"])})

    def __str__(self) -> str:
        packages = ", ".join(f"{k} {v}" for k, v in self.versions.items())
        return (
            f"{self.cpu}, {self.cpus} cpus, {self.threads} threads, {self.isa}, "
            f"{self.load:.1f} other busy processors\n"
            f"{self.rates}: median and range, measured in this run\n"
            f"BLAS: {self.blas}\n{packages}"
        )


def to_digits(measured: float) -> float:
    """As many digits of a measurement as are kept, so that a report that is read again is equal."""
    return float(f"{measured:.5g}")


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that take part."""
    found = {"python": platform.python_version(), "numpy": np.__version__}
    for name in ("convkit", "torch", "scikit-learn"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def measure(seconds: float = 0.1, samples: int = 3) -> Machine:
    """Measure this machine with the present number of threads and ISA.

    Parameters
    ----------
    seconds : float
        For each sample of each rate.
    samples : int

    Returns
    -------
    Machine
    """
    yardstick = Yardstick()
    for _ in range(samples):
        yardstick.sample(seconds)
    return Machine(**yardstick.facts(), rates=yardstick.rates())


def child_environment(threads: int, isa: str | None = None) -> dict[str, str]:
    """Environment of a contender: so many threads, no limits on OpenBLAS, one ISA for everybody.

    Parameters
    ----------
    threads : int
    isa : str, optional
        "baseline", "avx2" or "avx512"; by default each library takes what it likes best.

    Returns
    -------
    dict of str to str

    Raises
    ------
    ValueError
        If there are not so many processors, or the ISA is unknown here.
    """
    cpus = _core.usable_cpus()
    if not 1 <= threads <= cpus:
        raise ValueError(
            f"threads must be from 1 to {cpus}, which this process may use; got {threads}"
        )
    environment = {k: v for k, v in os.environ.items() if k not in BLAS_VARIABLES}
    environment.update(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
    if isa is not None:
        available = _core.available_isas()
        if isa not in available:
            raise ValueError(f"unknown ISA {isa!r} on this processor{did_you_mean(isa, available)}")
        environment["CONVKIT_ISA"] = isa
        for name in _OTHERS:
            environment.pop(name, None)
        environment.update(zip(_OTHERS, _ISA_VARIABLES.get(isa, ())))
    return environment


def unset_variables() -> list[str]:
    """What `child_environment` takes out of this process's environment."""
    return [f"{name}={os.environ[name]}" for name in BLAS_VARIABLES if name in os.environ]


def without_blas_limits() -> None:
    """Start this process again without the variables that hold OpenBLAS back, if any is set."""
    held = [v for v in BLAS_VARIABLES if v in os.environ]
    if held:
        print(f"unsetting {', '.join(held)}: they hold OpenBLAS to another processor's kernels")
        environment = {k: v for k, v in os.environ.items() if k not in held}
        arguments = [sys.executable, *sys.orig_argv[1:]]
        sys.exit(subprocess.run(arguments, env=environment, check=False).returncode)
