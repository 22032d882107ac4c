"""Choose: a kernel row for every instruction, and the scratch memory that it asks for."""

from __future__ import annotations

from convkit.ops import registry
from convkit.ops.registry import Spec
from convkit.program.program import Program, Value


def choose(program: Program) -> None:
    """Give each instruction the first row of its table that supports it."""
    for n, i in enumerate(program.instructions):
        i.row = registry.choose(i.op, i.pass_name, i.specs, i.params)
        nbytes = i.row.workspace_bytes(i.specs, i.params)
        i.workspace = Value(f"work{n}", Spec((nbytes,), "uint8")) if nbytes else None
