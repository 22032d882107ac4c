"""Runs the tests of CUDA kernels on the emulator under a sanitizer.

    python tests/cuda/emulator/sanitized.py address|thread [--most 20] [test files ...]

`address` finds memory that is not the kernel's, undefined behaviour and vector accesses that are
not aligned; `thread` finds accesses of two threads of a grid that nothing orders. The first call
builds the kernels, in build/cuda-<mode>. Of each file (default: all of tests/ops) the tests of CUDA
rows are run, spread over all of them where there are more than `--most`. Run it with the
interpreter of dev.py, .venv/bin/python.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LIBRARIES = {"address": ("libasan.so", "libstdc++.so"), "thread": ("libtsan.so",)}
SANITIZERS = {"address": "address,undefined", "thread": "thread"}
SHARES = {"address": "1", "thread": "0.1"}  # of the sizes that the emulator is given without
OPTIONS = {
    # Python keeps what it has, and libraries leak a little.
    "ASAN_OPTIONS": "detect_leaks=0",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    # Python, NumPy and the CPU's kernels are not built for it.
    "TSAN_OPTIONS": "ignore_noninstrumented_modules=1:halt_on_error=1",
    "CONVKIT_CUDA_EMULATOR": "1",
    "CONVKIT_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


def build(mode: str) -> Path:
    """Compile the kernels, and return the module."""
    import pybind11

    folder = ROOT / "build" / f"cuda-{mode}"
    tools = Path(sys.executable).parent
    if not (folder / "build.ninja").exists():
        configure = [
            tools / "cmake", "-S", ROOT, "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release",
            f"-DCMAKE_MAKE_PROGRAM={tools / 'ninja'}", f"-DPython_EXECUTABLE={sys.executable}",
            f"-Dpybind11_DIR={pybind11.get_cmake_dir()}", "-DCONVKIT_BLAS=OFF",
            "-DCONVKIT_CUDA=EMULATE", f"-DCONVKIT_SANITIZE={SANITIZERS[mode]}",
        ]  # fmt: skip
        subprocess.run(configure, check=True)
    subprocess.run([tools / "ninja", "-C", folder, "_cuda"], check=True)
    (module,) = folder.glob("_cuda.*.so")
    return module


def library(name: str) -> str:
    """Where the compiler has a library."""
    command = [os.environ.get("CXX", "g++"), f"-print-file-name={name}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


class OnlyCudaRows:
    """Chooses the tests that run CUDA rows in float32, at most so many of a file."""

    def __init__(self, most: int) -> None:
        self.most = most

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep those tests."""
        of_file: dict[Path, list[pytest.Item]] = defaultdict(list)
        for item in items:
            if "-cuda_" in item.name and "float64" not in item.name:
                of_file[item.path].append(item)
        items[:] = [
            tests[i * len(tests) // min(len(tests), self.most)]
            for tests in of_file.values()
            for i in range(min(len(tests), self.most))
        ]


def run_tests(module: Path, most: int, arguments: list[str]) -> int:
    """Run pytest with the module as convkit._cuda."""
    spec = importlib.util.spec_from_file_location("convkit._cuda", module)
    assert spec is not None and spec.loader is not None
    sys.modules["convkit._cuda"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules["convkit._cuda"])
    os.chdir(ROOT)
    return pytest.main(["-q", *arguments], plugins=[OnlyCudaRows(most)])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("mode", choices=SANITIZERS)
    parser.add_argument("--most", type=int, default=20, help="tests of a file (default: 20)")
    parser.add_argument("--module", type=Path, help=argparse.SUPPRESS)
    known, arguments = parser.parse_known_args()
    if known.module is not None:
        sys.exit(run_tests(known.module, known.most, arguments))
    module = build(known.mode)
    preload = " ".join(library(name) for name in LIBRARIES[known.mode])
    command = [sys.executable, __file__, known.mode, "--most", str(known.most)]
    command += ["--module", str(module), *(arguments or ["tests/ops"])]
    environment = {**os.environ, **OPTIONS, "LD_PRELOAD": preload}
    environment["CONVKIT_EMULATED_SHARE"] = SHARES[known.mode]
    sys.exit(subprocess.run(command, env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
