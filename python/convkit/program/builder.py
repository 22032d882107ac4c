"""The builder: what layers, losses and optimizers append their instructions through."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from convkit.ops import registry
from convkit.ops.registry import Array, Params, Spec
from convkit.program.program import CONSTANTS, PARAMETERS, Instruction, Program, Value
from convkit.program.terms import REGULARIZATION, term_readout
from convkit.run.store import ALIGNMENT

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter


class Builder:
    """Appends instructions to a program; what layers, losses and optimisers emit through.

    Attributes
    ----------
    differentiated : bool
        Whether a backward pass follows.
    training : bool
        Whether the layer at hand is to work as in training: false in a differentiated program too
        where it was called with ``training=False``.
    layer : str
        Named in listings and errors.
    share : float
        What share of the objective's data a batch is: gradients of the loss, and its terms, are
        multiplied by it, so that those of an epoch's batches add up. 1 where each batch is an
        objective of its own.
    seeds : list of (Value, Value)
        Values with gradients that the terms of the loss give them.
    """

    def __init__(self, program: Program, *, training: bool, share: float = 1.0) -> None:
        self.program = program
        self.share = share
        self.seeds: list[tuple[Value, Value]] = []
        self.differentiated = self.training = training
        self.layer = ""
        self._parameters: dict[int, Value] = {}
        self._masks: dict[Value, Value | None] = {}
        self._count = 0

    def name(self, prefix: str) -> str:
        self._count += 1
        return f"{prefix}{self._count}"

    def parameter(self, parameter: Parameter) -> Value:
        """The value of a layer's parameter; the same one at every use."""
        if id(parameter) not in self._parameters:
            itemsize = Spec((1,), self.program.dtype).nbytes
            self._parameters[id(parameter)] = Value(
                parameter.path,
                Spec(parameter.shape, self.program.dtype),
                PARAMETERS,
                parameter.offset * itemsize,
                parameter=parameter,
            )
        return self._parameters[id(parameter)]

    def external(self, buffer: str, spec: Spec) -> Value:
        """An array that the caller binds for a run."""
        if buffer not in self.program.externals:
            self.program.externals[buffer] = Value(f"data.{buffer}", spec, buffer)
        return self.program.externals[buffer]

    def constant(self, name: str, array: Array) -> Value:
        """An array that belongs to the program: a mask, a table of indices.

        Floating numbers are held in the program's dtype.
        """
        dtype = self.program.dtype if array.dtype.kind == "f" else array.dtype.name
        held = np.array(array, dtype, order="C")
        constants = self.program.constants
        end = max((v.offset + v.spec.nbytes for v in constants), default=0)
        offset = -(-end // ALIGNMENT) * ALIGNMENT
        value = Value(name, Spec(held.shape, dtype), CONSTANTS, offset)
        constants[value] = held
        return value

    def mask(self, value: Value) -> Value | None:
        """Which steps of a sequence count: uint8 of shape (N, T), 1 for those that do."""
        return self._masks.get(value)

    def set_mask(self, value: Value, mask: Value | None) -> None:
        """Say which steps of a sequence count; None for all of them."""
        self._masks[value] = mask

    def says_mask(self, value: Value) -> bool:
        """Whether `set_mask` said anything about a value."""
        return value in self._masks

    def found_mask(self, value: Value, padding: float = 0.0) -> Value:
        """The mask that leaves out the steps of sequences (N, T, ...) that are nothing else."""
        params: Params = {"value": float(padding), "mean": 0}
        (mask,) = self.emit("mask", "find", [value], params, prefix="mask")
        assert mask is not None
        return mask

    def mask_numbers(self, mask: Value) -> Value:
        """A mask in the program's dtype, 1 for the steps that count, for ops to compute with."""
        spec = Spec(mask.spec.shape, self.program.dtype)
        params: Params = {"value": 0.0, "mean": 0}
        (ones,) = self.emit("mask", "weight", [mask, None], params, out=[spec], prefix="w")
        assert ones is not None
        return ones

    def masked_weight(
        self, prediction: Value, weight: Value | None, *, mean: bool = False
    ) -> Value | None:
        """The weights of a prediction's rows, 0 where its mask leaves a step out.

        Parameters
        ----------
        prediction : Value
        weight : Value, optional
            Of each row.
        mean : bool
            Whether a sum of weighted rows, divided by the number of all, is to be the mean over
            those that count.
        """
        mask = self.mask(prediction)
        if mask is None:
            return weight
        params: Params = {"value": 0.0, "mean": int(mean)}
        rows = prediction.spec.shape[:-1]  # a step of a map has several
        shape = rows if rows[:2] == mask.spec.shape else mask.spec.shape
        spec = Spec(shape, self.program.dtype)
        return self.emit("mask", "weight", [mask, weight], params, out=[spec], prefix="w")[0]

    def alias(self, value: Value) -> Value:
        """The same numbers under another value, which may have another mask; no instruction."""
        return Value(value.name, value.spec, value.buffer, base=value)

    def view(self, value: Value, shape: Sequence[int]) -> Value:
        """The same numbers in another shape; no instruction."""
        return value.view(shape)

    def emit(
        self,
        op: str,
        pass_name: str,
        inputs: Sequence[Value | None],
        params: Params | None = None,
        *,
        out: Sequence[Spec | Value | None] | None = None,
        prefix: str = "y",
    ) -> list[Value | None]:
        """Append an instruction.

        Parameters
        ----------
        op, pass_name : str
        inputs : sequence of Value or None
            The pass's inputs, then its updates.
        params : mapping
        out : sequence of Spec, Value or None, optional
            Where the pass cannot infer its outputs: their specs, or existing values to write to.
        prefix : str
            Of the outputs' names.

        Returns
        -------
        list of Value or None
            The outputs.

        Raises
        ------
        ValueError
            From the op's shape rule, with the layer's name in front.
        """
        instruction = self._instruction(op, pass_name, inputs, params, out, prefix)
        self.program.instructions.append(instruction)
        return instruction.outputs

    def add_term(self, name: str, total: Value, seeds: Sequence[tuple[Value, Value]] = ()) -> None:
        """Add a term to the loss, beside the error.

        Parameters
        ----------
        name : str
            That it is reported under; terms of one name are summed.
        total : Value
            Its value for the batch, times `share`: float64 of shape (1,).
        seeds : sequence of (Value, Value)
            In a differentiated program: values, and the term's gradients with respect to them.
        """
        self.program.terms.append((name, total))
        self.program.readouts[term_readout(len(self.program.terms), name)] = total
        self.seeds.extend(seeds)

    def add_penalty(self, value: Value, l1: float, l2: float, scale: float = 1.0) -> None:
        """Add ``scale * (l1 * sum |x| + l2 * sum x^2)`` to the loss, as regularisation."""
        params: Params = {"l1": l1, "l2": l2, "scale": scale * self.share}
        if not self.differentiated:
            (total,) = self.emit("penalty", "forward", [value], params, prefix="r")
            assert total is not None
            self.add_term(REGULARIZATION, total)
            return
        total, slope = self.emit("penalty", "backward", [value], params, prefix="r")
        assert total is not None and slope is not None
        self.add_term(REGULARIZATION, total, [(value, slope)])

    def after_step(
        self,
        op: str,
        pass_name: str,
        inputs: Sequence[Value | None],
        params: Params | None = None,
        *,
        out: Sequence[Spec | Value | None] | None = None,
    ) -> None:
        """Append an instruction that runs once the step is known to count.

        In training that is after loss and gradients were found finite, beside the optimizer's
        updates; otherwise at the end. Moving averages and carried states change here: `out` or the
        updates among `inputs` are parameters that are not trainable.
        """
        instruction = self._instruction(op, pass_name, inputs, params, out, "s")
        self.program.deferred.append(instruction)

    def _instruction(
        self,
        op: str,
        pass_name: str,
        inputs: Sequence[Value | None],
        params: Params | None,
        out: Sequence[Spec | Value | None] | None,
        prefix: str,
    ) -> Instruction:
        params = dict(params or {})
        rule = registry.get(op)[pass_name]
        if out is None:
            assert rule.infer is not None, f"{op}.{pass_name} needs explicit outputs"
            try:
                out = rule.infer(params, [None if v is None else v.spec for v in inputs])
            except (ValueError, TypeError) as error:
                where = f"layer {self.layer!r}: " if self.layer else ""
                raise type(error)(f"{where}{error}") from None
        outputs = [Value(self.name(prefix), s) if isinstance(s, Spec) else s for s in out]
        return Instruction(op, pass_name, params, list(inputs), outputs, self.layer)
