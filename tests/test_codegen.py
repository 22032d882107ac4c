"""The inner loops of the matrix products and convolutions keep their sums in registers.

A tile that is one vector too large makes the compiler keep a sum on the stack, without a word and
at a third of the speed. So the loops are found in the disassembly of the objects that were built.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
OPS = ("conv2d", "conv2d_pool", "dense", "dense_update", "rbf", "rnn")
SUMS = 12  # a loop with so many multiply-adds is a tile
# How many such loops there are at least in the build: fewer would mean that they are not found.
LOOPS = {"avx512": 80, "avx2": 10}

needs_objdump = pytest.mark.skipif(shutil.which("objdump") is None, reason="no objdump on the PATH")


class Loop(NamedTuple):
    """An innermost loop: its function and its instructions."""

    function: str
    body: list[str]
    frame: bool  # rbp holds the address of the function's stack frame

    @property
    def multiply_adds(self) -> list[str]:
        return [i for i in self.body if i.startswith("vfm")]

    @property
    def is_tile(self) -> bool:
        """Whether each multiply-add has a sum of its own: a polynomial's feed each other."""
        found = self.multiply_adds
        sums = sum(i.startswith("vfmadd231") for i in found)
        return len(found) >= SUMS and (sums >= 0.9 * len(found) or "_tile" in self.function)

    @property
    def on_stack(self) -> list[str]:
        """The instructions that move or use a vector on the stack."""
        place = r"\(%rsp|\(%rbp" if self.frame else r"\(%rsp"
        return [i for i in self.body if re.search(place, i) and re.search("%[xyz]mm", i)]


def loops_of(listing: str) -> Iterator[Loop]:
    """The innermost loops in the output of ``objdump -d``: jumps back with none inside."""
    for function, text in re.findall(r"^[0-9a-f]+ <(.*)>:\n((?:.+\n?)*)", listing, re.MULTILINE):
        found = re.findall(r"^\s+([0-9a-f]+):\s+(.+?)\s*$", text, re.MULTILINE)
        place = {address: i for i, (address, _) in enumerate(found)}
        frame = any(re.match(r"mov\s+%rsp,%rbp", i) for _, i in found)
        spans = []
        for end, (_, instruction) in enumerate(found):
            jump = re.match(r"j\w+\s+([0-9a-f]+)\b", instruction)
            begin = place.get(jump[1]) if jump else None
            if begin is not None and begin <= end:
                spans.append((begin, end))
        for begin, end in spans:
            inner = [s for s in spans if s != (begin, end) and begin <= s[0] and s[1] <= end]
            if not inner:
                yield Loop(function, [i for _, i in found[begin : end + 1]], frame)


def tiles_of(objects: list[Path]) -> list[Loop]:
    command = ["objdump", "-d", "-C", "-w", "--no-show-raw-insn", *map(str, objects)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return [loop for loop in loops_of(done.stdout) if loop.is_tile]


# The steps of LSTM and GRU have more sums than the 16 registers of AVX2 hold; a rule of an
# optimizer in float64 is no tile.
KNOWN = ("rnn_tiled_gru", "rnn_tiled_lstm", "step_block")


@needs_objdump
@pytest.mark.parametrize("isa", LOOPS)
def test_sums_stay_in_registers(isa: str) -> None:
    objects = [
        o
        for folder in (ROOT / "build").glob(f"dev*/CMakeFiles/_core_{isa}.dir")
        for op in OPS
        for o in (folder / "csrc" / "ops" / op).glob("*.o")
        # An object of a source that is gone stays behind.
        if (ROOT / o.relative_to(folder)).with_suffix("").exists()
    ]
    if not objects:
        pytest.skip("no build in build/dev")
    tiles = tiles_of(objects)
    assert len(tiles) >= LOOPS[isa]
    spilled = {tile.function: tile.on_stack for tile in tiles if tile.on_stack}
    left = {n for n in spilled if isa == "avx512" or not any(known in n for known in KNOWN)}
    assert left == set()


TILE = """
#include "gemm/tile.h"
namespace convkit::CK_ISA {
void product_tile(const float* a, const float* b, int64_t depth, float* c) {
  Tile<float, ROWS, 4> tile;
  tile.load(0, c, 64, 16);
  tile.multiply(a, [depth](int m) { return m * depth; }, 1, b, 64, depth);
  tile.store(0, c, 64, 16);
}
}
"""


@needs_objdump
@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on the PATH")
@pytest.mark.parametrize(("rows", "spills"), [(6, False), (9, True)])
def test_a_tile_that_is_too_large_is_seen(rows: int, spills: bool, tmp_path: Path) -> None:
    """The 32 registers of AVX-512 hold 6 x 4 sums and what they are made of, not 9 x 4."""
    (tmp_path / "tile.cpp").write_text(TILE)
    command = ["g++", "-std=c++20", "-O3", "-march=skylake-avx512", "-ffp-contract=fast"]
    command += [f"-I{ROOT / 'csrc'}", "-DCK_ISA=avx512", "-DCK_ISA_LEVEL=2", f"-DROWS={rows}"]
    command += ["-c", str(tmp_path / "tile.cpp"), "-o", str(tmp_path / "tile.o")]
    compiled = subprocess.run(command, capture_output=True, timeout=120)
    if compiled.returncode != 0 and b"skylake-avx512" in compiled.stderr:
        pytest.skip("a g++ for another architecture")
    assert compiled.returncode == 0, compiled.stderr.decode()
    tiles = tiles_of([tmp_path / "tile.o"])  # the compiler may unroll the loop, and make two of it
    assert tiles
    assert all(len(tile.multiply_adds) % (4 * rows) == 0 for tile in tiles)
    assert any(tile.on_stack for tile in tiles) == spills
