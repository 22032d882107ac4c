"""The table that ``model.summary()`` prints: Keras's columns, and the work of each layer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convkit.layers.core import Rescaling
from convkit.ops.registry import Spec
from convkit.program.builder import Builder
from convkit.program.program import Program, Value

if TYPE_CHECKING:
    from convkit.layers.base import Layer
    from convkit.models.graph import Call
    from convkit.models.model import Model

__all__ = ["LayerWork", "layer_work", "lines", "print_summary"]

_BOX = "┏━┳┓┃┡╇┩│├─┼┤└┴┘"
_ASCII = "+-++|+++|+-+++++"


@dataclass(frozen=True)
class LayerWork:
    """What one sample costs in one layer, forward.

    Attributes
    ----------
    macs : int
        Multiply-accumulate operations with weights.
    activation_bytes : int
        Of the output, in float32; 0 where the layer only looks at its input in another way.
    """

    macs: int = 0
    activation_bytes: int = 0


def layer_work(call: Call) -> LayerWork:
    """Count the work of a layer, from the instructions that it emits."""
    if isinstance(call.layer, Rescaling):  # part of the gathering of a batch
        return LayerWork()
    n = call.layer.batch_size or 1
    program = Program("", "predict", n)
    builder = Builder(program, training=False)
    builder.layer = call.layer.name
    values = [Value("x", Spec((n, *(k or 1 for k in node.shape[1:])))) for node in call.inputs]
    emitted = call.layer.emit(builder, values)
    outputs = emitted if isinstance(emitted, list) else [emitted]
    macs = sum(
        i.flops // 2
        for i in program.instructions
        if any(v is not None and v.parameter is not None for v in i.inputs)
    )
    nbytes = sum(v.spec.nbytes for v in outputs) if program.instructions else 0
    return LayerWork(macs // n, nbytes // n)


def readable(nbytes: int) -> str:
    """Bytes with a binary unit, as Keras writes them: 241.04 KB."""
    size = float(nbytes)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            break
        size /= 1024
    return f"{size:.2f} {unit}"


def _rows(model: Model) -> list[list[str]]:
    calls = {id(call.layer): call for call in reversed(model.calls)}
    names = {id(node): node.layer.name for call in model.calls for node in call.outputs}
    names.update({id(node): node.layer.name for node in model.inputs})
    rows = []
    for layer in model.layers:
        call = calls.get(id(layer))
        if call is not None:
            work = layer_work(call)
            sources = ", ".join(names[id(node)] for node in call.inputs)
            cells = [
                ", ".join(str(node.shape) for node in call.outputs),
                f"{layer.count_params():,}",
                f"{work.macs:,}",
                readable(work.activation_bytes) if work.activation_bytes else "0",
                sources,
            ]
        elif any(node.layer is layer for node in model.inputs):
            cells = [str(layer.compute_output_shape(None)), "0", "0", "0", "-"]
        else:
            cells = ["?", "0 (unbuilt)", "?", "?", "-"]
        rows.append([_title(layer), *cells])
    return rows


def _title(layer: Layer) -> str:
    return f"{layer.name} ({type(layer).__name__})"


def _is_chain(model: Model) -> bool:
    before = [*model.inputs, *(call.outputs[0] for call in model.calls)]
    return len(model.inputs) <= 1 and all(
        call.inputs == (node,) and len(call.outputs) == 1 for call, node in zip(model.calls, before)
    )


def lines(model: Model, line_length: int | None = None, *, ascii_only: bool = False) -> list[str]:
    """The table and the totals, line by line.

    Parameters
    ----------
    model : Model
    line_length : int, optional
        Least width of the table.
    ascii_only : bool
        Draw with ``+-|``.

    Returns
    -------
    list of str
    """
    head = ["Layer (type)", "Output Shape", "Param #", "MACs", "Activations", "Connected to"]
    rows = _rows(model)
    if _is_chain(model):
        head, rows = head[:-1], [row[:-1] for row in rows]
    widths = [max(len(row[k]) for row in [head, *rows]) for k in range(len(head))]
    total = sum(widths) + 3 * len(widths) + 1
    widths[0] += max(0, (line_length or 0) - total)
    box = _ASCII if ascii_only else _BOX
    right = (2, 3, 4)

    def rule(left: str, line: str, cross: str, end: str) -> str:
        return left + cross.join(line * (w + 2) for w in widths) + end

    def cells(row: Sequence[str], bar: str, align: bool = True) -> str:
        padded = [
            c.rjust(w) if align and k in right else c.ljust(w)
            for k, (c, w) in enumerate(zip(row, widths))
        ]
        return f"{bar} " + f" {bar} ".join(padded) + f" {bar}"

    out = [f'Model: "{model.name}"', rule(box[0], box[1], box[2], box[3]), cells(head, box[4])]
    out.append(rule(box[5], box[1], box[6], box[7]))
    out += [cells(row, box[8]) for row in rows]
    out.append(rule(box[13], box[10], box[14], box[15]))
    return [line.rstrip() for line in [*out, *_totals(model)]]


def _totals(model: Model) -> list[str]:
    trainable = sum(p.size for p in model.trainable_weights)
    frozen = sum(p.size for p in model.non_trainable_weights)
    work = [layer_work(call) for call in model.calls]

    def line(what: str, count: int) -> str:
        return f" {what}: {count:,} ({readable(4 * count)})"

    out = [
        line("Total params", trainable + frozen),
        line("Trainable params", trainable),
        line("Non-trainable params", frozen),
    ]
    if model._compiled is not None:
        out.append(line("Optimizer params", model.optimizer.slots * trainable))
    out.append(f" MACs: {sum(w.macs for w in work):,} per sample")
    out.append(f" Activations: {readable(sum(w.activation_bytes for w in work))} per sample")
    return out


def print_summary(
    model: Model, line_length: int | None = None, print_fn: Callable[[str], Any] | None = None
) -> None:
    """Print the table; in ASCII where the output's encoding has no box characters."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    ascii_only = False
    if print_fn is None:
        try:
            _BOX.encode(encoding)
        except (UnicodeEncodeError, LookupError):
            ascii_only = True
    for line in lines(model, line_length, ascii_only=ascii_only):
        (print_fn or print)(line)
