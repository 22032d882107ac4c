"""Every CUDA kernel on named layers: time, rates, shares of cuBLAS, cuDNN and copying.

Run as ``python benchmarks/gpu/kernels.py --out FOLDER [--seconds N] [--op OP]``. ``--device cpu
--tiny`` tries the script out on the emulator (CONVKIT_CUDA_EMULATOR=1).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import libraries
import machine
import numpy as np

from convkit.bench.kernels import Runner
from convkit.bench.tables import Table
from convkit.cuda import native as cuda
from convkit.ops import registry
from convkit.ops.registry import Array, Row
from convkit.testing import named_calls
from convkit.testing.awkward_calls import awkward_calls
from convkit.testing.calls import Call

# Batches that fill a GPU; those of the CPU's benchmarks suit a CPU.
BATCH = {"lenet": 512, "alexnet": 64, "alexnet2012": 64, "vgg16": 8, "mobilenet": 64}
FIRST = ("conv2d", "dense", "conv2d_pool", "rnn", "pool2d", "softmax", "loss", "update")
MOST_BYTES = 1 << 29  # of a call
TYPICAL_BYTES = 64e6  # more than a cache holds, and filled in moments
SAMPLE_SECONDS, MOST_LAUNCHES, ROUNDS = 0.002, 100, 9
MEMORY_TARGET = 0.85  # of a copy of as many bytes
# Of a result, relative to the norm: what other sums make of float32, and rounded operands.
TOLERANCE, TF32_TOLERANCE, BF16_TOLERANCE = 1e-4, 2e-3, 2e-2
NOTES = f"""
Each row ran twice, gave the same bits, and agreed with the CPU's kernel (the column error is the
largest difference of a result, by norm, relative to it) before it was timed. Launches are captured
as a graph, as in training, and timed by events; a time is the median of {ROUNDS} samples, taken in
turns with those of a copy of as many bytes and of the library's pass: for rows that round to TF32
with TF32, for those that round to BF16 on operands that are BF16 in memory. Bytes count each
operand once. Operands stay where they are between launches, so those of less than the second-level
cache are read from there, by the copy too. "Of SGEMM" is the share of the rate of cuBLAS's product
of 8192 x 8192 matrices; "of the library" is the time of cuBLAS or of cuDNN's faster layout over
ours. Kernels that memory bounds are meant to reach {MEMORY_TARGET:.0%} of the copy.
"""


def calls(tiny: bool, only: str) -> Iterator[Call]:
    """A layer of each op in turn, so that every op has had its turn when time is up.

    Those of typical size come first.
    """
    named_calls.BATCH.update(BATCH)
    ops = sorted(cuda.require().ops(), key=lambda op: (op not in FIRST, op))
    layers = []
    for op in ops:
        if only in ("", op):
            found = awkward_calls(op)[:4] if tiny else named_calls.calls_of(op)
            groups: dict[str, list[Call]] = {}
            for call in found:
                groups.setdefault(call.name, []).append(call)
            layers.append(sorted(groups.values(), key=_distance))
    for turn in zip_longest(*layers):
        for group in turn:
            yield from (c for c in group or () if c.bytes <= MOST_BYTES)


def _distance(group: list[Call]) -> float:
    return abs(math.log(max(group[0].bytes, 1) / TYPICAL_BYTES))


def key(call: Call) -> str:
    return f"{call.op}.{call.pass_name} {call.name}"


def results(runner: Runner, row: Row) -> list[Array | None]:
    """Copies of what a row gives, from a fresh start."""
    runner.restore()
    call = runner.call
    registry.run(row, call.params, runner.inputs, runner.outputs, call.step, all_threads=True)
    return [None if a is None else a.copy() for a in runner.results()]


def difference(found: list[Array | None], expected: list[Array | None]) -> float:
    """Largest of any result, by norm and relative to it; of integers, the share that differs."""
    worst = 0.0
    for y, r in zip(found, expected, strict=True):
        if y is None or r is None or not y.size:
            continue
        if y.dtype.kind != "f":
            worst = max(worst, float(np.mean(y != r)))
            continue
        with np.errstate(all="ignore"):
            same = (y == r) | (np.isnan(y) & np.isnan(r))
            wide = np.where(same, 0.0, y.astype(np.float64) - r)
            gap = float(np.linalg.norm(wide.ravel()) / max(np.linalg.norm(r.ravel()), 1e-30))
        worst = max(worst, gap if np.isfinite(gap) else np.inf)
    return worst


def tolerance(row: Row) -> float:
    """By what operands are rounded to."""
    return {"full": TOLERANCE, "tf32": TF32_TOLERANCE, "bf16": BF16_TOLERANCE}[row.precision]


def _begun(timer: Callable[[int], float]) -> tuple[Callable[[int], float], int]:
    """A timer that has run, and how many launches make a sample."""
    timer(1)
    once = timer(1)
    return timer, max(1, min(MOST_LAUNCHES, round(SAMPLE_SECONDS / max(once, 1e-9))))


def measure(call: Call, device: str) -> list[dict[str, Any]]:
    """An entry for each row that supports the call."""
    runner = Runner(call)
    specs = [*call.specs, *runner.specs]
    table = registry.kernels(call.op, call.pass_name, device="cuda")
    rows = [row for row in table if row.native and row.supports(specs, call.params)]
    if not rows:
        return []
    expected = results(runner, runner.chosen())
    common = {
        "op": call.op,
        "pass": call.pass_name,
        "case": call.name,
        "flops": call.flops,
        "bytes": call.bytes,
    }
    entries, timers = [], []
    for row in rows:
        entry: dict[str, Any] = {**common, "kernel": row.name, "precision": row.precision}
        entries.append(entry)
        try:
            first, second = results(runner, row), results(runner, row)
            pairs = zip(first, second, strict=True)
            same = all(a is None or b is None or a.tobytes() == b.tobytes() for a, b in pairs)
            entry |= {"same_bits": same, "error": difference(first, expected)}
            if not same or not entry["error"] <= tolerance(row):
                entry["failed"] = "other bits in each run" if not same else "wrong"
                continue
            runner.restore()
            timers.append((entry, "samples_s", *_begun(runner.timer(row))))
        except Exception as error:
            entry["failed"] = f"{type(error).__name__}: {error}"[:300]
    if not timers:
        return entries
    shared: dict[str, Any] = {}
    others = {"copy": libraries.copy(call.bytes, device)}
    try:
        for precision in sorted({row.precision for row in rows}):
            others |= libraries.of_call(call, device, precision)
        timers += [
            (shared, name, *_begun(libraries.Timer(work, device))) for name, work in others.items()
        ]
    except Exception as error:
        print(f"{key(call)}: nothing to compare with: {type(error).__name__}: {error}"[:300])
    for _ in range(ROUNDS):
        for target, name, timer, n in timers:
            target.setdefault(name, []).append(timer(n))
    for entry in entries:
        entry["beside_s"] = {
            name: float(np.median(s))
            for name, s in shared.items()
            if name == "copy" or libraries.precision_of(name) == entry["precision"]
        }
    return entries


def ceilings(device: str, tiny: bool) -> dict[str, float]:
    """Rates of the device: of cuBLAS's SGEMM and of a large copy."""
    n, nbytes = (64, 1 << 16) if tiny else (8192, 2 << 30)

    def best(work: Any, launches: int) -> float:
        timer = libraries.Timer(work, device)
        return min(timer(launches) for _ in range(5))

    return {
        "sgemm_flops": 2 * n**3 / best(libraries.product(n, device), 1),
        "copy_bytes": nbytes / best(libraries.copy(nbytes, device), 3),
    }


def line(entry: dict[str, Any], rates: dict[str, float]) -> tuple[str, ...]:
    """A row of the table."""
    who = (entry["op"], entry["case"], entry["pass"], entry["kernel"])
    if "samples_s" not in entry:
        return (*who, entry.get("failed", "not timed"), *(["-"] * 7))
    low, t, high = np.percentile(entry["samples_s"], [25, 50, 75])
    beside = entry["beside_s"]
    libraries = {name: s for name, s in beside.items() if name != "copy"}
    library = min(libraries, key=libraries.__getitem__) if libraries else ""
    of_copy = beside.get("copy", math.nan) / t
    by_memory = entry["flops"] / rates["sgemm_flops"] < entry["bytes"] / rates["copy_bytes"]
    verdict = "reached" if of_copy >= MEMORY_TARGET else "missed"
    return (
        *who,
        f"{t * 1e6:.1f} ({low * 1e6:.1f}-{high * 1e6:.1f})",
        f"{entry['flops'] / t / 1e9:.0f}" if entry["flops"] else "-",
        f"{entry['bytes'] / t / 1e9:.0f}",
        f"{entry['flops'] / t / rates['sgemm_flops']:.0%}" if entry["flops"] else "-",
        f"{of_copy:.0%}",
        f"{libraries[library] / t:.0%} of {library}" if library else "-",
        verdict if by_memory else "-",
        f"{entry['error']:.1e}",
    )


def markdown(record: dict[str, Any]) -> str:
    """The table, and what failed."""
    header = (
        "op", "layer", "pass", "kernel", "us (quartiles)", "GFLOP/s", "GB/s", "of SGEMM",
        "of a copy", "of the library", f"memory-bound, {MEMORY_TARGET:.0%}", "error",
    )  # fmt: skip
    rates = record["ceilings"]
    rows = [line(entry, rates) for entry in record["kernels"]]
    failed = [e for e in record["kernels"] if "failed" in e]
    parts = [
        "# CUDA kernels",
        f"SGEMM {rates['sgemm_flops'] / 1e12:.1f} TFLOP/s, copy {rates['copy_bytes'] / 1e9:.0f} "
        f"GB/s (read and written). {len(rows)} kernel timings tried, {len(failed)} failed; "
        f"{record['left']}.",
        Table("", header, rows).markdown(),
        NOTES.strip(),
    ]
    return "\n\n".join(parts)


def unusable() -> bool:
    """Whether an error of a kernel has left this process without a device."""
    try:
        cuda.require().Memory(16, False)
    except Exception:
        return True
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of kernels.json and .md")
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"), help="of the peers")
    parser.add_argument("--seconds", type=float, default=90.0, help="begin no call after these")
    parser.add_argument("--op", default="", help="this one only")
    parser.add_argument("--tiny", action="store_true", help="tiny shapes, to try the script out")
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)  # after a restart
    options = parser.parse_args()
    until = options.until or time.time() + options.seconds
    libraries.strict()
    kept = options.out / "kernels.json"
    if options.until:
        record: dict[str, Any] = json.loads(kept.read_text())
    else:
        record = {
            "machine": machine.facts(),
            "ceilings": ceilings(options.device, options.tiny),
            "kernels": [],
            "done": [],
            "left": "",
        }
    record["left"] = "all calls had their turn"
    for call in calls(options.tiny, options.op):
        if key(call) in record["done"]:
            continue
        if time.time() > until:
            record["left"] = "time was up before all calls had their turn"
            break
        record["done"].append(key(call))
        try:
            entries = measure(call, options.device)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"[:300]
            entries = [{"op": call.op, "pass": call.pass_name, "case": call.name, "kernel": "-",
                        "failed": why}]  # fmt: skip
        record["kernels"] += entries
        if any("failed" in e for e in entries) and unusable():
            machine.write(options.out, "kernels", record, markdown(record))
            arguments = [a for a in sys.argv[1:] if not a.startswith("--until")]
            os.execv(sys.executable, [sys.executable, __file__, *arguments, f"--until={until}"])
    machine.write(options.out, "kernels", record, markdown(record))
    print(markdown(record))


if __name__ == "__main__":
    main()
