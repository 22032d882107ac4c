"""Allocate: lifetimes of values to offsets in one arena.

Values that are never alive together may share memory. The largest are placed first, each at the
lowest offset that is free for its whole lifetime (greedy by size; Pisarchyk and Lee 2020). What
instructions that share launches on a GPU touch is alive during all of them, as their parts run
apart.
"""

from __future__ import annotations

from dataclasses import dataclass

from convkit.ops import registry
from convkit.program.program import ARENA, Instruction, Program, Value
from convkit.run.store import ALIGNMENT


@dataclass
class _Block:
    """Memory of one value, or of several that follow each other in place."""

    nbytes: int
    first: int
    last: int
    values: list[Value]


def _reused(i: Instruction, n: int, output: Value, last: dict[Value, int]) -> Value | None:
    """The input whose memory an output takes over, if its kernel allows it."""
    if i.row is not None and not i.row.native:
        return None  # Python may give back what it was given
    rule = registry.get(i.op)[i.pass_name]
    if not rule.inplace_where(i.params):
        return None
    for out_name, in_name in rule.inplace:
        if i.outputs[[name.rstrip("?*") for name in rule.outputs].index(out_name)] is not output:
            continue
        value = i.inputs[[name.rstrip("?*") for name in rule.inputs].index(in_name)]
        if value is None or value.root.buffer != ARENA or value.root.keep:
            continue
        readers = [v for v in i.inputs if v is not None and v.root is value.root]
        if len(readers) == 1 and last[value.root] == n and value.spec.nbytes == output.spec.nbytes:
            return value.root
    return None


def _blocks(program: Program) -> list[_Block]:
    last: dict[Value, int] = {}
    runs = {n: run for run in program.merged for n in range(*run)}
    for n, i in enumerate(program.instructions):
        for v in (*i.operands, i.workspace):
            if v is not None:
                last[v.root] = runs[n][1] - 1 if n in runs else n
    end = len(program.instructions)
    for v in (*program.output, *program.readouts.values(), program.total):
        if v is not None:
            v.root.keep = True
            last[v.root] = end
    blocks: dict[Value, _Block] = {}
    for n, i in enumerate(program.instructions):
        for v in (*i.outputs, i.workspace):
            if v is None or v.root.buffer != ARENA or v.root in blocks:
                continue
            reused = None if v is i.workspace or n in runs else _reused(i, n, v, last)
            if reused is not None and reused in blocks:
                block = blocks[reused]
                block.last = max(block.last, last[v.root])
                block.values.append(v.root)
            else:
                first = runs[n][0] if n in runs else n
                block = _Block(v.root.spec.nbytes, first, last[v.root], [v.root])
            blocks[v.root] = block
    return list({id(b): b for b in blocks.values()}.values())


def allocate(program: Program) -> None:
    """Set the offset of every arena value, and the arena's size."""
    placed: list[tuple[int, int, _Block]] = []  # begin, end, block
    for block in sorted(_blocks(program), key=lambda b: (-b.nbytes, b.first)):
        size = -(-block.nbytes // ALIGNMENT) * ALIGNMENT
        offset = 0
        for begin, end, other in sorted(placed, key=lambda p: p[0]):
            if other.last < block.first or block.last < other.first:
                continue
            if offset + size <= begin:
                break
            offset = max(offset, end)
        placed.append((offset, offset + size, block))
        for value in block.values:
            value.offset = offset
    program.arena_bytes = max((end for _, end, _ in placed), default=0)
