"""The program: values, instructions, and the listing that a person reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from convkit.ops import cost, registry
from convkit.ops.choosing.policy import AS_USUAL, Policy
from convkit.ops.dense_update import limit_of
from convkit.ops.listing import listed
from convkit.ops.registry import Array, Params, Row, Spec

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

    @property
    def seconds(self) -> float:
        """About what it takes on one thread, for how many to let it run on."""
        return cost.seconds(self.flops, self.bytes)

    @property
    def fused(self) -> str:
        """What the kernel does besides: an activation, or in a backward pass the derivative of one.

        Begins with a blank; empty where it does nothing.
        """
        activation = self.params.get("activation", "linear")
        if self.op != "activation" and self.pass_name == "forward" and activation != "linear":
            return f" +{activation}"
        through = self.params.get("through", "linear")
        return f" *{through}'" if through != "linear" else ""

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
        row = (self.row.name if self.row else "") + self.fused
        work = f"{self.flops / 1e6:.3g} MFLOP" if self.flops else ""
        return left, call, row, work


class Guard(NamedTuple):
    """What must hold before parameters change.

    Attributes
    ----------
    value : Value
        Whose numbers are neither NaN nor infinite,
    limit : float
        nor larger than this, with either sign.
    """

    value: Value
    limit: float = np.inf

    def holds(self, array: Array) -> bool:
        """Whether it holds of the value's numbers."""
        if not np.isfinite(array).all():
            return False
        return self.limit == np.inf or bool((np.abs(array) <= self.limit).all())


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
    unkept : tuple of Parameter
        Those whose gradients cannot be read after a step, as their update uses them up.
    constants : dict of Value to ndarray
    arena_bytes : int
    policy : Policy
        How kernels are chosen.
    kernels : dict of str to str
        Names of the rows where there was a choice, by call: see `convkit.ops.choosing.Policy`.
    merged : list of (int, int)
        Instructions, from one on and up to another, that share launches on a GPU.
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
    unkept: tuple[Parameter, ...] = ()
    constants: dict[Value, Array] = field(default_factory=dict)
    arena_bytes: int = 0
    policy: Policy = AS_USUAL
    kernels: dict[str, str] = field(default_factory=dict)
    merged: list[tuple[int, int]] = field(default_factory=list)

    @property
    def guards(self) -> list[Guard]:
        """What must be finite before parameters change: the loss, and the gradients used.

        Of gradients that are yet to be made it is what they are made of, and small enough for no
        sum of products to overflow.
        """
        changing = self.instructions[self.commit :]
        if not changing or self.total is None or self.mode != "train":
            return []
        limits = dict.fromkeys([self.total, *(value for _, value in self.terms)], np.inf)
        for i in changing:
            if i.op == "dense_update":
                for v in i.inputs[:2]:
                    assert v is not None
                    limit = limit_of(self.dtype, v.spec.size // max(v.spec.shape[-1], 1))
                    limits[v.root] = min(limits.get(v.root, np.inf), limit)
            else:
                read = [v for v in i.inputs if v is not None and v.buffer == GRADIENTS]
                limits.update(dict.fromkeys(read, np.inf))
        return [Guard(value, limit) for value, limit in limits.items()]

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
