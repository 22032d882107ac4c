"""Every CUDA kernel compiles for the GPUs of a release, within its budget: no GPU is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from cuda import ptxas

EVERYWHERE = ("80", "90a")  # for each commit; the others belong to a release
# Bytes that a kernel may spill, none elsewhere: the large tile of a convolution's backward_input,
# whose 64 sums leave the compiler no choice.
SPILLED = {"100": 8, "120": 8}

needs_nvcc = pytest.mark.skipif(ptxas.nvcc() is None, reason="there is no nvcc")


def test_a_report_is_read() -> None:
    report = """ptxas info    : Compiling entry function '_Z5entryv' for 'sm_80'
    ptxas info    : Function properties for _Z5entryv
        8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
    ptxas info    : Used 40 registers, used 1 barriers, 2048 bytes smem, 400 bytes cmem[0]
    """
    assert ptxas.read(report) == [ptxas.Usage("_Z5entryv", "80", 40, 2048, 8, 16)]


def check(source: Path, architectures: Sequence[str], folder: Path) -> None:
    for architecture in architectures:
        kernels = ptxas.compile_for(source, architecture, folder / "kernels.cubin")
        assert {k.architecture for k in kernels} == {architecture}
        for k in kernels:
            name = f"{k.kernel} for sm_{k.architecture}"
            most = SPILLED.get(architecture, 0)
            assert k.spilled <= most, f"{name} spills {k.spilled} bytes"
            assert k.shared <= ptxas.PLAIN_SHARED, f"{name} has {k.shared} bytes of shared memory"


@needs_nvcc
@pytest.mark.slow
@pytest.mark.parametrize("source", ptxas.SOURCES, ids=lambda p: p.name)
def test_kernels_stay_within_their_budget(source: Path, tmp_path: Path) -> None:
    # Registers are within the launch bounds that entry() states, or they would spill. Tiles on
    # tensor cores are long to compile, and alike for all GPUs that have them.
    check(source, EVERYWHERE[:1] if "_mma" in source.name else EVERYWHERE, tmp_path)


@needs_nvcc
@pytest.mark.slow
def test_the_hosts_half_is_of_the_toolkit(tmp_path: Path) -> None:
    sources = sorted((ptxas.ROOT / "csrc" / "cuda").glob("*.cpp"))
    plain = [s for s in sources if "python/" not in s.read_text() and "py::" not in s.read_text()]
    called = [symbol for s in plain for symbol in ptxas.calls_of(s, tmp_path / "host.o")]
    assert {"cudaMalloc", "cudaGraphLaunch", "cudaMemcpyAsync"} <= set(called)
    assert not [symbol for symbol in called if "emulator" in symbol or symbol.startswith("_Z4cuda")]


@needs_nvcc
@pytest.mark.release
@pytest.mark.parametrize("source", ptxas.SOURCES, ids=lambda p: p.name)
def test_kernels_compile_for_the_other_gpus(source: Path, tmp_path: Path) -> None:
    done = EVERYWHERE[:1] if "_mma" in source.name else EVERYWHERE
    check(source, [a for a in ptxas.architectures() if a not in done], tmp_path)
