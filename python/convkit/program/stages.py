"""Stages: instructions of small networks that share launches on a GPU.

A step of a small network takes less time on a GPU than launching its kernels. Rows that are stages
(csrc/cuda/stages.h) can be merged: one launch makes what they do sample by sample, another one what
they do over the whole batch. `prefer_stages` chooses such rows where a network is small and they
make one run of its step, `merge_stages` puts instructions with such rows next to each other.
"""

from __future__ import annotations

from collections.abc import Sequence

from convkit.ops import registry
from convkit.ops.choosing import Choice
from convkit.ops.registry import Row
from convkit.program.program import ARENA, Instruction, Program, Value

__all__ = ["SHARES", "merge_stages", "prefer_stages"]

# What makes a network small. A block takes a sample through a step alone: some 10^5 operations in a
# microsecond, where a launch that is saved took two.
MOST_FLOPS = 4_000_000  # of a sample
MOST_SAMPLES = 1024

SHARES = "shares its launches with the rest of the step"  # why a row was chosen

_Region = tuple[object, int, int]  # a buffer, and where something begins and ends there


def _region(v: Value) -> _Region:
    if v.root.buffer == ARENA:
        return v.root, 0, 1
    return v.root.buffer, v.root.offset, v.root.offset + max(v.root.spec.nbytes, 1)


def _overlap(some: Sequence[_Region], others: Sequence[_Region]) -> bool:
    return any(a[0] == b[0] and a[1] < b[2] and b[1] < a[2] for a in some for b in others)


class _Touched:
    """What an instruction reads and writes, and what of it is common to all samples."""

    def __init__(self, i: Instruction) -> None:
        changed = len(i.inputs) - len(registry.get(i.op)[i.pass_name].updates)
        mine = 0 if i.row is None else i.row.by_sample
        self.reads, self.common_reads = list[_Region](), list[_Region]()
        self.writes, self.common_writes = list[_Region](), list[_Region]()
        for k, v in enumerate(i.operands):
            if v is None:
                continue
            region = _region(v)
            if k < len(i.inputs):
                self.reads.append(region)
                if not mine >> k & 1:
                    self.common_reads.append(region)
            if k >= changed:
                self.writes.append(region)
                if not mine >> k & 1:
                    self.common_writes.append(region)

    def depends_on(self, other: _Touched) -> bool:
        """Whether the order of the two matters."""
        everything = [*other.reads, *other.writes]
        return _overlap(self.reads, other.writes) or _overlap(self.writes, everything)

    def shares_with(self, other: _Touched) -> bool:
        """Whether it can follow in the same run: what it needs of the other is of its sample."""
        return not (
            _overlap(self.writes, [*other.reads, *other.writes])
            or _overlap(self.common_reads, other.writes)
            or _overlap(self.reads, other.common_writes)
        )


def _is_stage(i: Instruction, batch: int) -> bool:
    if i.row is None or not i.row.by_sample:
        return False
    own = [v for k, v in enumerate(i.operands) if v is not None and i.row.by_sample >> k & 1]
    return all(len(v.spec.shape) > 0 and v.spec.shape[0] == batch for v in own)


def _arranged(program: Program) -> tuple[list[Instruction], list[tuple[int, int]]]:
    """The instructions in front of the commit in an order with long runs of stages, and those."""
    order: list[Instruction] = []
    runs: list[tuple[int, int]] = []
    todo = program.instructions[: program.commit]
    touched = {id(i): _Touched(i) for i in todo}
    while todo:
        run: list[Instruction] = []
        later: list[Instruction] = []
        for i in todo:
            own = touched[id(i)]
            if not run and not later and not _is_stage(i, program.batch):
                order.append(i)
            elif (
                _is_stage(i, program.batch)
                and not any(own.depends_on(touched[id(j)]) for j in later)
                and all(own.shares_with(touched[id(j)]) for j in run)
            ):
                run.append(i)
            else:
                later.append(i)
        if len(run) > 1:
            runs.append((len(order), len(order) + len(run)))
        order += run
        todo = later
    return order, runs


def prefer_stages(program: Program, choices: Sequence[Choice]) -> list[Row]:
    """The rows of a program's instructions: stages, where these make a run of a small network.

    Parameters
    ----------
    program : Program
    choices : sequence of Choice
        For each instruction. Rows that are named, or rounded by permission, stay.

    Returns
    -------
    list of Row
    """
    usual = [choice.row for choice in choices]
    inside = program.instructions[: program.commit]
    small = sum(i.flops for i in inside) <= MOST_FLOPS * program.batch
    policy = program.policy
    if policy.device != "cuda" or policy.autotune or not small or program.batch > MOST_SAMPLES:
        return usual
    rows = list(usual)
    for n, choice in enumerate(choices[: program.commit]):
        if choice.named or choice.chosen.own or choice.row.precision != "full":
            continue
        able = (c.row for c in choice.candidates if c.row.by_sample and not c.ruled_out)
        rows[n] = next(able, choice.row)
    for i, row in zip(program.instructions, rows, strict=True):
        i.row = row
    _, runs = _arranged(program)
    merged = sum(end - begin for begin, end in runs)
    stages = sum(_is_stage(i, program.batch) for i in inside)
    # In pieces they would save few launches, and by themselves other rows are faster.
    return rows if len(runs) == 1 and 1 < stages == merged > len(inside) // 2 else usual


def merge_stages(program: Program) -> None:
    """Order the instructions in front of the commit so that stages make runs: `Program.merged`."""
    if program.policy.device == "cuda":
        order, program.merged = _arranged(program)
        program.instructions[: program.commit] = order
