"""Parameters, shapes, work, gradient rule and passes of `rnn`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from convkit import _core
from convkit.errors import did_you_mean
from convkit.ops import rnn_bounds, rnn_formulas
from convkit.ops.apply import as_int
from convkit.ops.embedding import one_hot
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, SpecRule, Tape, define

ACTIVATIONS: tuple[str, ...] = tuple(_core.choices("rnn", "activation"))
GATES = {"simple": 1, "lstm": 4, "gru": 3}

# Operands by cell, in the order of the native contract.
_SEQUENCE = ("x", "w", "u", "b?", "h0?")
INPUTS = {
    "simple": (*_SEQUENCE, "mask?"),
    "lstm": (*_SEQUENCE, "c0?", "mask?"),
    "gru": (*_SEQUENCE, "mask?"),
}
OUTPUTS = {"simple": ("y", "h"), "lstm": ("y", "h", "c", "saved"), "gru": ("y", "h", "saved")}
GRADIENTS = {"simple": ("dy?", "dh?"), "lstm": ("dy?", "dh?", "dc?"), "gru": ("dy?", "dh?")}
SAVED = {"simple": ("y",), "lstm": ("y", "saved"), "gru": ("y", "saved")}


def backward_inputs(cell: str) -> tuple[str, ...]:
    """Names of the operands of a backward pass."""
    return (*GRADIENTS[cell], *INPUTS[cell], *SAVED[cell])


def backward_outputs(cell: str) -> tuple[str, ...]:
    """The gradients of a backward pass: those of the forward pass's inputs, without the mask."""
    return tuple(f"d{name.rstrip('?')}?" for name in INPUTS[cell][:-1])


def rnn_params(
    activation: str = "tanh",
    *,
    go_backwards: bool | int = False,
    processing_order: bool | int = False,
    reset_after: bool | int = False,
    truncate: int = 0,
) -> dict[str, int | float | str]:
    """Parameters of the op, checked.

    Parameters
    ----------
    activation : {"tanh", "sigmoid", "relu", "linear"}
        Of the simple cell; the others ignore it.
    go_backwards : bool
        Take the steps from the last time to the first.
    processing_order : bool
        ``y[:, s]`` is the output of the s-th step taken, not of time s.
    reset_after : bool
        Of the GRU: apply the reset gate after the product with u.
    truncate : int
        Cut the gradients of the states every so many steps; 0 does not.

    Raises
    ------
    TypeError
        If `truncate` is not an int.
    ValueError
        If the activation is none of the four or `truncate` is negative.
    """
    if activation not in ACTIVATIONS:
        known = did_you_mean(str(activation), ACTIVATIONS)
        raise ValueError(
            f"[rnn] activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}{known}"
        )
    truncate = as_int("rnn", "truncate", truncate)
    if not 0 <= truncate < 1 << 63:
        raise ValueError(f"[rnn] truncate must be at least 0, got {truncate}; 0 cuts nothing")
    return {
        "activation": activation,
        "go_backwards": int(bool(go_backwards)),
        "processing_order": int(bool(processing_order)),
        "reset_after": int(bool(reset_after)),
        "truncate": truncate,
    }


def _by_name(names: Sequence[str], specs: Sequence[Spec | None]) -> dict[str, Spec | None]:
    return {name.rstrip("?"): spec for name, spec in zip(names, specs, strict=True)}


def _check(
    cell: str, params: Params, given: dict[str, Spec | None]
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Refuse operands that do not fit together; shape and dtype of all operands by name."""
    x, w, u = given["x"], given["w"], given["u"]
    assert x is not None and w is not None and u is not None
    gates, title = GATES[cell], f"[rnn] {cell}"
    if len(x.shape) not in (2, 3):
        raise ValueError(
            f"{title}: x must be (N, T, C), or (N, T) of numbers of one-hot rows, got {x.shape}"
        )
    n, length = x.shape[:2]
    if length == 0:
        raise ValueError(
            f"{title}: x of shape {x.shape} holds sequences of length 0; give at least one step"
        )
    if len(w.shape) != 2 or len(u.shape) != 2 or u.shape[1] != gates * u.shape[0]:
        wide = "H" if gates == 1 else f"{gates}H"
        raise ValueError(
            f"{title}: expected w (C, {wide}) and u (H, {wide}), got w {w.shape} and u {u.shape}"
        )
    h, saved = u.shape[0], 0
    c = x.shape[2] if len(x.shape) == 3 else w.shape[0]
    if w.shape != (c, gates * h):
        way_out = "; numbers of one-hot rows are (N, T)" if len(x.shape) == 3 and c == 1 else ""
        if len(x.shape) == 2:
            way_out = "; if x is one sequence of rows, add the batch axis with x[None]"
        raise ValueError(
            f"{title}: w has shape {w.shape}, expected {(c, gates * h)} for x {x.shape} and "
            f"u {u.shape}{way_out}"
        )
    b = given["b"]
    shapes = [(gates * h,), (2, gates * h)]
    if cell == "gru" and params["reset_after"]:
        shapes = shapes[1:]
    elif cell == "gru":
        shapes = shapes[:1]
    if b is not None and b.shape not in shapes:
        why = ""
        if cell == "gru":
            why = f" with reset_after={'True' if params['reset_after'] else 'False'}"
        raise ValueError(
            f"{title}: b has shape {b.shape}, expected {' or '.join(map(str, shapes))}{why} "
            f"(u is {u.shape})"
        )
    if cell == "lstm":
        saved = 5
    elif cell == "gru":
        saved = 4 if params["reset_after"] else 3
    state, sequence, real = (n, h), (n, length, h), x.dtype
    expected = {
        "x": (x.shape, real),
        "w": (w.shape, real),
        "u": (u.shape, real),
        "mask": ((n, length), "uint8"),
        "y": (sequence, real),
        "dy": (sequence, real),
        "saved": ((n, length, saved * h), real),
        **{name: (state, real) for name in ("h0", "c0", "h", "c", "dh", "dc")},
    }
    if b is not None:
        expected["b"] = (b.shape, real)
    for name, spec in given.items():
        if spec is None:
            continue
        shape, dtype = expected[name]
        if spec.shape != shape:
            raise ValueError(
                f"{title}: {name} has shape {spec.shape}, expected {shape} "
                f"(x is {x.shape}, u is {u.shape})"
            )
        if spec.dtype != dtype:
            raise TypeError(f"{title}: {name} has dtype {spec.dtype}, expected {dtype}")
    return expected


def infer_forward(cell: str) -> SpecRule:
    """The shape rule of a forward pass."""

    def infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
        expected = _check(cell, params, _by_name(INPUTS[cell], specs))
        return [Spec(*expected[name]) for name in OUTPUTS[cell]]

    return infer


def infer_backward(cell: str) -> SpecRule:
    """The shape rule of a backward pass: gradients of all operands that are present."""

    def infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
        given = _by_name(backward_inputs(cell), specs)
        expected = _check(cell, params, given)
        names = [name[1:].rstrip("?") for name in backward_outputs(cell)]
        absent = {name for name, spec in given.items() if spec is None}
        absent |= {"x"} if len(expected["x"][0]) == 2 else set()  # numbers have no gradient
        return [None if name in absent else Spec(*expected[name]) for name in names]

    return infer


def _products(x: Spec, w: Spec, u: Spec) -> tuple[int, int]:
    """Operations of x w and of h u over all steps."""
    steps = x.shape[0] * x.shape[1]
    return 2 * steps * w.size if len(x.shape) == 3 else steps * w.shape[1], 2 * steps * u.size


def flops_forward(
    params: Params, inputs: Sequence[Spec | None], outputs: Sequence[Spec | None]
) -> int:
    """Operations of the products."""
    x, w, u = inputs[:3]
    assert x is not None and w is not None and u is not None
    return sum(_products(x, w, u))


def flops_backward(cell: str) -> Any:
    """Operations of the products: one for each gradient, and one to go back through the states."""

    def flops(params: Params, inputs: Sequence[Spec | None], outputs: Sequence[Spec | None]) -> int:
        x, w, u = inputs[len(GRADIENTS[cell]) :][:3]
        assert x is not None and w is not None and u is not None
        of_x, of_h = _products(x, w, u)
        dx, dw, du = (spec is not None for spec in outputs[:3])
        return (dx + dw) * of_x + (1 + du) * of_h

    return flops


def gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    """The gradient rule: one backward instruction, which writes what is wanted."""
    cell = instruction.pass_name.removesuffix("_forward")
    given = len(GRADIENTS[cell])
    numbers = len(instruction.inputs[0].spec.shape) == 2
    y, saved = instruction.outputs[0], instruction.outputs[given:]
    differentiable = instruction.inputs[:-1]
    out = [
        v.spec if v is not None and tape.needs(i) and not (numbers and i == 0) else None
        for i, v in enumerate(differentiable)
    ]
    results = tape.emit(
        "rnn",
        f"{cell}_backward",
        [*gradients[:given], *instruction.inputs, y, *saved],
        instruction.params,
        out=out,
        for_inputs=list(range(len(out))),
    )
    return [*results, None]


_Formula = Callable[..., tuple[Any, ...]]


def _of_rows(function: _Formula, at: int) -> _Formula:
    """A formula whose operand `at` is x, for x that holds numbers of rows as well."""

    def formula(ctx: Context, *operands: Array) -> tuple[Any, ...]:
        x, w = operands[at], operands[at + 1]
        if x.ndim == 2:
            operands = (*operands[:at], one_hot(x, len(w)), *operands[at + 1 :])
        return function(ctx, *operands)

    return formula


def _passes(cell: str) -> tuple[Pass, Pass]:
    """Forward and backward of a cell, with its functions of `rnn_formulas` and `rnn_bounds`."""

    def reference(which: str) -> _Formula:
        at = 0 if which == "forward" else len(GRADIENTS[cell])
        return _of_rows(getattr(rnn_formulas, f"{cell}_{which}"), at)

    def bound(which: str) -> _Formula:
        at = 0 if which == "forward" else len(GRADIENTS[cell])
        return _of_rows(getattr(rnn_bounds, f"{cell}_{which}_bound"), at)

    forward = Pass(
        f"{cell}_forward",
        INPUTS[cell],
        OUTPUTS[cell],
        reference("forward"),
        bound("forward"),
        infer=infer_forward(cell),
        flops=flops_forward,
    )
    backward = Pass(
        f"{cell}_backward",
        backward_inputs(cell),
        backward_outputs(cell),
        reference("backward"),
        bound("backward"),
        infer=infer_backward(cell),
        flops=flops_backward(cell),
    )
    return forward, backward


OP = define(Op("rnn", tuple(p for cell in GATES for p in _passes(cell)), gradient))
