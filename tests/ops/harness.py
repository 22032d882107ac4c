"""What every kernel row of every op must pass: `check_row` and the checks around it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pytest

from convkit import _core
from convkit.cuda import native as cuda
from convkit.ops import registry
from convkit.ops.registry import Array, Bound, Context, Row, Spec, Step
from convkit.testing.calls import Call
from guard import guarded, guarded_copy
from ops.emulated import cuda_rows

FLOATS = ("float32", "float64")
FLOAT = "float"  # as a spec's dtype: the one that the kernel works in
Fill = Callable[[np.random.Generator, list[Spec | None]], list[Array | None]]


def normal(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    """Normal values that float32 can hold, so that one reference serves both dtypes."""
    return [None if s is None else rng.standard_normal(s.shape).astype(np.float32) for s in specs]


def integers(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    """Small integers: their products and sums are exact in any order."""
    return [None if s is None else rng.integers(-4, 5, s.shape) for s in specs]


@dataclass(frozen=True, eq=False)
class Case:
    """A call of a pass: shapes, parameters and how to make the data.

    Attributes
    ----------
    name, op, pass_name : str
    specs : tuple of Spec or None
        Of inputs and updates; dtype `FLOAT` is the working dtype.
    params : mapping
    out : tuple of Spec or None, optional
        Where the pass cannot infer it.
    step : Step
    fill : callable
        Makes the arrays; those of dtype `FLOAT` are converted to the working dtype.
    trivial : bool
        Whether the result may be so near 0 that zeros are within the bound.
    """

    name: str
    op: str
    pass_name: str
    specs: tuple[Spec | None, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    out: tuple[Spec | None, ...] | None = None
    step: Step = field(default_factory=Step)
    fill: Fill = normal
    trivial: bool = False

    def __str__(self) -> str:
        return f"{self.pass_name} {self.name}"  # names a test in every process alike

    def inputs_at(self, dtype: str) -> list[Spec | None]:
        return [_at(s, dtype) for s in self.specs]

    def out_at(self, dtype: str) -> list[Spec | None]:
        if self.out is not None:
            return [_at(s, dtype) for s in self.out]
        infer = registry.get(self.op)[self.pass_name].infer
        assert infer is not None, f"{self.op}.{self.pass_name} needs explicit output specs"
        return list(infer(self.params, self.inputs_at(dtype)))

    def arrays(self, dtype: str) -> list[Array | None]:
        made = self.fill(np.random.default_rng(7), list(self.specs))
        specs = self.inputs_at(dtype)
        arrays = [
            None if a is None or s is None else np.array(a, s.dtype, order="C")
            for a, s in zip(made, specs)
        ]
        for a, s in zip(arrays, specs):
            assert a is None or (s is not None and a.shape == s.shape), f"{self.name}: fill is off"
        return arrays


def as_case(call: Call, *, trivial: bool = False) -> Case:
    """A call that checks and benchmarks run over, as a case; its float32 is the working dtype."""

    def working(specs: Sequence[Spec | None]) -> tuple[Spec | None, ...]:
        return tuple(
            Spec(s.shape, FLOAT) if s is not None and s.dtype == "float32" else s for s in specs
        )

    made = call.fill
    fill: Fill = normal if made is None else lambda rng, specs: list(made(rng))
    out = None if call.out is None else working(call.out)
    name, specs = call.name, working(call.specs)
    return Case(name, call.op, call.pass_name, specs, call.params, out, call.step, fill, trivial)


def _at(spec: Spec | None, dtype: str) -> Spec | None:
    return spec if spec is None or spec.dtype != FLOAT else Spec(spec.shape, dtype)


class Problem(NamedTuple):
    """A case in one dtype, with what must come out: the updates, then the outputs."""

    case: Case
    dtype: str
    inputs: list[Array | None]
    out: list[Spec | None]
    expected: list[Array | None]
    tolerance: list[Array | None]


def problem(case: Case, dtype: str, row: Row | None = None) -> Problem:
    """Solve a case with the float64 reference; the tolerance is a row's, or that of most rows."""
    rule = registry.get(case.op)[case.pass_name]
    return _solved(case, dtype, rule.bound if row is None else rule.bound_of(row.name))


@functools.lru_cache(maxsize=8)
def _expected(case: Case, dtype: str) -> tuple[list[Array | None], list[Array | None]]:
    """The inputs, and what the reference makes of them."""
    inputs = case.arrays(dtype)
    context = Context(case.params, case.out_at(dtype), case.step, dtype)
    with np.errstate(all="ignore"):
        reference = registry.get(case.op)[case.pass_name].reference
        return inputs, list(reference(context, *_wide(inputs)))


def _wide(inputs: list[Array | None]) -> list[Array | None]:
    return [a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a for a in inputs]


@functools.lru_cache(maxsize=8)
def _solved(case: Case, dtype: str, bound_of: Bound) -> Problem:
    p = registry.get(case.op)[case.pass_name]
    (inputs, expected), out = _expected(case, dtype), case.out_at(dtype)
    with np.errstate(all="ignore"):
        bounds = bound_of(Context(case.params, out, case.step, dtype), *_wide(inputs))
    assert len(expected) == len(bounds) == len(p.updates) + len(out)
    # The kernel may be off by eps * bound in its dtype, the reference by as much in float64. What
    # is computed may also pass through a few values that flush to zero.
    info = np.finfo(dtype)
    eps = (float(info.eps) + float(np.finfo(np.float64).eps)) / 2
    tolerance: list[Array | None] = []
    for r, b in zip(expected, bounds, strict=True):
        if r is None:
            tolerance.append(None)
            continue
        allowed = np.broadcast_to(np.asarray(0.0 if b is None else b, np.float64), r.shape)
        tolerance.append(np.where(allowed == 0, 0.0, eps * allowed + 8 * float(info.tiny)))
    return Problem(case, dtype, inputs, out, expected, tolerance)


def _garbage(array: Array) -> Array:
    array.fill(np.nan if array.dtype.kind == "f" else 0x5B)
    return array


def call_count(row: Row) -> int:
    """How often a native row has run."""
    module = cuda.module() if row.device == "cuda" else _core
    return int(module.call_count(row.op, row.pass_name, row.name))


def run_row(row: Row, p: Problem, *, end: bool | None = None) -> list[Array | None]:
    """Run a row and return updates and outputs.

    Arrays lie between guard pages (`end`: at the second, and so does the workspace; None:
    anywhere), outputs begin as garbage; that the row ran and left its inputs alone is checked.
    """
    if end is None:
        inputs = [None if a is None else a.copy() for a in p.inputs]
        outputs = [None if s is None else np.empty(s.shape, s.dtype) for s in p.out]
    else:
        inputs = [None if a is None else guarded_copy(a, end=end) for a in p.inputs]
        outputs = [None if s is None else guarded(s.shape, s.dtype, end=end) for s in p.out]
    outputs = [None if a is None else _garbage(a) for a in outputs]
    before = call_count(row) if row.native else 0
    if row.native and end:
        _run_in_executor(row, p, [*inputs, *outputs])
    else:
        with np.errstate(all="ignore"):
            registry.run(row, p.case.params, inputs, outputs, p.case.step, all_threads=True)
    if row.native:
        after = call_count(row)
        assert after == before + 1, f"{row.name} did not run"
    first_update = len(inputs) - len(registry.get(row.op)[row.pass_name].updates)
    for i, (a, original) in enumerate(zip(inputs[:first_update], p.inputs)):
        unchanged = a is None or a.tobytes() == original.tobytes()  # type: ignore[union-attr]
        assert unchanged, f"{row.op}.{row.pass_name} {row.name} changed its input {i}"
    return [*inputs[first_update:], *outputs]


def _run_in_executor(row: Row, p: Problem, operands: list[Array | None]) -> None:
    """Run a row as a program's only instruction, its workspace before a guard page too."""
    params, step = dict(p.case.params), p.case.step
    size = row.workspace_bytes([*p.case.inputs_at(p.dtype), *p.out], params)
    workspace = guarded((-(-size // 64) * 64,), np.uint8, end=True)  # it is 64-byte aligned
    workspace[...] = 0xFF
    refs = [None if a is None else (i, 0, a.shape, a.dtype.name) for i, a in enumerate(operands)]
    work = (len(operands), 0, (size,), "uint8") if size else None
    instruction = (row.op, row.pass_name, row.name, params, refs, work, -1.0)  # on all threads
    executor = _core.Executor([instruction], [], [], 1, 0)
    block = (step.step, step.sample, step.learning_rate, step.seed)
    executor.run([*operands, workspace], 1, block, None, np.zeros(0), 0.0)
    assert (workspace[size:] == 0xFF).all(), f"{row.name} wrote past its workspace of {size} bytes"


def check_row(
    row: Row, case: Case, dtype: str = "float32", *, isas: Sequence[str] = (), exact: bool = False
) -> None:
    """Hold a row against the reference: elementwise, within its error bound, in guarded memory.

    Parameters
    ----------
    row : Row
    case : Case
    dtype : str
    isas : sequence of str
        Instruction sets to run; by default the active one.
    exact : bool
        Demand equality.
    """
    p = problem(case, dtype, row)
    assert row.supports([*case.inputs_at(dtype), *p.out], case.params), f"{row.name} cannot"
    if not case.trivial:
        _refuse_trivial(p)
    if not row.native:
        return _compare(row, p, run_row(row, p), exact)
    if row.device == "cuda":
        return _compare_schedules(row, p, exact)
    for isa in isas or [_core.isa()]:
        with use_isa(isa):
            for end in (True, False):
                _compare(row, p, run_row(row, p, end=end), exact)


def _compare_schedules(row: Row, p: Problem, exact: bool) -> None:
    """Hold a CUDA row against the reference; the same bits for any order of blocks and threads."""
    module, bits = cuda.module(), []
    for seed in (1, 2):
        if module.emulated:
            module.seed_schedule(seed)
        results = run_row(row, p)
        _compare(row, p, results, exact)
        bits.append([None if a is None else a.tobytes() for a in results])
    assert bits[0] == bits[1], f"{row.name} on {p.case.name}: the bits depend on the schedule"


def _refuse_trivial(p: Problem) -> None:
    """Fail a case that a kernel would pass by writing zeros, or by updating nothing."""
    updates = len(registry.get(p.case.op)[p.case.pass_name].updates)
    old = [*p.inputs[len(p.inputs) - updates :], *([None] * len(p.out))]
    with np.errstate(invalid="ignore"):
        for r, tolerance, before in zip(p.expected, p.tolerance, old, strict=True):
            if r is None or tolerance is None:
                continue
            for idle in (np.zeros_like(r), before):
                if idle is not None and not np.array_equal(r, idle, equal_nan=True):
                    visible = ~(np.abs(r - idle) <= tolerance)
                    assert visible.any(), f"{p.case.name}: doing nothing would pass"


def _compare(row: Row, p: Problem, results: list[Array | None], exact: bool) -> None:
    names = [*registry.get(row.op)[row.pass_name].updates]
    names += [f"output {i}" for i in range(len(p.out))]
    for name, y, r, tolerance in zip(names, results, p.expected, p.tolerance, strict=True):
        if y is None or r is None or tolerance is None:
            assert y is None or r is not None, f"{name}: the reference gives nothing"
            continue
        bad = _wrong(y, r, np.zeros_like(tolerance) if exact else tolerance)
        if bad.any():
            at = tuple(int(i) for i in np.argwhere(bad)[0])
            raise AssertionError(
                f"{row.op}.{row.pass_name} {row.name} ({p.dtype}, {_core.isa()}) on "
                f"{p.case.name}: {name}{list(at)} of {y.shape} is {y[at]!r}, expected "
                f"{r[at]!r} within {tolerance[at]:.3g}; {int(bad.sum())} of {bad.size} are wrong"
            )


def _wrong(y: Array, r: Array, tolerance: Array) -> Array:
    if y.dtype.kind != "f":
        return np.asarray((y != r) & ~np.isinf(tolerance))
    wide = y.astype(np.float64)
    with np.errstate(all="ignore"):
        near = np.abs(wide - r) <= tolerance
        overflow = np.isinf(r.astype(y.dtype)) & (np.sign(wide) == np.sign(r))
    same = (wide == r) | (np.isnan(wide) & np.isnan(r)) | (np.isinf(tolerance) & ~np.isnan(wide))
    return np.asarray(~(near | same | (np.isinf(wide) & overflow)))


@contextmanager
def use_isa(name: str) -> Iterator[None]:
    """Run with the kernels of another instruction set."""
    before = _core.isa()
    _core.set_isa(name)
    try:
        yield
    finally:
        _core.set_isa(before)


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Run with another number of threads."""
    before = _core.num_threads()
    _core.set_num_threads(count)
    try:
        yield
    finally:
        _core.set_num_threads(before)


def row_cases(
    cases: Sequence[Case], dtypes: Sequence[str] = FLOATS, *, native: bool = False
) -> list[Any]:
    """Every row that supports a case, with it, in each dtype: parameters of a test.

    The rows of one case follow each other, so that its reference is computed once.
    """
    parameters = []
    for case in cases:
        for dtype in dtypes:
            specs = [*case.inputs_at(dtype), *case.out_at(dtype)]
            rows = [*registry.kernels(case.op, case.pass_name), *cuda_rows(case, dtype)]
            for row in rows:
                if row.supports(specs, case.params) and (row.native or not native):
                    name = f"{case.pass_name}-{row.name}-{dtype}-{case.name}"
                    parameters.append(pytest.param(row, case, dtype, id=name))
    return parameters


def check_coverage(op: str, cases: Sequence[Case]) -> None:
    """Every row of the op, in each of its dtypes, is in some case."""
    covered = {(p.values[0], p.values[2]) for p in row_cases(cases)}
    on_gpu = [] if cuda.why_unavailable() else registry.kernels(op, device="cuda")
    for row in [*registry.kernels(op), *(row for row in on_gpu if row.native)]:
        for dtype in FLOATS:
            if dtype in row.dtypes:
                assert (row, dtype) in covered, f"{op}.{row.pass_name} {row.name} has no case"


def check_all_rows(
    case: Case, dtypes: Sequence[str] = FLOATS, *, exact: bool = False, literal: bool = False
) -> None:
    """Hold every native row that supports the case against the reference, on every ISA.

    Where equality is demanded, or `literal`, only those that add up the products of the definition.
    """
    for parameter in row_cases([case], dtypes, native=True):
        if (exact or literal) and not parameter.values[0].exact:
            continue
        check_row(*parameter.values, isas=_core.available_isas(), exact=exact)


def check_threads(row: Row, case: Case, dtype: str = "float32") -> None:
    """Any number of threads gives the same bits; of a CUDA row, any schedule the right ones."""
    if row.device == "cuda":
        check_row(row, case, dtype)
        return
    p = problem(case, dtype)
    bits = []
    for count in (1, 2, 3, 8):
        with use_threads(count):
            bits.append([None if a is None else a.tobytes() for a in run_row(row, p)])
    for count, other in zip((2, 3, 8), bits[1:]):
        assert other == bits[0], f"{row.name} on {case.name}: {count} threads give other bits"


def check_inplace(row: Row, case: Case, dtype: str = "float32") -> None:
    """An output that may share memory with an input gives the same bits there."""
    p = problem(case, dtype)
    op_pass = registry.get(row.op)[row.pass_name]
    apart = run_row(row, p)
    assert op_pass.inplace, f"{row.op}.{row.pass_name} has no operands that may share memory"
    assert not op_pass.updates
    for output, source in op_pass.inplace:
        inputs = [None if a is None else a.copy() for a in p.inputs]
        outputs = [None if s is None else np.empty(s.shape, s.dtype) for s in p.out]
        at = [name.rstrip("?") for name in op_pass.outputs].index(output)
        outputs[at] = inputs[[name.rstrip("?") for name in op_pass.inputs].index(source)]
        registry.run(row, case.params, inputs, outputs, case.step)
        for shared, expected in zip(outputs, apart, strict=True):
            same = shared is expected or shared.tobytes() == expected.tobytes()  # type: ignore[union-attr]
            assert same, f"{row.name}: {output} in place of {source}"


def check_mutants(case: Case, dtype: str = "float32") -> None:
    """Kernels that compute nothing, or not the last row, must fail `check_row`."""
    reference = registry.get(case.op)[case.pass_name].reference

    def right(ctx: Context, *arrays: Array | None) -> list[Array | None]:
        wide = [
            a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a for a in arrays
        ]
        return [None if r is None else np.array(r) for r in reference(ctx, *wide)]

    def zeros(ctx: Context, *arrays: Array | None) -> tuple[Array | None, ...]:
        return tuple(None if r is None else np.zeros_like(r) for r in right(ctx, *arrays))

    def skips_last_row(ctx: Context, *arrays: Array | None) -> tuple[Array | None, ...]:
        results = right(ctx, *arrays)
        for r in results:
            if r is not None and r.ndim:
                r[-1:] = 0
        return tuple(results)

    def honest(ctx: Context, *arrays: Array | None) -> tuple[Array | None, ...]:
        return tuple(right(ctx, *arrays))

    for mutant in (zeros, skips_last_row, honest):
        row = registry.register(
            case.op, "mutant", mutant, pass_name=case.pass_name, dtypes=registry.DTYPES
        )
        try:
            if mutant is honest:
                check_row(row, case, dtype)
                continue
            with pytest.raises(AssertionError):
                check_row(row, case, dtype)
        finally:
            registry.unregister(case.op, "mutant", pass_name=case.pass_name)
