"""Ops and their kernel tables, as Python sees them.

An `Op` is a mathematical function with its gradients. Each of its passes has a NumPy reference in
float64, which is the specification, and rows: kernels that compute the same thing. The rows of the
native module come first, in its order; rows that a user registers come before them; the reference
is the last row of every pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from convkit import _core
from convkit.errors import did_you_mean
from convkit.ops import cost, cuda_rows
from convkit.ops.returned import accept, read_only

DTYPES = ("float32", "float64", "uint8", "int32", "int64")

Array = NDArray[Any]
Params = Mapping[str, int | float | str]


class Spec(NamedTuple):
    """Shape and dtype of an operand."""

    shape: tuple[int, ...]
    dtype: str = "float32"

    @property
    def size(self) -> int:
        size = 1
        for n in self.shape:
            size *= n
        return size

    @property
    def nbytes(self) -> int:
        return self.size * np.dtype(self.dtype).itemsize


@dataclass
class Step:
    """What changes from step to step; mirrors the native step block.

    Attributes
    ----------
    step : int
        Updates done so far in the life of the model.
    sample : int
        Position of this batch's first sample in the index array.
    learning_rate : float
    seed : int
        Key of the counter-based generator.
    """

    step: int = 0
    sample: int = 0
    learning_rate: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Context:
    """What a reference sees beside its arrays: parameters, output specs and the step.

    A bound sees also the dtype that the kernel works in.
    """

    params: Params
    out: Sequence[Spec | None]
    step: Step = field(default_factory=Step)
    dtype: str = "float32"

    def __getitem__(self, name: str) -> Any:
        return self.params[name]


Bound = Callable[..., tuple[Any, ...]]
SpecRule = Callable[[Params, Sequence[Spec | None]], Sequence[Spec | None]]


@dataclass(frozen=True)
class Pass:
    """One direction of an op.

    Attributes
    ----------
    name : str
        "forward", "backward_input", ...
    inputs, updates, outputs : tuple of str
        Operands in the order of the native contract: inputs, then operands that are changed in
        place, then outputs. A trailing "?" marks an operand that may be absent, "*" one that stands
        for any number (the last of its group).
    reference : callable
        ``reference(ctx, *inputs, *updates) -> tuple``: the new values of the updates, then the
        outputs (None for an absent one). Floating inputs come as float64.
    infer : callable, optional
        ``infer(params, specs of inputs and updates) -> specs of outputs``; None where the outputs'
        shapes do not follow from the inputs' and the caller must give them.
    bound : callable
        ``bound(ctx, *inputs, *updates) -> tuple``, one array (or scalar) per update and output: a
        kernel in a dtype of unit roundoff eps has ``|y - reference| <= eps * bound`` (0: equal).
    flops : callable, optional
        ``flops(params, input specs, output specs) -> int``.
    inplace : tuple of (str, str)
        (output, input) pairs that may share memory, where ``inplace_where(params)``.
    bounds : mapping of str to callable
        The bounds of rows that have one of their own, by name: a row that does not add up the
        products of the definition, and so is not exact on small integers either.
    chosen_where : mapping of str to callable
        ``rule(params, specs)``: where a row may be chosen unless it is named.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    reference: Callable[..., tuple[Array | None, ...]]
    bound: Bound
    updates: tuple[str, ...] = ()
    infer: SpecRule | None = None
    flops: Callable[[Params, Sequence[Spec | None], Sequence[Spec | None]], int] | None = None
    inplace: tuple[tuple[str, str], ...] = ()
    inplace_where: Callable[[Params], bool] = lambda _: True
    bounds: Mapping[str, Bound] = field(default_factory=dict)
    chosen_where: Mapping[str, Callable[[Params, Sequence[Spec | None]], bool]] = field(
        default_factory=dict
    )

    def bound_of(self, row: str) -> Bound:
        """The error bound that a row obeys."""
        return self.bounds.get(row, self.bound)

    def chooses(self, row: str, params: Params, specs: Sequence[Spec | None]) -> bool:
        """Whether a row that supports the call is good for it."""
        rule = self.chosen_where.get(row)
        return rule is None or rule(params, specs)


class Tape(Protocol):
    """What a gradient rule may ask of the program under construction (program.differentiate)."""

    def needs(self, index: int) -> bool:
        """Whether the gradient of the instruction's input `index` is wanted."""

    def emit(
        self,
        op: str,
        pass_name: str,
        inputs: Sequence[Any],
        params: Params | None = None,
        out: Sequence[Spec | None] | None = None,
        for_inputs: Sequence[int | None] | None = None,
    ) -> list[Any]:
        """Append an instruction and return its outputs.

        `out` gives the outputs' specs where the pass cannot infer them (None: absent);
        `for_inputs[i]` says of which input of the forward instruction output i is the gradient,
        so that gradients of parameters land in the flat gradient buffer at once.
        """


GradientRule = Callable[[Tape, Any, Sequence[Any]], Sequence[Any]]


@dataclass(frozen=True)
class Row:
    """A kernel: one row of an op's table.

    Attributes
    ----------
    op, pass_name, name, device : str
        The device is "cpu", "cuda" or "python".
    isas, dtypes : tuple of str
        Instruction sets that it was compiled for; dtypes of the first operand that it takes.
    function : callable, optional
        None for a native row.
    proved : str
        Of a "cuda" row, where it has been held against its reference: "emulated" or "hardware".
    precision : str
        What operands of products are rounded to: "full" (nothing), "tf32" or "bf16".
    by_sample : int
        Of a "cuda" stage (csrc/cuda/stages.h), bits of the operands whose first axis is the batch.
    """

    op: str
    pass_name: str
    name: str
    device: str
    isas: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ("float32", "float64")
    function: Callable[..., Any] | None = None
    proved: str = ""
    precision: str = "full"
    by_sample: int = 0

    @property
    def native(self) -> bool:
        return self.function is None

    @property
    def exact(self) -> bool:
        """Whether it adds up the products of the definition, so that small integers stay exact."""
        return self.name not in get(self.op)[self.pass_name].bounds

    def supports(self, specs: Sequence[Spec | None], params: Params) -> bool:
        """Whether the row can run this call, from dtypes, shapes and parameters alone."""
        first = next((s for s in specs if s is not None), None)
        if first is not None and first.dtype not in self.dtypes:
            return False
        if not self.native:
            return True
        if self.device == "cuda":
            return cuda_rows.supports(self, specs, params)
        return bool(_core.supports(self.op, self.pass_name, self.name, list(specs), dict(params)))

    def workspace_bytes(
        self, specs: Sequence[Spec | None], params: Params, threads: int = 0
    ) -> int:
        """Scratch memory that the call needs, in bytes; what so many threads touch, if given."""
        if not self.native:
            return 0
        if self.device == "cuda":
            return cuda_rows.workspace_bytes(self, specs, params)
        given = list(specs), dict(params), threads
        return int(_core.workspace_bytes(self.op, self.pass_name, self.name, *given))


@dataclass(frozen=True)
class Op:
    """A mathematical function with its gradients.

    Attributes
    ----------
    name : str
    passes : tuple of Pass
    gradient : callable, optional
        ``gradient(tape, instruction, output_gradients) -> gradients of the inputs``.
    python_only : bool
        It has no native kernels and its reference is its only definition, which also runs on
        arrays in the working dtype, as the row "python".
    """

    name: str
    passes: tuple[Pass, ...]
    gradient: GradientRule | None = None
    python_only: bool = False

    def __getitem__(self, pass_name: str) -> Pass:
        for p in self.passes:
            if p.name == pass_name:
                return p
        known = did_you_mean(pass_name, [p.name for p in self.passes])
        raise ValueError(f"[{self.name}] has no pass {pass_name!r}{known}")


_ops: dict[str, Op] = {}
_rows: dict[tuple[str, str], list[Row]] = {}
_version = 0


def define(op: Op) -> Op:
    """Enter an op: its native rows in their order (a Python-only one's "python"), its reference."""
    _ops[op.name] = op
    for p in op.passes:
        reference = Row(op.name, p.name, "reference", "python", (), DTYPES, p.reference)
        rows = [
            Row(op.name, p.name, r["name"], "cpu", tuple(r["isas"]), tuple(r["dtypes"]))
            for r in ([] if op.python_only else _core.kernels(op.name))
            if r["pass"] == p.name
        ]
        own = [replace(reference, name="python")] if op.python_only else []
        _rows[op.name, p.name] = [*own, *rows, reference]
    return op


def version() -> int:
    """A number that changes with the tables: programs chosen before are out of date."""
    return _version


def ops(*, python_only: bool = False) -> tuple[str, ...]:
    """Names of all ops with kernels, or of those that are Python only."""
    return tuple(name for name, op in _ops.items() if op.python_only == python_only)


def get(name: str) -> Op:
    """The op of that name.

    Raises
    ------
    ValueError
        If there is none; the message suggests the nearest name.
    """
    if name not in _ops:
        raise ValueError(f"unknown op {name!r}{did_you_mean(name, _ops)}")
    return _ops[name]


def kernels(op: str, pass_name: str | None = None, *, device: str = "cpu") -> list[Row]:
    """The kernel table of an op, best row first, the NumPy reference last.

    Parameters
    ----------
    op : str
    pass_name : str, optional
        Only the rows of this pass.
    device : {"cpu", "cuda"}
        Where they run. Those in Python, which a user registers, run on the CPU.

    Returns
    -------
    list of Row
    """
    passes = [p.name for p in get(op).passes] if pass_name is None else [get(op)[pass_name].name]
    if device == "cpu":
        return [row for name in passes for row in _rows[op, name]]
    if device != "cuda":
        raise ValueError(f"unknown device {device!r}{did_you_mean(device, ('cpu', 'cuda'))}")
    rows = cuda_rows.rows_of(op)
    return [
        row for n in passes for row in (*(r for r in rows if r.pass_name == n), _rows[op, n][-1])
    ]


def has_own_rows(op: str) -> bool:
    """Whether a user has registered kernels for an op, which a fused form of it would pass by."""
    return any(not row.native and row.name != "reference" for row in kernels(op))


def register(
    op: str,
    name: str,
    function: Callable[..., Any],
    *,
    pass_name: str = "forward",
    dtypes: tuple[str, ...] = ("float32", "float64"),
) -> Row:
    """Add a kernel of your own to a table, ahead of the others.

    It is then checked (`convkit check`), raced and dispatched like any row.

    Parameters
    ----------
    op : str
    name : str
        A new name within the pass.
    function : callable
        ``function(ctx, *inputs)`` with the meaning of the pass's reference: `ctx[...]` holds the
        parameters; inputs are read-only NumPy arrays in the working dtype. Returns the new values
        of the pass's updates, then its outputs: an array, or a tuple where there are several.
    pass_name : str
    dtypes : tuple of str

    Returns
    -------
    Row

    Raises
    ------
    TypeError
        If `function` cannot be called, or the name is no text.
    ValueError
        If the op, the pass or a dtype is unknown or the name is empty or taken.
    """
    global _version
    rows = _rows[op, get(op)[pass_name].name]
    if not isinstance(name, str):
        raise TypeError(f"[{op}] the name of a kernel is a text, such as 'mine', not {name!r}")
    if not name.strip():
        raise ValueError(f"[{op}] the name of a kernel is empty; give one, such as 'mine'")
    if any(row.name == name for row in rows):
        raise ValueError(f"[{op}] {pass_name} already has a kernel {name!r}")
    if not callable(function):
        raise TypeError(f"[{op}] a kernel is a function(ctx, *inputs), got {function!r}")
    for dtype in dtypes:
        if dtype not in DTYPES:
            raise ValueError(f"[{op}] unknown dtype {dtype!r}{did_you_mean(dtype, DTYPES)}")
    row = Row(op, pass_name, name, "python", (), tuple(dtypes), function)
    rows.insert(0, row)
    _version += 1
    return row


def unregister(op: str, name: str, *, pass_name: str = "forward") -> None:
    """Take a registered kernel out again; native rows and the reference stay."""
    global _version
    rows = _rows[op, get(op)[pass_name].name]
    for row in rows:
        if row.name == name and not row.native and name != "reference":
            rows.remove(row)
            _version += 1
            return
    raise ValueError(f"[{op}] {pass_name} has no registered kernel {name!r}")


def device_of(name: str) -> str:
    """Where a row of that name runs."""
    return "cuda" if name.startswith("cuda_") else "cpu"


def run(
    row: Row,
    params: Params,
    inputs: Sequence[Array | None],
    outputs: Sequence[Array | None],
    step: Step | None = None,
    *,
    all_threads: bool = False,
) -> None:
    """Run a kernel on checked arrays, `inputs` with updates, on the threads that it is worth."""
    step = step or Step()
    rule = get(row.op)[row.pass_name]
    out = [None if y is None else Spec(y.shape, str(y.dtype)) for y in outputs]
    if row.device == "cuda":
        cuda_rows.run(row, params, inputs, outputs, step)
        return
    if row.native:
        specs = [None if x is None else Spec(x.shape, str(x.dtype)) for x in inputs]
        flops = rule.flops(params, specs, out) if rule.flops else 0
        nbytes = sum(a.nbytes for a in (*inputs, *outputs) if a is not None)
        _core.call(
            row.op,
            row.pass_name,
            row.name,
            [*inputs, *outputs],
            dict(params),
            (step.step, step.sample, step.learning_rate, step.seed),
            -1.0 if all_threads else cost.seconds(flops, nbytes),
        )
        return
    assert row.function is not None
    given = [None if x is None else read_only(x) for x in inputs]
    if row.name == "reference":
        given = [x.astype("f8") if x is not None and x.dtype.kind == "f" else x for x in given]
    try:
        result = row.function(Context(params, out, step), *given)
    except Exception as error:
        if not get(row.op).python_only:  # that op names the layer
            error.add_note(f"in the kernel {row.name!r} of {row.op}.{row.pass_name}")
        raise
    updates = list(inputs)[len(inputs) - len(rule.updates) :]
    results = result if isinstance(result, tuple) else (result,)
    accept(row, [*rule.updates, *rule.outputs], [*updates, *outputs], results)
