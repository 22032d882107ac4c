"""The program: values, instructions, and the listing that a person reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from convkit.ops import registry
from convkit.ops.registry import Array, Params, Row, Spec
from convkit.program.listing import listed
from convkit.program.terms import REGULARIZATION, term_readout
from convkit.run.store import ALIGNMENT

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter

# Values live in one of these buffers; every other name is an array that the caller binds for a
# run ("x", "y", "weight", "index").
ARENA, PARAMETERS, GRADIENTS, SLOTS = "arena", "parameters", "gradients", "slots"
CONSTANTS = "constants"  # of the program itself: tables that its layers bring along
OWNED = (ARENA, PARAMETERS, GRADIENTS, SLOTS, CONSTANTS)


@dataclass(eq=False)
class Value:
    """An array in a program: a batch, a parameter, an activation, a gradient.

    Attributes
    ----------
    name : str
    spec : Spec
    buffer : str
        Which buffer it lives in.
    offset : int
        Byte offset in the buffer; of an arena value, set by `allocate`.
    base : Value, optional
        The value that this one is a reshaped view of.
    parameter : Parameter, optional
        The parameter that it is, or is the gradient of.
    keep : bool
        Readable after the step: its memory is not reused.
    """

    name: str
    spec: Spec
    buffer: str = ARENA
    offset: int = 0
    base: Value | None = None
    parameter: Parameter | None = None
    keep: bool = False

    @property
    def root(self) -> Value:
        return self if self.base is None else self.base.root

    def view(self, shape: Sequence[int]) -> Value:
        """The same numbers in another shape."""
        if tuple(shape) == self.spec.shape:
            return self
        return Value(self.name, Spec(tuple(shape), self.spec.dtype), self.buffer, base=self)

    def __repr__(self) -> str:
        return f"{self.name}[{','.join(map(str, self.spec.shape))}]"


@dataclass(eq=False)
class Instruction:
    """One kernel invocation: op, pass, row, operands and parameters."""

    op: str
    pass_name: str
    params: Params
    inputs: list[Value | None]  # the pass's inputs, then its updates
    outputs: list[Value | None]
    layer: str = ""
    row: Row | None = None
    workspace: Value | None = None

    @property
    def operands(self) -> list[Value | None]:
        return [*self.inputs, *self.outputs]

    @property
    def specs(self) -> list[Spec | None]:
        return [None if v is None else v.spec for v in self.operands]

    @property
    def flops(self) -> int:
        rule = registry.get(self.op)[self.pass_name].flops
        if rule is None:
            return 0
        inputs = [None if v is None else v.spec for v in self.inputs]
        return rule(self.params, inputs, [None if v is None else v.spec for v in self.outputs])

    @property
    def bytes(self) -> int:
        """Bytes of all operands: the least that the instruction moves."""
        return sum(v.spec.nbytes for v in self.operands if v is not None)

    def __str__(self) -> str:
        return " ".join(self.columns()).rstrip()

    def columns(self) -> tuple[str, str, str, str]:
        """Left-hand side, call, row and work, as strings."""
        targets = [v for v in self.outputs if v is not None]
        if not targets:  # an op that changes its operands
            updates = len(registry.get(self.op)[self.pass_name].updates)
            targets = [v for v in self.inputs[len(self.inputs) - updates :] if v is not None]
        left = ", ".join(repr(v) for v in targets)
        names = ", ".join("-" if v is None else v.name for v in self.inputs)
        params = listed(self.op, self.pass_name, self.params)
        call = f"{self.op}.{self.pass_name}({names}{'; ' + params if params else ''})"
        activation = self.params.get("activation", "linear")
        fused = f" +{activation}" if self.op != "activation" and activation != "linear" else ""
        if self.pass_name != "forward":
            fused = ""
        row = (self.row.name if self.row else "") + fused
        work = f"{self.flops / 1e6:.3g} MFLOP" if self.flops else ""
        return left, call, row, work


@dataclass(eq=False)
class Program:
    """A straight-line list of instructions for one batch size and one mode.

    Attributes
    ----------
    name : str
        The model's name.
    mode : str
        "train", "evaluate" or "predict".
    batch : int
        Samples per step.
    dtype : str
        "float32", or "float64" to check.
    instructions : list of Instruction
    externals : dict of str to Value
        Arrays that the caller binds for a run, by buffer name.
    output : list of Value
        The predictions, in mode "predict".
    total : Value or None
        The sum of the per-row losses, float64 of shape (1,).
    readouts : dict of str to Value
        Small float64 vectors that a run sums over its steps.
    terms : list of (str, Value)
        What the loss has besides the error, by the name that it is reported under; among the
        readouts too.
    commit : int
        Index of the first instruction that changes parameters.
    deferred : list of Instruction
        What will stand behind `commit` beside the updates: moving averages, carried states.
    constants : dict of Value to ndarray
    arena_bytes : int
    """

    name: str
    mode: str
    batch: int
    dtype: str = "float32"
    instructions: list[Instruction] = field(default_factory=list)
    externals: dict[str, Value] = field(default_factory=dict)
    output: list[Value] = field(default_factory=list)
    total: Value | None = None
    readouts: dict[str, Value] = field(default_factory=dict)
    terms: list[tuple[str, Value]] = field(default_factory=list)
    commit: int = 0
    deferred: list[Instruction] = field(default_factory=list)
    constants: dict[Value, Array] = field(default_factory=dict)
    arena_bytes: int = 0

    @property
    def guards(self) -> list[Value]:
        """What must be finite before parameters change: the loss, and the gradients used."""
        changing = self.instructions[self.commit :]
        if not changing or self.total is None or self.mode != "train":
            return []
        read = [v for i in changing for v in i.inputs if v is not None and v.buffer == GRADIENTS]
        return [self.total, *(value for _, value in self.terms), *dict.fromkeys(read)]

    @property
    def has_loss(self) -> bool:
        """Whether a loss is computed."""
        return self.mode != "predict"

    def zero_sums(self) -> Array:
        """Zeros for a run to sum the readouts into, one after the other."""
        return np.zeros(sum(value.spec.size for value in self.readouts.values()))

    @property
    def flops(self) -> int:
        return sum(i.flops for i in self.instructions)

    def values(self) -> Iterator[Value]:
        """Every value once, in the order of first appearance; views come as themselves."""
        seen: set[int] = set()
        for instruction in self.instructions:
            for v in (*instruction.operands, instruction.workspace):
                if v is not None and id(v) not in seen:
                    seen.add(id(v))
                    yield v

    def __str__(self) -> str:
        head = f"{self.mode} program of {self.name}: batch {self.batch}, {self.dtype}"
        rows = [i.columns() for i in self.instructions]
        layers = [i.layer for i in self.instructions]
        widths = [max((len(r[k]) for r in rows), default=0) for k in range(4)]
        lines = [head]
        for layer, (left, call, row, work) in zip(layers, rows, strict=True):
            lines.append(
                f"  {left:<{widths[0]}} = {call:<{widths[1]}}  {row:<{widths[2]}} "
                f"{work:>{widths[3]}}  {layer}".rstrip()
            )
        lines.append(
            f"{len(rows)} instructions, {self.flops / 1e6:.4g} MFLOP a step, "
            f"arena {self.arena_bytes / 2**20:.2f} MiB"
        )
        return "\n".join(lines)


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
