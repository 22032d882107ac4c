"""Choose: a kernel row for every instruction, and the scratch memory that it asks for."""

from __future__ import annotations

from convkit.ops.choosing import consider
from convkit.ops.choosing.choice import over_limits
from convkit.ops.registry import Spec
from convkit.program.program import Program, Value
from convkit.program.stages import merge_stages, prefer_stages


def choose(program: Program) -> None:
    """Give each instruction the row that `convkit.ops.choosing` finds under the program's policy.

    Choices between several fast rows are recorded in `Program.kernels`, and those of conv2d_pool,
    which say that a pooling was fused.
    """
    choices = [
        consider(i.op, i.pass_name, i.specs, i.params, program.policy) for i in program.instructions
    ]
    rows = prefer_stages(program, choices)
    for n, (i, choice, row) in enumerate(zip(program.instructions, choices, rows, strict=True)):
        i.row = row
        if program.policy.device == "cuda" and i.row.device != "cuda":
            shapes = ", ".join("-" if s is None else f"{s.dtype}{s.shape}" for s in i.specs)
            beyond = [
                f"{c.name} ({limit})"
                for c in choice.candidates
                if c.supports and (limit := over_limits(c, program.policy))
            ]
            way = f" within the limits; raise them for {' or '.join(beyond)}" if beyond else ""
            raise NotImplementedError(
                f"[{i.layer or i.op}] {i.op}.{i.pass_name} has no CUDA kernel for {shapes}{way}; "
                'device="cpu" can'
            )
        if choice.open or i.op == "conv2d_pool":
            program.kernels[choice.text] = i.row.name
        nbytes = i.row.workspace_bytes(i.specs, i.params)
        i.workspace = Value(f"work{n}", Spec((nbytes,), "uint8")) if nbytes else None
    merge_stages(program)
