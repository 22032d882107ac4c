"""Times every row of an op's table on given calls: in one process, checked, interleaved."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from convkit import _core
from convkit.bench.machine import Rates, Yardstick, measure, without_blas_limits
from convkit.bench.racing import FEWEST, paired_ratio
from convkit.ops import registry
from convkit.ops.choosing import consider
from convkit.ops.registry import Array, Bound, Context, Row, Spec
from convkit.run.timing import aligned, timer
from convkit.testing.calls import Call

SLOW = 1.0  # seconds; a row that takes longer is checked and not timed again
QUICK_FLOPS, QUICK_BYTES = 100_000_000, 8 << 20
NOTES = """\
Every row gave results within the reference's error bound before it was timed; the last column is \
its largest error in units of that bound. Rows take turns, sample by sample, on the same arrays; \
times are of the kernel alone, without Python. Rates count the operations of the formula, and each \
operand once. "of peak" is the share of what the machine did between the samples of that case: of \
multiply-adds where they bind (GFLOP/s), of copying 256 MiB where memory does (GB/s); operands in \
cache can exceed it. A row without quartiles took over a second and ran once.
"""


@dataclass(frozen=True)
class Timing:
    """What a row took for a call.

    Attributes
    ----------
    call : Call
    row : Row
    seconds : ndarray
        One entry per sample; a single one where the row was too slow for more.
    error : float
        Largest difference from the reference in units of the error bound.
    """

    call: Call
    row: Row
    seconds: Array
    error: float

    @property
    def median(self) -> float:
        """Median seconds of one call."""
        return float(np.median(self.seconds))


class Runner:
    """The arrays of a call, and its rows ready to run on them."""

    def __init__(self, call: Call) -> None:
        self.call = call
        self.given = call.arrays()
        self.specs = call.outputs()
        self.inputs = [None if a is None else _placed(a) for a in self.given]
        self.outputs = [None if s is None else aligned(s) for s in self.specs]
        self.updates = len(registry.get(call.op)[call.pass_name].updates)

    def rows(self) -> list[Row]:
        """Rows that can run the call, best first."""
        specs = [*self.call.specs, *self.specs]
        table = registry.kernels(self.call.op, self.call.pass_name)
        return [row for row in table if row.supports(specs, self.call.params)]

    def chosen(self) -> Row:
        """The row that a program would run the call by."""
        specs = [*self.call.specs, *self.specs]
        return consider(self.call.op, self.call.pass_name, specs, self.call.params).row

    def restore(self) -> None:
        """Undo updates and spoil outputs, so that no row can pass by another's work."""
        for a, original in zip(self.inputs, self.given, strict=True):
            if a is not None and original is not None:
                a[...] = original
        for a in self.outputs:
            if a is not None:
                a[...] = np.nan if a.dtype.kind == "f" else 0x5B

    def results(self) -> list[Array | None]:
        """Updates, then outputs."""
        return [*self.inputs[len(self.inputs) - self.updates :], *self.outputs]

    def timer(self, row: Row) -> Callable[[int], float]:
        """A function that runs the row a number of times and returns the seconds of one."""
        call = self.call
        return timer(row, call.params, self.inputs, self.outputs, call.step)


def _placed(array: Array) -> Array:
    copy = aligned(Spec(array.shape, array.dtype.name))
    copy[...] = array
    return copy


class _Expected:
    """What the reference makes of a call, and how far a row may be off in float32."""

    def __init__(self, runner: Runner) -> None:
        call = runner.call
        self.rule = registry.get(call.op)[call.pass_name]
        self.context = Context(call.params, runner.specs, call.step)
        self.wide = [
            a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a
            for a in runner.given
        ]
        start = time.perf_counter()
        self.results: list[Array | None] = list(self.rule.reference(self.context, *self.wide))
        self.seconds = time.perf_counter() - start
        self._tolerances: dict[Bound, list[Array | None]] = {}

    def tolerances(self, row: Row) -> list[Array | None]:
        """Of each update and output of a row."""
        bound_of = self.rule.bound_of(row.name)
        if bound_of not in self._tolerances:
            with np.errstate(all="ignore"):
                bounds = bound_of(self.context, *self.wide)
                self._tolerances[bound_of] = [
                    None if r is None else _allowed(bound)
                    for r, bound in zip(self.results, bounds, strict=True)
                ]
        return self._tolerances[bound_of]


def _allowed(bound: Any) -> Array:
    allowed = np.asarray(0.0 if bound is None else bound, np.float64)
    # The reference rounds too; a few values may be flushed to zero.
    unit, floor = float(np.finfo(np.float32).epsneg), 8 * float(np.finfo(np.float32).tiny)
    return np.where(allowed > 0, 1.001 * unit * allowed + floor, 0.0)


def _error(runner: Runner, row: Row, expected: _Expected) -> float:
    """Largest error of the results, in units of what is allowed; refuse a wrong row."""
    worst = 0.0
    for y, r, allowed in zip(
        runner.results(), expected.results, expected.tolerances(row), strict=True
    ):
        if y is None or r is None or allowed is None:
            continue
        with np.errstate(all="ignore"):
            gap = np.abs(y.astype(np.float64) - r)
            units = np.where(gap == 0, 0.0, gap / allowed)
        error = float(np.max(units, initial=0.0))
        if not error <= 1:
            call = runner.call
            raise ArithmeticError(
                f"[{call.op}] {call.pass_name}: {row.name} is wrong on {call.name}, by "
                f"{error:.3g} times the error bound; nothing was timed"
            )
        worst = max(worst, error)
    return worst


def chosen(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Those of the names, in their order; of a single one, it and the best of the others."""
    by_name = {row.name: row for row in rows}
    found = [by_name[name] for name in names if name in by_name]
    if len(names) == 1 and found:
        found += [row for row in rows if row is not found[0]][:1]
    return found


def time_rows(
    call: Call,
    *,
    rounds: int = 21,
    sample_seconds: float = 0.02,
    names: Sequence[str] = (),
    yardstick: Yardstick | None = None,
) -> list[Timing]:
    """Check, then time every row that supports a call.

    Parameters
    ----------
    call : Call
    rounds : int
        Samples of each row.
    sample_seconds : float
        About how long one sample lasts.
    names : sequence of str
        Only these rows, see `chosen`.
    yardstick : Yardstick, optional
        Takes a sample of the machine between the rounds.

    Returns
    -------
    list of Timing
        In the table's order, or that of the names; without the reference where it takes more than a
        second.

    Raises
    ------
    ArithmeticError
        If a row's result is not within the error bound: nothing is timed then.
    RuntimeError
        If a row in Python raises an error.
    """
    runner = Runner(call)
    expected = _Expected(runner)
    rows = [row for row in runner.rows() if row.native or row.name != "reference"]
    if expected.seconds < SLOW:
        rows.append(registry.kernels(call.op, call.pass_name)[-1])
    rows = chosen(rows, names) if names else rows
    timers, errors, once = [], [], []
    for row in rows:
        runner.restore()
        timers.append(runner.timer(row))
        try:
            once.append(timers[-1](1))
        except Exception as error:  # of a row in Python
            raise RuntimeError(
                f"[{call.op}] {call.pass_name}: {row.name} failed on {call.name}: "
                f"{type(error).__name__}: {error}"
            ) from error
        errors.append(_error(runner, row, expected))
    del expected
    runner.restore()
    repeats = [0] * len(rows)
    for i, run in enumerate(timers):
        if once[i] < SLOW:
            repeats[i] = max(1, min(100_000, round(sample_seconds / max(run(3), 1e-8))))
    samples: list[list[float]] = [[] if n else [t] for n, t in zip(repeats, once, strict=True)]
    for n in range(rounds):
        if yardstick is not None:
            yardstick.sample(0.005, copy=n % 10 == 0)
        order = [(n + k) % len(rows) for k in range(len(rows))]
        for i in order:
            # A slow row need not be timed as often to be told apart.
            if repeats[i] and (n < 5 or once[i] < 0.1):
                samples[i].append(timers[i](repeats[i]))
    return [
        Timing(call, row, np.asarray(s), e) for row, s, e in zip(rows, samples, errors, strict=True)
    ]


HEADER = """\
| case | pass | kernel | median us (quartiles) | rate | of peak | first leads by (95 %) | error |
|---|---|---|---|---|---|---|---|"""


def _lead(first: Timing, other: Timing) -> str:
    """How many times faster the first row is; where the interval includes 1, that it is noise."""
    n = min(len(first.seconds), len(other.seconds))
    if first is other or n < FEWEST:
        return f"{other.median / first.median:.2f}"
    ratio, low, high = paired_ratio(first.seconds[:n], other.seconds[:n])
    return f"{ratio:.2f} ({low:.2f}-{high:.2f})" + (", noise" if low <= 1 <= high else "")


def lines(timings: Sequence[Timing], rates: Rates) -> list[str]:
    """Rows of a Markdown table for one call, the table's first row first."""
    out = []
    for t in timings:
        low, high = np.percentile(t.seconds, [25, 75]) * 1e6
        spread = f" ({low:.1f}-{high:.1f})" if len(t.seconds) > 1 else ""
        flops, moved = t.call.flops, t.call.bytes
        compute, memory = flops / rates.peak / 1e9, moved / rates.copy / 1e9
        if compute > memory:
            rate = f"{flops / t.median / 1e9:.1f} GFLOP/s"
        else:
            rate = f"{moved / t.median / 1e9:.1f} GB/s"
        share = max(compute, memory) / t.median
        out.append(
            f"| {t.call.name} | {t.call.pass_name} | {t.row.name} | {t.median * 1e6:.1f}{spread} "
            f"| {rate} | {share:.1%} | {_lead(timings[0], t)} | {t.error:.2g} |"
        )
    return out


def quick_calls(calls: Sequence[Call]) -> list[Call]:
    """Those that take moments."""
    return [c for c in calls if c.flops <= QUICK_FLOPS and c.bytes <= QUICK_BYTES]


def time_calls(
    calls: Sequence[Call],
    *,
    quick: bool = False,
    rounds: int | None = None,
    names: Sequence[str] = (),
) -> list[str]:
    """Time every row on each call and print the table as it grows.

    Parameters
    ----------
    calls : sequence of Call
    quick : bool
        Small cases only, fewer samples.
    rounds : int, optional
        Samples of each row; by default 21, or 5 if `quick`.
    names : sequence of str
        Only these rows, see `chosen`.

    Returns
    -------
    list of str
        The lines of the table.

    Raises
    ------
    ArithmeticError
        If a row's result is not within the error bound.
    """
    table = [HEADER]
    print(HEADER, flush=True)
    yardstick = Yardstick()
    for call in quick_calls(calls) if quick else calls:
        yardstick.restart()
        timings = time_rows(
            call,
            rounds=rounds or (5 if quick else 21),
            sample_seconds=0.002 if quick else 0.02,
            names=names,
            yardstick=yardstick,
        )
        new = lines(timings, yardstick.rates())
        table += new
        print(*new, sep="\n", flush=True)
    return table


def main(
    op: str, calls: Sequence[Call], results: Path, arguments: Sequence[str] | None = None
) -> None:
    """Command line of ``benchmarks/ops/bench_<op>.py``.

    Parameters
    ----------
    op : str
    calls : sequence of Call
    results : Path
        Folder of the record.
    arguments : sequence of str, optional
        By default those of the process.
    """
    parser = argparse.ArgumentParser(description=f"Times every kernel of {op}.")
    parser.add_argument("--quick", action="store_true", help="small cases, fewer samples")
    parser.add_argument("--threads", type=int, metavar="N")
    parser.add_argument("--only", metavar="TEXT", help="cases and passes that contain TEXT")
    parser.add_argument("--record", action="store_true", help=f"write ops-{op}.md")
    options = parser.parse_args(arguments)
    without_blas_limits()
    if options.threads is not None:
        _core.set_num_threads(options.threads)
    machine = measure(0.03 if options.quick else 0.1)
    print(machine, flush=True)
    wanted = [c for c in calls if (options.only or "") in f"{c.name} {c.pass_name}"]
    table = time_calls(wanted, quick=options.quick)
    if options.record:
        parts = [f"# Kernels of {op}", f"```\n{machine}\n```", "\n".join(table), NOTES]
        path = results / f"ops-{op}.md"
        path.write_text("\n\n".join(parts))
        print(f"wrote {path.name}")
