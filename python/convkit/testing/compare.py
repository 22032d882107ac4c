"""Where do two executors part? Runs both on one batch and names the first instruction."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.errors import did_you_mean
from convkit.ops import registry
from convkit.ops.choosing import consider
from convkit.ops.registry import Array, Context, Step
from convkit.program.program import ARENA, Instruction, Program, Value
from convkit.run import make_executor
from convkit.run.interpreter import EagerExecutor, ReferenceExecutor
from convkit.testing.probe import Probe, probe

if TYPE_CHECKING:
    from convkit.models.model import Model


_FASTEST_FIRST = ("cuda", "native", "eager", "reference")
_ALSO_CALLED = {"native-cpu": "native", "native-cuda": "cuda"}


@dataclass(frozen=True)
class Difference:
    """The first instruction where two executors differ, or that there is none.

    Attributes
    ----------
    agrees : bool
    instruction : Instruction or None
    index : int
        Of the instruction in the program; -1 where all agree.
    operand : str
        Name of the value that differs.
    position : tuple of int
        Of its worst element.
    first, second : float
        What the two executors have there.
    units : float
        The difference in units of the instruction's error bound, at most 1 in agreement; over all
        instructions where they agree.
    """

    agrees: bool
    units: float
    instruction: Instruction | None = None
    index: int = -1
    operand: str = ""
    position: tuple[int, ...] = ()
    first: float = 0.0
    second: float = 0.0

    def __str__(self) -> str:
        if self.agrees:
            return f"the executors agree (worst difference {self.units:.2g} of its bound)"
        assert self.instruction is not None
        layer = f" of layer {self.instruction.layer!r}" if self.instruction.layer else ""
        at = ", ".join(map(str, self.position))
        return (
            f"instruction {self.index}{layer} differs: {self.instruction}\n"
            f"  {self.operand}[{at}] is {self.first!r} and {self.second!r}, "
            f"{self.units:.3g} times the bound"
        )


def _changed(i: Instruction) -> list[Value | None]:
    """What an instruction leaves behind: its updates, then its outputs."""
    updates = len(registry.get(i.op)[i.pass_name].updates)
    return [*i.inputs[len(i.inputs) - updates :], *i.outputs]


def _prefix(program: Program, n: int) -> Program:
    """The first n instructions, in the same memory, without the check of the loss."""
    part = Program(program.name, program.mode, program.batch, program.dtype)
    part.instructions = program.instructions[:n]
    part.externals = program.externals
    part.constants = program.constants
    part.commit = n
    part.arena_bytes = program.arena_bytes
    part.merged = [(begin, min(end, n)) for begin, end in program.merged if begin < n]
    return part


def _native_values(kind: str, job: Probe, n: int, wanted: list[Value | None]) -> list[Array | None]:
    """Values after the first n instructions of a native executor, which reuses its memory."""
    store = job.store.copy_as(job.store.dtype)
    if kind == "cuda":
        store.move("cuda")
    native: Any = make_executor(kind, _prefix(job.program, n), store)
    error = native.run(job.data, 1, job.step, None, np.zeros(0)).error
    if error is not None:
        raise error
    seen = EagerExecutor(native.program, store)
    seen.begin(job.data)

    def value(v: Value | None) -> Array | None:
        if v is None:
            return None
        return (native.read(v) if v.root.buffer == ARENA else seen.array(v)).copy()

    return [value(v) for v in wanted]


def _trace(kind: str, job: Probe) -> Iterator[tuple[list[Array | None], list[Array | None]]]:
    """For each instruction in turn: its inputs before it, and what it left behind."""
    if kind in ("native", "cuda"):
        for n, i in enumerate(job.program.instructions):
            before = _native_values(kind, job, n, i.inputs)
            yield before, _native_values(kind, job, n + 1, _changed(i))
        return
    interpreter = ReferenceExecutor if kind == "reference" else EagerExecutor
    executor = interpreter(job.program, job.store.copy_as(job.store.dtype))
    executor.begin(job.data)
    for i in job.program.instructions:
        before = [None if v is None else executor.array(v).copy() for v in i.inputs]
        executor.execute(i, job.step)
        yield before, [None if v is None else executor.array(v).copy() for v in _changed(i)]


def _execute(
    kind: str, i: Instruction, inputs: list[Array | None], step: Step
) -> list[Array | None]:
    """What a kernel of the CPU makes of an instruction with these inputs."""
    wide = "float64" if kind == "reference" else ""
    given = [
        a.astype(wide) if wide and a is not None and a.dtype == np.float32 else _copy(a)
        for a in inputs
    ]
    outputs: list[Array | None] = [
        None
        if v is None
        else np.empty(v.spec.shape, wide if v.spec.dtype == "float32" and wide else v.spec.dtype)
        for v in i.outputs
    ]
    row = i.row
    if kind == "reference":
        row = registry.kernels(i.op, i.pass_name)[-1]
    elif row is not None and row.device == "cuda":  # of the other side
        row = consider(i.op, i.pass_name, i.specs, i.params).row
    assert row is not None
    registry.run(row, i.params, given, outputs, step)
    updates = len(registry.get(i.op)[i.pass_name].updates)
    return [*given[len(given) - updates :], *outputs]


def _copy(a: Array | None) -> Array | None:
    return None if a is None else a.copy()


def _worst(
    i: Instruction, inputs: list[Array | None], first: Array, second: Array, which: int, step: Step
) -> tuple[float, tuple[int, ...]]:
    """Largest difference in units of the bound, and where."""
    out = [None if v is None else v.spec for v in i.outputs]
    wide = [a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a for a in inputs]
    assert i.row is not None
    bound_of = registry.get(i.op)[i.pass_name].bound_of(i.row.name)
    bound = bound_of(Context(i.params, out, step), *wide)[which]
    a, b = first.astype(np.float64), second.astype(np.float64)
    eps = float(np.finfo(np.float32).epsneg)  # the unit roundoff
    # Both sides may be off by the bound; the floor is for values that flush to zero.
    allowed = np.broadcast_to(2 * eps * np.abs(np.asarray(bound, np.float64)) + 1e-30, a.shape)
    gap = np.where(np.isnan(a) & np.isnan(b) | (a == b), 0.0, np.abs(a - b))
    with np.errstate(invalid="ignore"):
        units = np.where(gap == 0, 0.0, gap / allowed)
    units[np.isnan(units)] = np.inf  # one of the two is NaN, or has no bound to differ within
    if units.size == 0:
        return 0.0, ()
    at = np.unravel_index(int(np.argmax(units)), units.shape)
    return float(units[at]), tuple(int(k) for k in at)


def compare(
    model: Model,
    x: Any,
    y: Any,
    first: str = "reference",
    second: str = "native",
    *,
    sample_weight: Any = None,
) -> Difference:
    """Run one training step on two executors and name the first instruction where they differ.

    One executor runs the program; the other repeats each of its instructions on the same inputs,
    so that an error is charged to the instruction that made it.

    Parameters
    ----------
    model : Model
        Compiled. Its parameters do not change.
    x, y : array_like
        One batch.
    first, second : str
        "reference", "eager" (on the model's device), "native" (or "native-cpu"), or "cuda" (or
        "native-cuda"), which runs what the model would run on a GPU.
    sample_weight : array_like, optional

    Returns
    -------
    Difference
        Print it.
    """
    first, second = (_ALSO_CALLED.get(kind, kind) for kind in (first, second))
    for kind in (first, second):
        if kind not in _FASTEST_FIRST:
            raise ValueError(f"unknown executor {kind!r}{did_you_mean(kind, _FASTEST_FIRST)}")
    # The faster executor runs the program; the other repeats each instruction on its inputs.
    fast, slow = sorted((first, second), key=_FASTEST_FIRST.index)
    device = {"cuda": "cuda", "eager": model.device}.get(fast, "cpu")
    job = probe(model, x, y, sample_weight=sample_weight, device=device)
    worst = 0.0
    for n, (i, (before, after)) in enumerate(
        zip(job.program.instructions, _trace(fast, job), strict=True)
    ):
        again = _execute(slow, i, before, job.step)
        for k, (v, a, b) in enumerate(zip(_changed(i), after, again, strict=True)):
            if v is None or a is None or b is None:
                continue
            units, at = _worst(i, before, a, b, k, job.step)
            if units > 1:
                ours, theirs = float(a[at]), float(b[at])
                pair = (ours, theirs) if first == fast else (theirs, ours)
                return Difference(False, units, i, n, v.name, at, *pair)
            worst = max(worst, units)
    return Difference(True, worst)
