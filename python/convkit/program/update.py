"""Update: what changes the parameters at the end of a training step.

A gradient that nothing but its update would read need not be kept: `without_gradients` takes the
products that make such gradients out of the backward pass, and `append_updates` puts
`dense_update` in their place, which makes a gradient bit by bit and uses it up at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from convkit.ops import registry
from convkit.ops.registry import Spec
from convkit.program.builder import Builder
from convkit.program.program import (
    ARENA,
    GRADIENTS,
    PARAMETERS,
    SLOTS,
    Instruction,
    Program,
    Value,
)
from convkit.run.store import Stretch

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter
    from convkit.models.model import Model
    from convkit.optimizers import Optimizer

__all__ = ["Unkept", "append_updates", "without_gradients"]

FEWEST = 1 << 12  # weights; the gradient of fewer stays in the first-level cache


class Unkept(NamedTuple):
    """A gradient that is not kept: of which parameter, and what it is made of."""

    parameter: Parameter
    dy: Value
    x: Value
    layer: str


def pays(dw: int, dy: int, x: int) -> bool:
    """Whether a gradient is so much larger than what it is made of that not keeping it saves time.

    What it is made of is looked at in its stead before the step, and once more for the bias.
    """
    return dw >= FEWEST and dw >= 2 * (dy + x)


def _plain(optimizer: Optimizer) -> bool:
    """Whether the rows that would make and use up a gradient are the package's own."""
    passes = (("dense", "backward_weight"), ("update", optimizer.rule))
    return all(registry.kernels(*each)[0].native for each in passes)


def _changed_later(program: Program, n: int) -> set[Value]:
    """What instructions behind the n-th change in place."""
    changed: set[Value] = set()
    for i in program.instructions[n + 1 :]:
        updates = len(registry.get(i.op)[i.pass_name].updates)
        changed.update(v.root for v in i.inputs[len(i.inputs) - updates :] if v is not None)
    return changed


def without_gradients(program: Program, optimizer: Optimizer) -> list[Unkept]:
    """Take out what makes gradients of dense weights that only their update would read.

    Parameters
    ----------
    program : Program
        Differentiated, with the penalties of its weights.
    optimizer : Optimizer

    Returns
    -------
    list of Unkept
        For `append_updates`.
    """
    # On a GPU gradients are kept: there is no row of dense_update.
    if not optimizer.fuses or program.policy.device != "cpu" or not _plain(optimizer):
        return []
    uses = Counter(
        v.root.offset
        for i in (*program.instructions, *program.deferred)
        for v in i.operands
        if v is not None and v.root.buffer == GRADIENTS
    )
    found: list[Unkept] = []
    kept: list[Instruction] = []
    for n, i in enumerate(program.instructions):
        unkept = None
        if (i.op, i.pass_name) == ("dense", "backward_weight"):
            unkept = _unkept(program, n, i, uses)
        if unkept is None:
            kept.append(i)
            continue
        found.append(unkept)
        if i.outputs[1] is not None:
            bias = Instruction("dense", "backward_bias", i.params, [unkept.dy], i.outputs[1:])
            bias.layer = i.layer
            kept.append(bias)
    program.instructions = kept
    program.unkept = tuple(each.parameter for each in found)
    return found


def _unkept(program: Program, n: int, i: Instruction, uses: Counter[int]) -> Unkept | None:
    dy, x = i.inputs
    dw = i.outputs[0]
    if dw is None or dy is None or x is None or dw.root.buffer != GRADIENTS:
        return None
    p = dw.root.parameter
    if p is None or not p.changes or uses[dw.root.offset] != 1:
        return None
    if not pays(p.size, dy.spec.size, x.spec.size):
        return None
    made_of = {dy.root, x.root}
    # They are read once more when parameters change, and must be what they are now.
    if any(v.buffer != ARENA for v in made_of) or made_of & _changed_later(program, n):
        return None
    return Unkept(p, dy, x, i.layer)


def append_updates(
    builder: Builder, model: Model, optimizer: Optimizer, unkept: Sequence[Unkept] = ()
) -> None:
    """Append the updates: one for each stretch of parameters that change alike, and of `unkept`."""
    store = model.store
    dtype = builder.program.dtype
    itemsize = Spec((1,), dtype).nbytes

    def run(name: str, buffer: str, at: int, shape: tuple[int, ...]) -> Value:
        return Value(name, Spec(shape, dtype), buffer, at * itemsize)

    def slots(at: int, shape: tuple[int, ...]) -> list[Value]:
        count = store.count
        return [run(f"slot{k}", SLOTS, k * count + at, shape) for k in range(optimizer.slots)]

    for parameter, dy, x, layer in unkept:
        shape = (x.spec.shape[-1], dy.spec.shape[-1])
        at, decays = parameter.offset, optimizer.decays(parameter)
        stretch = Stretch(at, parameter.size, parameter.multiplier, decays)
        weight = builder.parameter(parameter).view(shape)
        optimizer.emit_with_gradient(builder, dy, x, slots(at, shape), weight, stretch)
        builder.program.instructions[-1].layer = layer

    left_out = {each.parameter for each in unkept}
    stretches = store.stretches(optimizer.decays, left_out)
    if not stretches:
        return
    gradients = [run("gradients", GRADIENTS, s.offset, (s.length,)) for s in stretches]
    arrays = [
        run(f"d{p.path}", GRADIENTS, p.offset, (p.size,))
        for p in store.members
        if p.changes and p.size
    ]
    optimizer.emit_clipping(builder, gradients, arrays)
    for gradient, stretch in zip(gradients, stretches, strict=True):
        at, length = stretch.offset, (stretch.length,)
        weight = run("parameters", PARAMETERS, at, length)
        optimizer.emit(builder, gradient, slots(at, length), weight, stretch)
