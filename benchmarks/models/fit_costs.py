"""Fits the cost model that chooses kernels, to measurements of every fast row.

Run as ``python benchmarks/models/fit_costs.py measure [--seconds S] [--isa NAME] [--threads N]``
until nothing is left, which adds to ``benchmarks/results/costs.json``; then as ``... fit``, which
writes the coefficients (``python/convkit/ops/choosing/costs.json``) and ``results/costs.md``: how
much longer the predicted row takes than the fastest one, on each named layer. ``--again TEXT``
measures calls that contain TEXT once more; the shorter times stay.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from convkit import _core
from convkit.bench.machine import measure as measure_machine
from convkit.bench.machine import without_blas_limits
from convkit.ops import registry
from convkit.ops.choosing import call_text, consider
from convkit.ops.choosing.choice import PLAIN
from convkit.ops.choosing.costs import features
from convkit.ops.choosing.tuning import FAR, random_operands
from convkit.ops.registry import Row
from convkit.run.timing import timer
from convkit.testing import calls as calls_for
from convkit.testing.calls import Call
from convkit.testing.conv2d_pool_calls import conv2d_pool
from convkit.testing.named_calls import calls_of
from convkit.testing.named_layers import (
    CONV_LAYERS,
    CONV_POOL_LAYERS,
    LENET_CAFFE_CONV,
    Conv,
)

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "benchmarks" / "results" / "costs.json"
REPORT = ROOT / "benchmarks" / "results" / "costs.md"
TABLE = ROOT / "python" / "convkit" / "ops" / "choosing" / "costs.json"
BATCHES = {"lenet": (128,), "alexnet": (1, 16), "vgg16": (1, 4), "mobilenet": (4,)}
# VGG16 on images of 32 x 32.
CIFAR = tuple(
    Conv(f"cifar.{c}_{k}", n, n, c, k, 3, padding=1)
    for n, c, k in (
        (32, 3, 64), (32, 64, 64), (16, 64, 128), (16, 128, 128), (8, 128, 256), (8, 256, 256),
        (4, 256, 512), (4, 512, 512), (2, 512, 512),
    )
)  # fmt: skip
# Images, pixels of a side, channels and filters: what runs in microseconds.
SMALL = ((2, 8, 16, 40), (16, 8, 32, 32), (8, 16, 16, 32), (32, 12, 8, 16), (1, 16, 64, 64))
LARGE = 2_000_000_000  # operations
QUIET = 0.75  # share of the peak around a sample that counts: clocks fall under load, by less
ENOUGH, MOST = 3, 14  # quiet samples of each row, and rounds
# What takes time in a row, see `convkit.ops.choosing.costs`.
WINOGRAD = (
    "call", "bytes", "products", "inputs", "outputs", "weights", "far weights", "narrow taps"
)  # fmt: skip
FEATURES = {
    "conv2d": ("call", "bytes", "products", "terms", "weights", "rows", "taps", "narrow taps"),
    "conv2d cpu_im2col": ("call", "terms", "weights", "pixels", "columns", "narrow taps"),
    "conv2d cpu_winograd": WINOGRAD,
    "conv2d_pool": ("call", "bytes", "products", "terms", "weights", "rows", "taps", "flops"),
    "conv2d_pool cpu_winograd": WINOGRAD,
    "pool2d": ("call", "bytes", "flops"),
}
NOTES = """\
Each line is a pass of a named layer with the shortest time of each row, in a quiet moment. "chosen"
is the row that the cost model predicts to be the fastest, always for one thread; the last column is
how many times as long as the fastest row it takes.
"""
Known = list[tuple[Call, dict[str, float]]]


def cases() -> Iterator[Call]:
    """The named layers: in batches of training and of inference, scaled down, and of CIFAR."""
    seen = set()
    for call in _cases():
        if text_of(call) not in seen:
            seen.add(text_of(call))
            yield call


def _cases() -> Iterator[Call]:
    for layer in (*CONV_LAYERS, *LENET_CAFFE_CONV):
        for n in BATCHES.get(layer.name.partition(".")[0], ()):
            yield from _conv2d(layer, n)
    for layer in CIFAR:
        yield from _conv2d(layer, 32)
    for layer, size, stride in CONV_POOL_LAYERS:
        for n in BATCHES.get(layer.name.partition(".")[0], ()):
            yield from _conv2d_pool(layer, n, size, stride)
    for layer in CIFAR[1::2]:
        yield from _conv2d_pool(layer, 32, 2, 2)
    for layer, size, _ in CONV_POOL_LAYERS[:2]:
        side = layer.h - layer.size + 1
        yield from calls_for.pool2d(layer.name, "max", (128, side, side, layer.k), size=size)
    yield from calls_of("pool2d")
    for n, size, c, k in SMALL:
        yield from _conv2d(Conv(f"{c} to {k}", size, size, c, k, 3, padding=1), n)
        yield from _conv2d_pool(Conv(f"{c} to {k}", size, size, c, k, 3, padding=1), n, 2, 2)
        yield from calls_for.pool2d(f"{k}", "max", (n, size, size, k), size=2)


def _conv2d(layer: Conv, n: int) -> list[Call]:
    x, name = (n, layer.h, layer.w, layer.c), f"{layer.name}, batch {n}"
    options = {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
    return calls_for.conv2d(name, x, layer.w_shape, **options)


def _conv2d_pool(layer: Conv, n: int, size: int, stride: int) -> list[Call]:
    x, name = (n, layer.h, layer.w, layer.c), f"{layer.name} and pool, batch {n}"
    options = {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
    return conv2d_pool(
        name, x, layer.w_shape, size=size, pool_stride=stride, activation="relu", **options
    )


def fast_rows(call: Call) -> list[Row]:
    """What the model has to tell apart; a column matrix of large images is never the fastest."""
    specs = [*call.specs, *call.outputs()]
    left_out = (*PLAIN, "cpu_im2col") if call.flops > LARGE else PLAIN
    table = registry.kernels(call.op, call.pass_name)
    return [
        r for r in table if r.native and r.name not in left_out and r.supports(specs, call.params)
    ]


def text_of(call: Call) -> str:
    """The key of a call in the record."""
    return call_text(call.op, call.pass_name, [*call.specs, *call.outputs()], call.params)


def timed(call: Call, rows: list[Row], peak: float) -> dict[str, float]:
    """Shortest times of rows while nobody else is at work, as the machine's peak tells.

    The peak around a sample falls where others share the core. Rows without a quiet moment are left
    out, so that the call is measured again.
    """
    operands = random_operands([*call.specs, *call.outputs()])
    inputs, outputs = operands[: len(call.specs)], operands[len(call.specs) :]
    timers = {row.name: timer(row, call.params, inputs, outputs) for row in rows}
    once = {}
    for name, run in timers.items():
        run(1)
        once[name] = max(run(1), 1e-9)
    near = {name for name in timers if once[name] <= 2 * FAR * min(once.values())}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in timers}
    for _ in range(MOST):
        for name, run in timers.items():
            if quiet_ones(found[name]) < (ENOUGH if name in near else 1):
                before = _core.peak_flops(0.001)
                t = run(max(1, round(0.002 / once[name])))
                share = min(1.0, min(before, _core.peak_flops(0.001)) / peak)
                found[name].append((share, t))
    quiet = {name: [t for share, t in f if share > QUIET] for name, f in found.items()}
    return {name: min(times) for name, times in quiet.items() if times}


def quiet_ones(samples: list[tuple[float, float]]) -> int:
    """How many samples were taken in a quiet moment."""
    return sum(share > QUIET for share, _ in samples)


def measure(seconds: float, threads: int, again: str) -> None:
    """Measure what the record lacks, for so long."""
    record = json.loads(SAMPLES.read_text()) if SAMPLES.exists() else {}
    end, isa = time.monotonic() + seconds, _core.isa()
    _core.set_num_threads(threads)
    kind = f"{isa}, {threads} thread{'s' if threads > 1 else ''}"
    here = record.setdefault(kind, {"machine": "", "peak": 0.0, "seconds": {}})
    peak = max(here["peak"], *(_core.peak_flops(0.02) for _ in range(20)))
    left = 0
    for call in cases():
        rows, text = fast_rows(call), text_of(call)
        known = here["seconds"].get(text, {})
        if {r.name for r in rows} <= set(known) and not (again and again in text):
            continue
        if time.monotonic() > end:
            left += 1
            continue
        found = {name: float(f"{t:.4g}") for name, t in timed(call, rows, peak).items()}
        here["seconds"][text] = {n: min(t, known.get(n, t)) for n, t in found.items()}
    here |= {"machine": str(measure_machine(0.05, 3)), "peak": peak}
    SAMPLES.write_text(json.dumps(record, indent=1, sort_keys=True))
    print(f"{kind}: {len(here['seconds'])} calls measured, {left} left")


def not_negative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Least squares with coefficients that are not negative (Lawson and Hanson 1974, ch. 23)."""
    n = a.shape[1]
    x, free = np.zeros(n), np.zeros(n, bool)
    for _ in range(10 * n):
        slope = np.where(free, -np.inf, a.T @ (b - a @ x))
        if slope.max() <= 1e-10:
            break
        free[slope.argmax()] = True
        while True:
            trial = np.zeros(n)
            trial[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
            if (trial[free] > 0).all():
                x = trial
                break
            wrong = free & (trial <= 0)
            step = np.min(x[wrong] / (x[wrong] - trial[wrong]))
            x = x + step * (trial - x)
            free &= x > 1e-30
            x[~free] = 0
    return x


def fitted(rows: list[tuple[dict[str, float], float]], names: tuple[str, ...]) -> dict[str, float]:
    """Coefficients with the least relative errors; times that are much shorter count less."""
    f = np.array([[features[name] for name in names] for features, _ in rows])
    t = np.array([seconds for _, seconds in rows])
    weights = np.ones(len(t))
    for _ in range(20):  # absolute errors count, by weights (Schlossmacher 1973)
        scale = np.sqrt(weights) / t
        a = f * scale[:, None]
        size = np.maximum(np.linalg.norm(a, axis=0), 1e-300)
        x = not_negative(a / size, t * scale) / size
        weights = 1 / np.maximum(f @ x / t - 1, 0.1)
    return {name: float(f"{c:.4g}") for name, c in zip(names, x, strict=True) if c > 0}


def fit() -> None:
    """Write the coefficients and what they are worth."""
    record = json.loads(SAMPLES.read_text())
    table: dict[str, Any] = {"machine": {}, "seconds": {}}
    measured = {}
    for kind, here in sorted(record.items()):
        isa, _, threads = kind.partition(", ")
        _core.set_isa(isa)
        measured[kind] = [
            (call, times) for call in cases() if (times := here["seconds"].get(text_of(call)))
        ]
        if threads == "1 thread":
            table["machine"][isa] = here["machine"]
            table["seconds"][isa] = coefficients(measured[kind])
    TABLE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
    report = ["# The cost model of kernels", NOTES]
    for kind, known in measured.items():
        _core.set_isa(kind.partition(",")[0])
        report += [f"## {kind}", f"```\n{record[kind]['machine']}\n```", *judged(known)]
    REPORT.write_text("\n\n".join(report) + "\n")
    print("\n\n".join(report))


def coefficients(known: Known) -> dict[str, dict[str, dict[str, float]]]:
    """Those of each row, by pass."""
    points: dict[tuple[str, str, str], list[tuple[dict[str, float], float]]] = {}
    for call, times in known:
        for row in fast_rows(call):
            if row.name in times:
                found = features(row, [*call.specs, *call.outputs()], call.params)
                key = call.op, call.pass_name, row.name
                points.setdefault(key, []).append((found, times[row.name]))
    seconds: dict[str, dict[str, dict[str, float]]] = {}
    for (op, pass_name, name), rows in points.items():
        names = FEATURES.get(f"{op} {name}", FEATURES[op])
        seconds.setdefault(f"{op}.{pass_name}", {})[name] = fitted(rows, names)
    return seconds


def judged(known: Known) -> list[str]:
    """A table of the cases where there is a choice, worst first."""
    lines = []
    for call, times in known:
        choice = consider(call.op, call.pass_name, [*call.specs, *call.outputs()], call.params)
        if len(times) < 2 or choice.row.name not in times:
            continue
        said = {c.name: c.predicted or 0.0 for c in choice.candidates if c.name in times}
        lost = times[choice.row.name] / min(times.values())
        told = ", ".join(f"{n} {times[n] * 1e3:.3g} ({said[n] * 1e3:.3g})" for n in said)
        head = f"| {call.name} | {call.op}.{call.pass_name} "
        lines.append((lost, f"{head}| {told} | {choice.row.name} | {lost:.2f} |"))
    worst = sum(lost > 1.1 for lost, _ in lines)
    head = "| case | pass | ms (predicted on one thread) | chosen | times the fastest |\n"
    table = [head + "|---|---|---|---|---|", *(line for _, line in sorted(lines, reverse=True))]
    return [f"{worst} of {len(lines)} choices take over 10 % longer.", "\n".join(table)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("measure", "fit"))
    parser.add_argument("--seconds", type=float, default=50.0, help="of measuring")
    parser.add_argument("--isa", default=_core.isa())
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--again", default="", metavar="TEXT", help="calls that contain TEXT")
    options = parser.parse_args()
    without_blas_limits()
    _core.set_isa(options.isa)
    if options.what == "measure":
        measure(options.seconds, options.threads, options.again)
    else:
        fit()


if __name__ == "__main__":
    main()
