"""Differentiate: walk the forward program backwards over the ops' gradient rules.

Reverse accumulation (Linnainmaa 1976; Griewank and Walther 2008, chapter 3): each value's gradient
is the sum over its readers, so branches, shared layers and residual connections need nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence

from convkit.ops import registry
from convkit.ops.registry import Params, Spec
from convkit.program.builder import Builder
from convkit.program.program import GRADIENTS, PARAMETERS, Instruction, Value


class _Tape:
    """What the gradient rule of one instruction may ask; see `convkit.ops.registry.Tape`."""

    def __init__(self, walk: _Walk, instruction: Instruction) -> None:
        self._walk = walk
        self._instruction = instruction

    def needs(self, index: int) -> bool:
        value = self._instruction.inputs[index]
        return value is not None and value.root in self._walk.wanted

    def emit(
        self,
        op: str,
        pass_name: str,
        inputs: Sequence[Value | None],
        params: Params | None = None,
        out: Sequence[Spec | None] | None = None,
        for_inputs: Sequence[int | None] | None = None,
    ) -> list[Value | None]:
        outs: list[Spec | Value | None] | None = None if out is None else list(out)
        for position, index in enumerate(for_inputs or ()):
            if index is None or outs is None or outs[position] is None:
                continue
            outs[position] = self._walk.destination(self._instruction.inputs[index])
        return self._walk.builder.emit(op, pass_name, inputs, params, out=outs, prefix="d")


class _Walk:
    def __init__(self, builder: Builder, forward: Sequence[Instruction]) -> None:
        self.builder = builder
        self.gradients: dict[Value, Value] = {}
        # What depends on a trainable parameter, and the parameters themselves.
        self.wanted: set[Value] = set()
        for i in forward:
            inputs = [v.root for v in i.inputs if v is not None]
            self.wanted.update(
                v for v in inputs if v.parameter is not None and v.parameter.trainable
            )
            if any(v in self.wanted for v in inputs):
                self.wanted.update(v.root for v in i.outputs if v is not None)

    def destination(self, value: Value | None) -> Value | Spec | None:
        """Where the gradient of an input goes: a parameter's into the flat buffer at once."""
        if value is None:
            return None
        root = value.root
        if root.buffer != PARAMETERS or root in self.gradients:
            return value.spec
        return Value(f"d.{root.name}", value.spec, GRADIENTS, root.offset, parameter=root.parameter)

    def add(self, value: Value, gradient: Value) -> None:
        """Add a gradient to what its value has so far."""
        root = value.root
        gradient = self.builder.view(gradient, root.spec.shape)
        if root not in self.gradients:
            self.gradients[root] = gradient
            return
        so_far = self.gradients[root]
        # A parameter's sum stays in its place in the flat buffer.
        out = [so_far if root.buffer == PARAMETERS else root.spec]
        (total,) = self.builder.emit("add", "forward", [so_far, gradient], out=out, prefix="d")
        assert total is not None
        self.gradients[root] = total


def differentiate(
    builder: Builder, forward: Sequence[Instruction], seeds: Sequence[tuple[Value, Value]]
) -> None:
    """Append the backward instructions of a forward program.

    Parameters
    ----------
    builder : Builder
    forward : sequence of Instruction
        In order; those whose outputs have gradients are visited in reverse.
    seeds : sequence of (Value, Value)
        Values and the gradients of the loss with respect to them.

    Raises
    ------
    ValueError
        If an op on the way to a trainable parameter has no gradient.
    """
    walk = _Walk(builder, forward)
    for value, gradient in seeds:
        walk.add(value, gradient)
    for i in reversed(forward):
        outputs = [None if v is None else walk.gradients.get(v.root) for v in i.outputs]
        if all(g is None for g in outputs):
            continue
        if not any(v is not None and v.root in walk.wanted for v in i.inputs):
            continue
        rule = registry.get(i.op).gradient
        builder.layer = i.layer
        if rule is None:
            raise ValueError(f"layer {i.layer!r}: op {i.op} has no gradient")
        gradients = rule(_Tape(walk, i), i, outputs)
        for value_in, gradient_in in zip(i.inputs, gradients, strict=True):
            if value_in is not None and gradient_in is not None and value_in.root in walk.wanted:
                walk.add(value_in, gradient_in)
    builder.layer = ""
