"""Absorb: the derivative of an activation goes into the backward pass that makes its gradient.

It runs after differentiation, whose instructions it looks at in pairs: a pass that makes a gradient
dx and, as its only reader, activation.backward_from_output. The first then does the work of both
on rows of dx that are in the cache (ops/through.py).
"""

from __future__ import annotations

from collections import Counter

from convkit.ops.through import goes_through
from convkit.program.program import ARENA, Instruction, Program, Value

__all__ = ["absorb"]


def absorb(program: Program) -> None:
    """Merge what can be merged.

    A gradient that is a sum is made by an addition, and one that is read elsewhere too is needed as
    it is: both stay.
    """
    operands = [v for i in (*program.instructions, *program.deferred) for v in i.inputs]
    kept = [*program.output, *program.readouts.values(), program.total]
    readers = Counter(v.root for v in (*operands, *kept) if v is not None)
    makers: dict[Value, Instruction] = {}
    for i in list(program.instructions):
        dy = i.inputs[0] if i.inputs else None
        if (i.op, i.pass_name) == ("activation", "backward_from_output") and dy is not None:
            maker = makers.get(dy.root)
            if maker is not None and readers[dy.root] == 1 and dy.root.buffer == ARENA:
                _merge(program, maker, i)
                continue
        if goes_through(i.op, i.pass_name) and i.params["through"] == "linear":
            makers.update((v.root, i) for v in i.outputs if v is not None)


def _merge(program: Program, maker: Instruction, i: Instruction) -> None:
    _, x = i.inputs
    (made,), (dx,) = maker.outputs, i.outputs
    assert made is not None and dx is not None and x is not None
    maker.params = {
        **maker.params,
        "through": i.params["activation"],
        "through_alpha": i.params["alpha"],
    }
    maker.inputs[-1] = x.view(made.spec.shape)
    maker.outputs[0] = dx.view(made.spec.shape)
    program.instructions.remove(i)
