"""Compiles and runs the stand-alone C++ drivers of tests/csrc, for each ISA of this machine."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from convkit.random import uniform24

ROOT = Path(__file__).resolve().parent.parent
COMPILER = shutil.which("g++")
FLAGS = [
    "-std=c++20", "-O3", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math",
    "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden", "-pthread", f"-I{ROOT / 'csrc'}",
]  # fmt: skip
ISA_FLAGS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma", "-mbmi", "-mbmi2", "-mf16c"],
    "avx512": ["-march=skylake-avx512"],
}
POOL_SOURCES = [
    ROOT / "tests/csrc/pool_stress.cpp",
    ROOT / "csrc/core/thread_pool.cpp",
    ROOT / "csrc/core/cpu_features.cpp",
]

pytestmark = pytest.mark.skipif(COMPILER is None, reason="no g++ on the PATH")


def cpu_flags():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return next(
        (set(line.split(":")[1].split()) for line in lines if line.startswith("flags")), set()
    )


def require_isa(isa):
    if isa == "baseline":
        return
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"{isa} is an x86-64 ISA")
    needed = {"avx2", "fma", "bmi1", "bmi2"}
    if isa == "avx512":
        needed |= {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
    missing = needed - cpu_flags()
    if missing:
        pytest.skip(f"this machine has no {isa} ({', '.join(sorted(missing))} missing)")


def build(target, sources, *flags):
    command = [COMPILER, *FLAGS, *flags, *map(str, sources), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return target


def run(program, *arguments, timeout=60, **environment):
    done = subprocess.run(
        [str(program), *arguments],
        capture_output=True, text=True, timeout=timeout, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("isa", list(ISA_FLAGS))
def test_math_ulp(isa, tmp_path):
    require_isa(isa)
    level = list(ISA_FLAGS).index(isa)
    program = build(
        tmp_path / "math_ulp",
        [ROOT / "tests/csrc/math_ulp.cpp"],
        *ISA_FLAGS[isa], f"-DCK_ISA={isa}", f"-DCK_ISA_LEVEL={level}",
    )  # fmt: skip
    print(run(program, "1021"))


@pytest.mark.slow
@pytest.mark.parametrize("isa", list(ISA_FLAGS))
def test_vec_partial_access_stays_in_bounds(isa, tmp_path):
    require_isa(isa)
    level = list(ISA_FLAGS).index(isa)
    program = build(
        tmp_path / "math_ulp",
        [ROOT / "tests/csrc/math_ulp.cpp"],
        *ISA_FLAGS[isa], f"-DCK_ISA={isa}", f"-DCK_ISA_LEVEL={level}", "-O1", "-fsanitize=address",
    )  # fmt: skip
    print(run(program, "100003"))


def test_pool_stress(tmp_path):
    program = build(tmp_path / "pool_stress", POOL_SOURCES)
    print(run(program))


@pytest.mark.slow
def test_pool_stress_under_thread_sanitizer(tmp_path):
    program = build(tmp_path / "pool_stress", POOL_SOURCES, "-O1", "-g", "-fsanitize=thread")
    print(run(program, timeout=300, TSAN_OPTIONS="halt_on_error=1"))


CPU_PROBE = r"""
#include <cstdio>
#include <exception>
#include "core/cpu_features.h"
#include "core/thread_pool.h"
int main() try {
  using namespace convkit;
  const int threads = ThreadPool::instance().num_threads();
  std::printf("%s %d %d", isa_name(active_isa()), threads, usable_cpus());
} catch (const std::exception& e) {
  std::printf("error: %s", e.what());
}
"""


@pytest.fixture(scope="module")
def cpu_probe(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cpu_probe")
    (folder / "probe.cpp").write_text(CPU_PROBE)
    return build(folder / "probe", [folder / "probe.cpp", *POOL_SOURCES[1:]], "-O0")


def probe(program, **environment):
    names = ("CONVKIT_ISA", "CONVKIT_NUM_THREADS", "OMP_NUM_THREADS")
    return run(program, **{**dict.fromkeys(names, ""), **environment})


def test_environment_variables(cpu_probe):
    assert probe(cpu_probe, CONVKIT_ISA="baseline", CONVKIT_NUM_THREADS="3").split()[:2] == [
        "baseline",
        "3",
    ]
    assert probe(cpu_probe, OMP_NUM_THREADS="5,2").split()[1] == "5"
    assert probe(cpu_probe, OMP_NUM_THREADS="5", CONVKIT_NUM_THREADS="4").split()[1] == "4"
    _, threads, cpus = probe(cpu_probe, OMP_NUM_THREADS="nonsense").split()
    assert threads == cpus


def test_bad_environment_variables_are_explained(cpu_probe):
    message = probe(cpu_probe, CONVKIT_ISA="sse9")
    assert message.startswith("error: CONVKIT_ISA")
    assert "sse9" in message
    assert "choose one of: baseline" in message
    for bad in ("0", "many", "4x", "99999"):
        assert f"CONVKIT_NUM_THREADS is '{bad}'" in probe(cpu_probe, CONVKIT_NUM_THREADS=bad)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity here")
def test_usable_cpus_follows_the_affinity_mask(cpu_probe):
    one = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [str(cpu_probe)], capture_output=True, text=True, timeout=60, check=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {one}),
    )  # fmt: skip
    assert done.stdout.split()[2] == "1"


PHILOX_PROBE = r"""
#include <cstdio>
#include "core/philox.h"
int main() {
  const uint64_t seed = 0x123456789ABCDEF0u, step = (uint64_t{5} << 32) + 3;
  for (uint64_t i = 0; i < 9; ++i) std::printf("%a ", convkit::philox_uniform(seed, 7, step, i));
}
"""


def test_philox_agrees_with_python(tmp_path):
    (tmp_path / "probe.cpp").write_text(PHILOX_PROBE)
    program = build(tmp_path / "probe", [tmp_path / "probe.cpp"], "-O0")
    numbers = [float.fromhex(word) for word in run(program).split()]
    assert numbers == uniform24(0x123456789ABCDEF0, 7, (5 << 32) + 3, 9).tolist()
