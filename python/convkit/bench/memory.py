"""Peak memory of processes, and what a step allocates."""

from __future__ import annotations

import ctypes
import gc
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from convkit.bench.cases import Case, contenders
from convkit.bench.footprint import check_wheel, import_times, wheel_parts
from convkit.bench.outputs import TOLERANCE, Outputs, disagreement, outputs_of
from convkit.bench.process import ContenderError, Crew

__all__ = ["NOTES", "allocation_counter", "run_memory", "steps_in_this_process"]

NOTES = """\
Each contender in a fresh process; those whose outputs differ are left out. The peak is that of \
the whole process, the interpreter and the library's code included, from just before its first \
step (VmHWM of /proc/self/status) over four steps: forward, loss, backward and update with \
dropout, or inference. Allocations are calls of malloc and its kin a step, counted by a library \
that the dynamic linker puts before the C library's own (Python's small objects come from an \
allocator of its own and do not count); page faults are those without a read, one for each page \
that a process touches for the first time. Both are medians of the last three steps."""

# Counts, and passes on to the C library.
_COUNTER = r"""
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t), *__libc_memalign(size_t, size_t);
static uint64_t count;
static void add(void) { __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED); }
uint64_t convkit_allocations(void) { return __atomic_load_n(&count, __ATOMIC_RELAXED); }
void *malloc(size_t n) { add(); return __libc_malloc(n); }
void *calloc(size_t n, size_t size) { add(); return __libc_calloc(n, size); }
void *realloc(void *p, size_t n) { add(); return __libc_realloc(p, n); }
void *memalign(size_t a, size_t n) { add(); return __libc_memalign(a, n); }
void *aligned_alloc(size_t a, size_t n) { add(); return __libc_memalign(a, n); }
int posix_memalign(void **p, size_t a, size_t n) {
  add();
  *p = __libc_memalign(a, n);
  return *p || !n ? 0 : ENOMEM;
}
"""


@contextmanager
def allocation_counter() -> Iterator[str | None]:
    """A library for LD_PRELOAD that counts allocations; None where there is no C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        yield None
        return
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder) / "count.c", Path(folder) / "count.so"
        source.write_text(_COUNTER)
        command = [compiler, "-O2", "-shared", "-fPIC", str(source), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, check=False)
        yield str(library) if done.returncode == 0 else None


def _status(field: str) -> float:
    """A line of /proc/self/status, in MB."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(field))
    return int(line.split()[1]) * 1024 / 1e6


def _allocations() -> int | None:
    try:
        count = ctypes.CDLL(None).convkit_allocations
    except AttributeError:
        return None
    count.restype = ctypes.c_uint64
    return int(count())


def steps_in_this_process(contender: Any, steps: int = 4) -> dict[str, Any]:
    """Run a contender's first steps; what they take and allocate. Asked for by `run_memory`."""
    contender.run(0)  # lets go of what only its outputs need
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak is measured anew
    before = _status("VmRSS")
    allocations: list[int | None] = []
    faults = []
    for _ in range(steps):
        start = _allocations(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        contender.run(1)
        end = _allocations(), resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        allocations.append(None if start[0] is None or end[0] is None else end[0] - start[0])
        faults.append(end[1] - start[1])
    counted = sorted(a for a in allocations[1:] if a is not None)
    return {
        "before_mb": before,
        "peak_mb": _status("VmHWM"),
        "allocations_per_step": counted[len(counted) // 2] if counted else None,
        "faults_per_step": sorted(faults[1:])[len(faults[1:]) // 2],
    }


def _measured(case: Case, options: Any, library: str | None) -> dict[str, Any]:
    """Each contender of a case in a fresh process, which is measured first and compared then."""
    racing = contenders(case, quick=options.quick, only=options.peers)
    found: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    ours: Outputs = {}
    worst = 0.0
    for contender in racing:
        try:
            with Crew(options.most_threads, options.isa, options.timeout, library) as crew:
                memory = crew.load(contender).memory()
                outputs = outputs_of(crew.load(contender), contender)  # of one made anew
            ours = ours or outputs
            difference, wrong = disagreement(ours, outputs, TOLERANCE)
            if wrong:
                raise ArithmeticError(f"{contender.name} disagrees with {racing[0].name}: {wrong}")
            worst = max(worst, difference)
            found[contender.name] = memory
        except (ArithmeticError, ContenderError) as error:
            if not contender.optional:
                raise
            left_out[contender.name] = str(error)
    return {"contenders": found, "left_out": left_out, "disagreement": worst}


def run_memory(
    report: Any,
    chosen: Sequence[Case],
    options: Any,
    over: Callable[[str], None],
    is_up: Callable[[], bool],
) -> None:
    """Measure the cases of the suite "memory" into a report, then what importing costs.

    No case begins once `is_up` says that the time of the suite is.
    """
    if options.wheel is not None:
        check_wheel(options.wheel)
    with (
        allocation_counter() as library,
        Crew(options.most_threads, options.isa, options.timeout) as crew,
    ):
        yardstick = crew.yardstick()
        for _ in range(3):
            yardstick.call("sample")
        report.machine = crew.machine(crew.rates())
        for case in chosen:
            if is_up():
                break
            start = time.perf_counter()
            try:
                memory = _measured(case, options, library)
                entry = {"name": case.name, "target": None, "labels": {}, "memory": memory}
                report.cases.append(entry)
            except (ArithmeticError, ContenderError) as error:
                report.failed[case.name] = str(error)
            report.seconds[case.name] = time.perf_counter() - start
            over(case.name)
    if not options.cases:
        report.extra["import"] = import_times(options.rounds or (4 if options.quick else 15))
    if options.wheel is not None:
        report.extra["wheel"] = wheel_parts(options.wheel)
