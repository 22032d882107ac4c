"""Compiles CUDA sources with the real nvcc and reads what ptxas says of each kernel."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*ROOT.glob("csrc/ops/*/*_cuda*.cu"), *ROOT.glob("csrc/cuda/*.cu")])
PLAIN_SHARED = 48 * 1024  # bytes of static shared memory that every device has
REGISTERS = 65536  # of a multiprocessor


class Usage(NamedTuple):
    """What a kernel takes, for one architecture.

    Attributes
    ----------
    kernel, architecture : str
    registers : int
        Of a thread.
    shared : int
        Bytes of static shared memory of a block.
    stack, spilled : int
        Bytes of a thread in local memory, and those that the registers had no room for.
    """

    kernel: str
    architecture: str
    registers: int
    shared: int
    stack: int
    spilled: int


def nvcc() -> str | None:
    """The compiler, if there is one."""
    return shutil.which("nvcc")


def architectures() -> list[str]:
    """The real architectures of a release, as in cmake/ConvkitCuda.cmake."""
    text = (ROOT / "cmake" / "ConvkitCuda.cmake").read_text()
    return re.findall(r"(\d+a?)-real", text)


def calls_of(source: Path, output: Path) -> list[str]:
    """Compile a source of the host, and return the symbols that it wants from elsewhere."""
    compiler = nvcc()
    assert compiler is not None
    command = [
        compiler, "-std=c++20", "-c", "-I", str(ROOT / "csrc"), "-DCK_ISA=cuda",
        "-DCK_ISA_COUNT=3", "-o", str(output), str(source),
    ]  # fmt: skip
    subprocess.run(command, check=True, timeout=300)
    listing = subprocess.run(
        ["nm", "-u", str(output)], capture_output=True, text=True, check=True, timeout=60
    )
    return [line.split()[-1] for line in listing.stdout.splitlines() if line.strip()]


def compile_for(source: Path, architecture: str, output: Path) -> list[Usage]:
    """Compile a source's kernels, warnings being errors, and return the usage of each."""
    compiler = nvcc()
    assert compiler is not None
    command = [
        compiler, "-std=c++20", "-cubin", "-I", str(ROOT / "csrc"), "-DCK_ISA=cuda",
        "-DCK_ISA_COUNT=3", f"-gencode=arch=compute_{architecture},code=sm_{architecture}",
        "-Xptxas=-v", "-Werror=all-warnings", "-o", str(output), str(source),
    ]  # fmt: skip
    if source.name.startswith("augment_cuda"):
        command.append("-fmad=false")
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return read(done.stderr)


def read(report: str) -> list[Usage]:
    """The kernels in what ``ptxas -v`` writes."""
    found = []
    for part in report.split("Compiling entry function '")[1:]:
        name, architecture = re.findall(r"^(\w+)' for 'sm_(\w+)'", part)[0]
        stack, stores, loads = (
            int(re.search(rf"(\d+) bytes {what}", part)[1])  # type: ignore[index]
            for what in ("stack frame", "spill stores", "spill loads")
        )
        registers = re.search(r"Used (\d+) registers", part)
        shared = re.search(r"(\d+) bytes smem", part)
        assert registers is not None
        used = int(registers[1]), int(shared[1]) if shared else 0
        found.append(Usage(name, architecture, *used, stack, stores + loads))
    return found
