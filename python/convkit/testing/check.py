"""Holds a kernel against the float64 reference: on real layers, awkward shapes and integers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convkit.errors import did_you_mean
from convkit.ops import registry
from convkit.ops.registry import Array, Bound, Context, Row, Spec
from convkit.testing.awkward_calls import awkward_calls
from convkit.testing.calls import Call
from convkit.testing.named_calls import calls_of

DTYPES = ("float32", "float64")
# Ops that are sums of products: exact on small integers, in any order.
SUMS = frozenset({"add", "channel_scale", "conv2d", "dense"})
# Ops that pass NaN on to all that depends on it.
PASSING_ON = SUMS | {
    "activation", "batch_norm", "concatenate", "conv2d_pool", "lrn", "pad2d", "pool2d", "rbf",
    "softmax", "transpose",
}  # fmt: skip
SHOWN = 8  # failures that a report spells out


@dataclass(frozen=True)
class CaseReport:
    """What a kernel made of one call.

    Attributes
    ----------
    name : str
    worst : float
        Largest error in units of the bound: up to 1 is right. Infinite where equality is asked for
        and not given, for NaN, and where there is no result.
    operand : str
        Where it is: an output, or an update.
    position : tuple of int
    value, expected : float
        The kernel's value there, and the reference's.
    tolerance : float
        What the error may be there.
    problem : str
        What stopped the comparison, such as an exception; "" if nothing did.
    telling : bool
        Whether a kernel that writes zeros, or updates nothing, would have failed.
    """

    name: str
    worst: float
    operand: str = ""
    position: tuple[int, ...] = ()
    value: float = math.nan
    expected: float = math.nan
    tolerance: float = 0.0
    problem: str = ""
    telling: bool = True

    @property
    def passed(self) -> bool:
        return not self.problem and self.worst <= 1

    def __str__(self) -> str:
        if self.problem:
            return f"{self.problem} on {self.name}"
        where = f"{self.operand}[{', '.join(map(str, self.position))}] on {self.name}"
        if self.passed:
            return f"{self.worst:.2g} of the bound, {where}" if self.worst else "exact"
        asked = f"within {self.tolerance:.2g}" if self.tolerance else "exactly"
        size = f"{self.worst:.3g} times the bound" if math.isfinite(self.worst) else "wrong"
        return f"{size}, {where}: {self.value:.9g}, expected {self.expected:.9g} {asked}"


@dataclass(frozen=True)
class KernelReport:
    """Result of `check_kernel`.

    Attributes
    ----------
    op, pass_name, kernel, dtype : str
    cases : tuple of CaseReport
        One per call that the kernel supports.
    skipped : int
        How many calls it does not support.
    """

    op: str
    pass_name: str
    kernel: str
    dtype: str
    cases: tuple[CaseReport, ...]
    skipped: int

    @property
    def failures(self) -> tuple[CaseReport, ...]:
        """The cases that it got wrong."""
        return tuple(case for case in self.cases if not case.passed)

    @property
    def passed(self) -> bool:
        """Whether every case is right, and zeros would not have been."""
        return not self.failures and any(case.telling for case in self.cases)

    @property
    def worst(self) -> CaseReport | None:
        """The case with the largest error, or the first that could not be compared."""
        stopped = [case for case in self.cases if case.problem]
        return stopped[0] if stopped else max(self.cases, key=lambda c: c.worst, default=None)

    def line(self) -> str:
        """The verdict in one line."""
        verdict = "PASS" if self.passed else "FAIL"
        title = f"{verdict}  {self.op}.{self.pass_name} {self.kernel} {self.dtype}"
        worst = self.worst
        if worst is None:
            return f"{title}: it supports none of the {self.skipped} cases"
        if not self.passed and not self.failures:
            return f"{title}: none of the {len(self.cases)} cases would have told it from zeros"
        wrong = f"{len(self.failures)} of " if self.failures else ""
        count = f"{wrong}{len(self.cases)} cases" + (" wrong" if wrong else "")
        skipped = f", {self.skipped} not supported" if self.skipped else ""
        return f"{title}: {worst}; {count}{skipped}"

    def __str__(self) -> str:
        failures = self.failures
        more = [f"  and {len(failures) - SHOWN} more"] if len(failures) > SHOWN else []
        return "\n".join([self.line(), *(f"  {case}" for case in failures[:SHOWN]), *more])


class _Problem:
    """A call, solved by the reference."""

    def __init__(self, call: Call, exact: bool) -> None:
        self.call, self.exact = call, exact
        rule = registry.get(call.op)[call.pass_name]
        self.inputs, self.out = call.arrays(), call.outputs()
        outputs = list(rule.outputs)
        if outputs and outputs[-1].endswith("*"):
            outputs = [f"{outputs[0][:-1]}{i}" for i in range(len(self.out))]
        self.names = [name.rstrip("?") for name in (*rule.updates, *outputs)]
        wide = [
            a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a
            for a in self.inputs
        ]
        working = _working(self.inputs, self.out)
        self.context, self.wide = Context(call.params, self.out, call.step, working), wide
        with np.errstate(all="ignore"):
            self.expected = list(rule.reference(self.context, *wide))
        self.first_update = len(self.inputs) - len(rule.updates)
        self._tolerances: dict[Bound, list[Array]] = {}

    def tolerance(self, row: Row) -> list[Array]:
        """How far each update and output of a row may be off."""
        bound_of = registry.get(self.call.op)[self.call.pass_name].bound_of(row.name)
        if bound_of not in self._tolerances:
            with np.errstate(all="ignore"):
                bounds = bound_of(self.context, *self.wide)
            self._tolerances[bound_of] = self._allowed(bounds)
        return self._tolerances[bound_of]

    def _allowed(self, bounds: Sequence[Any]) -> list[Array]:
        # The kernel may be off by eps * bound, the reference by as much in float64; and what is
        # computed may pass through a few values that flush to zero.
        info = np.finfo(self.context.dtype)
        eps = (float(info.eps) + float(np.finfo(np.float64).eps)) / 2
        tolerance: list[Array] = []
        for r, bound in zip(self.expected, bounds, strict=True):
            allowed = np.zeros(() if r is None else r.shape)
            if r is not None and bound is not None and not self.exact:
                allowed = np.broadcast_to(np.asarray(bound, np.float64), r.shape)
            floor = 8 * float(info.tiny)
            tolerance.append(np.where(allowed == 0, 0.0, eps * allowed + floor))
        return tolerance

    def is_telling(self, tolerance: list[Array]) -> bool:
        """Whether writing zeros, or leaving the updates alone, would be seen."""
        zeros = [None if r is None else np.zeros_like(r) for r in self.expected]
        idle: list[list[Array | None]] = [list(zeros)]
        if self.first_update < len(self.inputs):
            outputs: list[Array | None] = [None] * len(self.out)
            idle.append([*self.inputs[self.first_update :], *outputs])
        return all(
            any(
                bool((_units(y, r, t) > 1).any())
                for y, r, t in zip(results, self.expected, tolerance, strict=True)
                if y is not None and r is not None
            )
            for results in idle
        )


def _working(inputs: Sequence[Array | None], out: Sequence[Spec | None]) -> str:
    """The dtype whose roundings count."""
    dtypes = [a.dtype.name for a in inputs if a is not None]
    dtypes += [s.dtype for s in out if s is not None]
    return next((d for d in dtypes if d in DTYPES), "float64")


def _units(y: Array, r: Array, tolerance: Array) -> Array:
    """Errors in units of the tolerance: 0 where equal, infinite where equality is missed."""
    with np.errstate(all="ignore"):
        wide, right = y.astype(np.float64), np.asarray(r, np.float64)
        units = np.abs(wide - right) / tolerance
        units = np.where(np.isnan(units) | (tolerance == 0), np.inf, units)
        same = (wide == right) | (np.isnan(wide) & np.isnan(right))
        if y.dtype.kind == "f":
            same |= wide == right.astype(y.dtype)  # infinite where the dtype cannot hold it
            same |= np.isinf(tolerance) & ~np.isnan(wide)
        else:
            same = np.asarray(y == r)
    return np.where(same, 0.0, units)


def _run(row: Row, problem: _Problem) -> CaseReport:
    """Run a row on fresh inputs and spoilt outputs, and compare."""
    call, tolerances = problem.call, problem.tolerance(row)
    telling = problem.is_telling(tolerances)
    inputs = [None if a is None else a.copy() for a in problem.inputs]
    outputs = [None if s is None else np.empty(s.shape, s.dtype) for s in problem.out]
    for a in outputs:
        if a is not None:
            a[...] = np.nan if a.dtype.kind == "f" else 0x5B

    def stopped(text: str) -> CaseReport:
        return CaseReport(call.name, math.inf, problem=text, telling=telling)

    try:
        with np.errstate(all="ignore"):
            registry.run(row, call.params, inputs, outputs, call.step, all_threads=True)
    except Exception as error:  # whatever a user's function raises is its failure
        text = " ".join(str(error).split())
        if "read-only" in text:
            text += " (a kernel must not change its inputs in place)"
        return stopped(f"{type(error).__name__}: {text}")
    first = problem.first_update
    operands = registry.get(row.op)[row.pass_name].inputs
    for i, (a, before) in enumerate(zip(inputs[:first], problem.inputs, strict=False)):
        if a is not None and before is not None and a.tobytes() != before.tobytes():
            name = operands[min(i, len(operands) - 1)].rstrip("?*")
            return stopped(f"it changed its input {name} in place")
    worst = CaseReport(call.name, 0.0, telling=telling)
    results = zip(
        problem.names,
        [*inputs[first:], *outputs],
        problem.expected,
        tolerances,
        strict=True,
    )
    for name, y, r, tolerance in results:
        if y is None or r is None or not y.size:
            continue
        units = _units(y, r, tolerance)
        at = tuple(int(i) for i in np.unravel_index(int(np.argmax(units)), units.shape))
        if units[at] > worst.worst or not worst.operand:
            found = float(units[at]), name, at, float(y[at]), float(r[at]), float(tolerance[at])
            worst = CaseReport(call.name, *found, telling=telling)
    return worst


def _run_on_nan(row: Row, problem: _Problem) -> CaseReport:
    """Whether a row gives NaN wherever the reference does; more may be, of rows that work in tiles.

    A comparison like ``max(x, 0)`` swallows it, and training would go on with wrong numbers.
    """
    call = problem.call
    inputs = [None if a is None else a.copy() for a in problem.inputs]
    outputs = [None if s is None else np.zeros(s.shape, s.dtype) for s in problem.out]
    try:
        with np.errstate(all="ignore"):
            registry.run(row, call.params, inputs, outputs, call.step, all_threads=True)
    except Exception as error:
        text = " ".join(str(error).split())
        return CaseReport(call.name, math.inf, problem=f"{type(error).__name__}: {text}")
    found = [*inputs[problem.first_update :], *outputs]
    for name, y, r in zip(problem.names, found, problem.expected, strict=True):
        if y is None or r is None or y.dtype.kind != "f":
            continue
        swallowed = np.argwhere(np.isnan(r) & ~np.isnan(y))
        if len(swallowed):
            at = tuple(int(i) for i in swallowed[0])
            return CaseReport(call.name, math.inf, name, at, float(y[at]), math.nan)
    return CaseReport(call.name, 0.0, telling=False)


def check_rows(
    rows: Sequence[Row],
    *,
    dtype: str = "float32",
    layers: Sequence[str] | None = None,
    progress: Callable[[CaseReport], None] | None = None,
) -> list[KernelReport]:
    """`check_kernel` for several rows of one pass, whose reference is computed once.

    Parameters
    ----------
    rows : sequence of Row
        Of the same op and pass.
    dtype, layers, progress
        As in `check_kernel`.

    Returns
    -------
    list of KernelReport
        In the order of `rows`.

    Raises
    ------
    ValueError
        As `check_kernel`.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype must be float32 or float64, got {dtype!r}")
    if not rows:
        return []
    op, pass_name = rows[0].op, rows[0].pass_name
    named = calls_of(op, small=True)
    for layer in layers or ():
        if not any(layer in call.name for call in named):
            known = sorted({call.name.partition(",")[0] for call in named})
            raise ValueError(
                f"[{op}] no named layer contains {layer!r}{did_you_mean(layer, known)}"
            )
    if layers is not None:
        named = [call for call in named if any(layer in call.name for layer in layers)]
    awkward = awkward_calls(op)
    cases = [(call, False) for call in (*awkward, *named)]
    if op in SUMS:
        cases += [(c.on_integers(), True) for c, _ in cases if _is_linear(c)]
    found: list[list[CaseReport]] = [[] for _ in rows]
    skipped = [0] * len(rows)
    for call, exact in cases:
        if call.pass_name != pass_name:
            continue
        call = call.at(dtype)
        specs = [*call.specs, *call.outputs()]
        able = [row.supports(specs, call.params) and not (exact and not row.exact) for row in rows]
        problem = _Problem(call, exact) if any(able) else None
        for i, row in enumerate(rows):
            if problem is None or not able[i]:
                skipped[i] += 1
                continue
            found[i].append(_run(row, problem))
            if progress is not None:
                progress(found[i][-1])
    for call in _with_nan(op, pass_name, awkward):
        problem = _Problem(call.at(dtype), False)
        specs = [*problem.call.specs, *problem.call.outputs()]
        for i, row in enumerate(rows):
            if row.supports(specs, call.params):
                found[i].append(_run_on_nan(row, problem))
                if progress is not None:
                    progress(found[i][-1])
    return [
        KernelReport(op, pass_name, row.name, dtype, tuple(reports), n)
        for row, reports, n in zip(rows, found, skipped, strict=True)
    ]


def _with_nan(op: str, pass_name: str, awkward: Sequence[Call]) -> list[Call]:
    """Calls of a pass with a NaN, where it goes on to the results."""
    # The reference of the last one multiplies x with the zeros that are no winners, too.
    if op not in PASSING_ON or (op, pass_name) == ("conv2d_pool", "backward_weight"):
        return []
    # Of a weight gradient in x: the reference multiplies dy with the zeros of the padding, too.
    operand = 1 if pass_name == "backward_weight" else 0
    fitting = [c for c in awkward if c.pass_name == pass_name and _is_linear(c)]
    return [c.with_nan(operand) for c in fitting if (s := c.specs[operand]) is not None and s.size]


def _is_linear(call: Call) -> bool:
    applied = {call.params.get(name, "linear") for name in ("activation", "through")}
    return applied == {"linear"}


def check_kernel(
    op: str,
    kernel: str | Callable[..., Any],
    *,
    pass_name: str = "forward",
    dtype: str = "float32",
    layers: Sequence[str] | None = None,
    progress: Callable[[CaseReport], None] | None = None,
) -> KernelReport:
    """Hold a kernel against its NumPy reference in float64.

    It runs on the layers of real networks, scaled down where the reference would be slow; on
    awkward shapes: size 1, primes, empty batch, stride over window, groups, channels that are no
    multiple of 16; and, where the op is a sum of products and the row adds those up, on small
    integers, which must come out exactly; and with a NaN in an operand, which must go on to the
    results, where the op does so. Outputs start as NaN. A kernel that raises, returns None
    or a wrong shape, changes its inputs, or runs on nothing that zeros would fail on, fails.

    Parameters
    ----------
    op : str
    kernel : str or callable
        Name of a row, native or registered, or of one on a GPU; or a function as `ck.ops.register`
        takes it.
    pass_name : str
    dtype : {"float32", "float64"}
    layers : sequence of str, optional
        Of the real layers, only those whose name contains one of these.
    progress : callable, optional
        Called with a `CaseReport` after each case.

    Returns
    -------
    KernelReport
        Printed, it says PASS or FAIL, the worst error in units of the error bound, and where.

    Raises
    ------
    ValueError
        If the op, the pass, the kernel, the dtype or a layer is unknown.
    """
    device = registry.device_of(kernel) if isinstance(kernel, str) else "cpu"
    rows = registry.kernels(op, registry.get(op)[pass_name].name, device=device)
    if callable(kernel):
        name = getattr(kernel, "__name__", type(kernel).__name__)
        row = Row(op, pass_name, name, "python", function=kernel)
    else:
        matching = [row for row in rows if row.name == kernel]
        if not matching:
            known = did_you_mean(kernel, [row.name for row in rows])
            raise ValueError(f"[{op}] {pass_name} has no kernel {kernel!r}{known}")
        row = matching[0]
    return check_rows([row], dtype=dtype, layers=layers, progress=progress)[0]
