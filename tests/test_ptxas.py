"""Every CUDA kernel compiles for the GPUs of a release, within its budget: no GPU is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from cuda import ptxas

EVERYWHERE = ("80", "90a")  # for each commit; the others belong to a release

needs_nvcc = pytest.mark.skipif(ptxas.nvcc() is None, reason="there is no nvcc")


def test_a_report_is_read() -> None:
    report = """ptxas info    : Compiling entry function '_Z5entryv' for 'sm_80'
    ptxas info    : Function properties for _Z5entryv
        8 bytes stack frame, 4 bytes spill stores, 12 bytes spill loads
    ptxas info    : Used 40 registers, used 1 barriers, 2048 bytes smem, 400 bytes cmem[0]
    """
    assert ptxas.read(report) == [ptxas.Usage("_Z5entryv", 40, 2048, 8, 16)]


def check(source: Path, architecture: str, folder: Path) -> None:
    kernels = ptxas.compile_for(source, architecture, folder / "kernels.cubin")
    assert kernels, "no kernel in it"
    for k in kernels:
        assert k.spilled == 0, f"{k.kernel} spills {k.spilled} bytes for sm_{architecture}"
        assert k.shared <= ptxas.PLAIN_SHARED, f"{k.kernel} has {k.shared} bytes shared"
        # Of its launch bounds, which entry() in launch.cuh states, ptxas keeps within.
        assert k.registers <= 255


@needs_nvcc
@pytest.mark.slow
@pytest.mark.parametrize("source", ptxas.SOURCES, ids=lambda p: p.name)
def test_kernels_stay_within_their_budget(source: Path, tmp_path: Path) -> None:
    for architecture in EVERYWHERE:
        check(source, architecture, tmp_path)


@needs_nvcc
@pytest.mark.slow
@pytest.mark.parametrize("source", ptxas.SOURCES, ids=lambda p: p.name)
def test_kernels_compile_for_the_other_gpus(source: Path, tmp_path: Path) -> None:
    for architecture in ptxas.architectures():
        if architecture not in EVERYWHERE:
            check(source, architecture, tmp_path)
