"""The emulator of CUDA: does what CUDA does, and finds the errors that are planted in kernels.

Each program is built in one of three modes. `plain` finds what a random order of threads brings to
light, `asan` memory that is not the kernel's (and, with UBSan, vector accesses that are not
aligned), `tsan` accesses that nothing orders.
"""

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
COMPILER = shutil.which("g++")
NVCC = shutil.which("nvcc")

FLAGS = [
    "-std=c++20",
    "-DCK_CUDA_EMULATED=1",
    "-g1",
    "-Wall",
    "-Wextra",
    "-Werror",
    f"-I{ROOT / 'csrc'}",
]
ASAN = ["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]
# For the emulator, and for kernels and programs. ThreadSanitizer must not look into the emulator.
MODES = {
    "plain": (["-O1"], ["-O0"]),
    "ucontext": (["-O1", "-DCK_EMULATOR_UCONTEXT"], ["-O0"]),
    "asan": (ASAN, ASAN),
    "tsan": (["-O1", "-DCK_EMULATOR_TSAN=1"], ["-O1", "-fsanitize=thread"]),
}
CHECKS = sorted(HERE.glob("check*.cpp"))
PLANTED = HERE / "planted.cpp"

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no g++ on the PATH")


def compile_object(target, *command):
    command = [COMPILER, *FLAGS, *map(str, command), "-c", "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return target


class Builder:
    """Compiles each source once a mode."""

    def __init__(self, folder):
        self.folder = folder
        self.objects = {}

    def emulator(self, mode):
        if ("emulator", mode) not in self.objects:
            # All of it at once: compiled apart, the sources take three times as long.
            source = self.folder / f"emulator_{mode}.cpp"
            parts = sorted((ROOT / "csrc" / "cuda" / "emulator").glob("*.cpp"))
            source.write_text("".join(f'#include "{part}"\n' for part in parts))
            target = source.with_suffix(".o")
            self.objects["emulator", mode] = compile_object(target, *MODES[mode][0], source)
        return self.objects["emulator", mode]

    def program(self, name, mode, sources, *flags):
        with ThreadPoolExecutor(2) as pool:
            emulator = pool.submit(self.emulator, mode)
            parts = [
                pool.submit(
                    compile_object, self.folder / f"{name}_{mode}_{source.stem}.o",
                    *MODES[mode][1], *flags, source,
                )
                for source in sources
            ]  # fmt: skip
        target = self.folder / f"{name}_{mode}"
        command = [COMPILER, *MODES[mode][1], str(emulator.result())]
        command += [*(str(part.result()) for part in parts), "-o", str(target)]
        subprocess.run(command, check=True, timeout=300)
        return target


def run(program, *arguments, **environment):
    done = subprocess.run(
        [str(program), *map(str, arguments)], capture_output=True, text=True, timeout=300,
        check=False, env={**os.environ, **environment},
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def builder(tmp_path_factory):
    return Builder(tmp_path_factory.mktemp("emulator"))


@needs_compiler
def test_it_does_what_cuda_does(builder):
    program = builder.program("checks", "plain", CHECKS)
    for seed in (1, 2):
        assert run(program, seed) == (0, "")
    assert run(program, CONVKIT_EMULATOR_SEED="3") == (0, "")


@needs_compiler
def test_results_do_not_depend_on_the_order_of_threads(builder):
    program = builder.program("planted_0", "plain", [PLANTED])
    results = {run(program, seed) for seed in range(5)}
    ((status, bits),) = results
    assert status == 0 and re.fullmatch(r"bits [0-9a-f]{16}\n", bits)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("mode", ["ucontext", "asan", "tsan"])
def test_it_does_what_cuda_does_in_other_modes(builder, mode):
    program = builder.program("checks", mode, CHECKS)
    assert run(program, 1) == (0, "")
    if mode == "asan":
        assert run(program, 2, "with an endless loop") == (0, "")


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("mode", ["asan", "tsan"])
def test_sanitizers_are_silent_where_nothing_is_wrong(builder, mode):
    program = builder.program("planted_0", mode, [PLANTED])
    results = {run(program, seed) for seed in range(3)}
    ((status, bits),) = results
    assert status == 0 and re.fullmatch(r"bits [0-9a-f]{16}\n", bits)


# What a mode says about a planted error, and about which kernel. See kernels.h for the numbers.
FOUND = [
    ("plain", 1, r"planted\.cpp:\d+: worst\(c\.host"),
    ("tsan", 1, r"data race .*kernels\.h:\d+ in .*TileProduct"),
    ("plain", 2, r"planted\.cpp:\d+: worst\(c\.host"),
    ("tsan", 2, r"data race .*kernels\.h:\d+ in .*TileProduct"),
    ("plain", 3, r"kernel TileProduct.* a write behind the end of shared array b_tile"),
    ("asan", 3, r"heap-buffer-overflow(.*\n)*.*#0 .*TileProduct.*kernels\.h:\d+"),
    ("asan", 4, r"heap-buffer-overflow(.*\n)*.*#0 .*TileProduct.*kernels\.h:\d+"),
    ("plain", 5, r"planted\.cpp:\d+: worst\(tf32\.host"),
    ("tsan", 6, r"data race(.*\n)*.*WarpProduct.*kernels\.h:\d+"),
    ("plain", 7, r"kernel TwoLevelSum.* 128 of 256 threads wait at __syncthreads, kernels\.h:\d+"),
    ("tsan", 8, r"data race .*kernels\.h:\d+ in .*TwoLevelSum"),
    ("asan", 9, r"kernels\.h:\d+:.* misaligned address .* 16 byte alignment"),
    ("asan", 10, r"heap-use-after-free(.*\n)*.*#0 .*Copy4.*kernels\.h:\d+"),
]


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize(("mode", "bug", "report"), FOUND, ids=[f"{m}-{b}" for m, b, _ in FOUND])
def test_a_planted_bug_is_found(builder, mode, bug, report):
    program = builder.program(f"planted_{bug}", mode, [PLANTED], f"-DCK_PLANTED_BUG={bug}")
    for seed in (1, 2):
        status, output = run(program, seed)
        assert status != 0
        assert re.search(report, output), output


EVERY_INSTRUCTION = r"""
#include "kernels.h"
namespace convkit::cuda {
struct Call { cudaStream_t stream; const int* halted; };
struct EveryInstruction {
  static constexpr int kThreads = 64;
  static constexpr int kMinBlocks = 2;
  int* out;
  const float* x;
  CK_DEVICE void operator()() const {
    CK_DYN_SHARED(float, tile);
    CK_SHARED(uint64_t, barrier, [1]);
    if (threadIdx.x == 0) mbarrier_init(barrier, 64);
    __syncthreads();
    cp_async<4>(&tile[threadIdx.x], x);
    cp_async<8>(&tile[2 * threadIdx.x], x, threadIdx.x < 5);
    cp_async<16>(&tile[4 * threadIdx.x], x);
    cp_async_commit();
    cp_async_wait<0>();
    mbarrier_arrive(barrier);
    mbarrier_wait(barrier, 0);
    uint32_t a[4], b[2], c[1];
    ldmatrix<4>(a, tile); ldmatrix<2>(b, tile); ldmatrix<1>(c, tile);
    float d[4] = {};
    mma_m16n8k8_tf32(d, a, b);
    ldmatrix<4, true>(a, tile); ldmatrix<2, true>(b, tile); ldmatrix<1, true>(c, tile);
    a[0] ^= c[0] ^ to_tf32(d[3]);
    mma_m16n8k16_bf16(d, a, b);
    while (load_acquire(out) == 0) spin_hint();
    store_release(out, __float_as_int(block_max<kThreads>(d[0])));
  }
};
void launch_all(const Call& call, const float* x, float* y, unsigned* u) {
  for_each(call, 10, Axpy{2.0f, x, y});
  for_each(call, 10, Copy4{x, y});
  launch(call, dim3(2, 2), TileProduct{x, x, y, 1, 1, 1});
  launch(call, dim3(4), TwoLevelSum{x, 1000, y, u, y});
  launch(call, dim3(12, 7), WarpProduct{x, x, y, 16, 8, 16});
  launch(call, dim3(1), EveryInstruction{reinterpret_cast<int*>(u), x}, 65536);
}
}  // namespace convkit::cuda
"""


@pytest.mark.slow
@pytest.mark.skipif(NVCC is None, reason="no nvcc on the PATH")
@pytest.mark.parametrize("architecture", ["80", "90a"])
def test_nvcc_takes_the_same_sources(architecture, tmp_path):
    source = tmp_path / "every_instruction.cu"
    source.write_text(EVERY_INSTRUCTION)
    command = [NVCC, "-std=c++20", f"-I{ROOT / 'csrc'}", f"-I{HERE}"]
    command += ["-Werror", "all-warnings"]
    command += ["-gencode", f"arch=compute_{architecture},code=sm_{architecture}", "-Xptxas", "-v"]
    command += ["-c", str(source), "-o", str(tmp_path / "out.o")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    spills = re.findall(r"(\d+) bytes spill stores, (\d+) bytes spill loads", done.stderr)
    assert spills == [("0", "0")] * 6


def test_assembly_is_in_one_place():
    kernels = [*(ROOT / "csrc" / "cuda").rglob("*"), *(ROOT / "csrc" / "ops").rglob("*_cuda*")]
    found = {
        str(path.relative_to(ROOT))
        for path in kernels
        if path.is_file() and re.search(r"\b(asm|__asm__)\b", path.read_text())
    }
    assert found == {"csrc/cuda/ptx.cuh", "csrc/cuda/emulator/fiber.cpp"}
