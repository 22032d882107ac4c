"""Why a layer runs on the kernels that it runs on: ``layer.explain()``, ``model.explain()``."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from convkit import _core
from convkit.checks import whole
from convkit.cuda import native as cuda
from convkit.ops.choosing import Choice, consider
from convkit.program.stages import SHARES

if TYPE_CHECKING:
    from convkit.layers.base import Layer
    from convkit.models.model import Model

__all__ = ["Explanation", "explain_layer", "explain_model", "set_model"]

_HEADER = ("kernel", "predicted", "measured", "workspace", "error", "why")

_models: weakref.WeakKeyDictionary[Layer, weakref.ref[Model]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Explanation:
    """Kernels of the instructions of a layer or a model, chosen and not; print it.

    Attributes
    ----------
    title : str
    mode : str
        Of the program: "train" or "predict".
    batch : int
    machine : str
        What the kernels run on.
    choices : tuple of (str, Choice)
        By the name of the layer, in the order of the program. Each has ``candidates`` with their
        ``predicted`` and ``measured`` seconds, ``workspace_bytes`` and ``error``, the bound in
        units of that of the pass; and the one that is ``chosen``, and ``why``.

    Examples
    --------
    >>> import convkit as ck
    >>> model = ck.Sequential([ck.Input((8,)), ck.layers.Dense(4)])
    >>> found = model.layers[-1].explain(batch_size=2)
    >>> [(choice.pass_name, choice.row.name) for _, choice in found.choices]
    [('forward', 'cpu_tiled')]
    """

    title: str
    mode: str
    batch: int
    machine: str
    choices: tuple[tuple[str, Choice], ...]

    def __str__(self) -> str:
        lines = [f"{self.title}: {self.mode}, batch {self.batch}, {self.machine}"]
        layer = ""
        for name, choice in self.choices:
            if name != layer and not self.title.startswith("layer"):
                lines.append(f"layer {name!r}" if name else "no layer's own")
            layer = name
            lines += ["", f"{choice.text}", *_table(choice)]
        if not self.choices:
            lines.append("no instruction of its own: fused into others, or nothing to compute")
        return "\n".join(lines)


def _table(choice: Choice) -> list[str]:
    """The candidates, a line each, the chosen one marked."""
    rows = [_HEADER]
    for c in choice.candidates:
        rows.append(
            (
                c.name,
                _milliseconds(c.predicted, scaled=True),
                _milliseconds(c.measured),
                f"{c.workspace_bytes / 1e6:.2f} MB" if c.supports else "-",
                f"{c.error:.3g}" if c.supports else "-",
                choice.remark(c),
            )
        )
    widths = [max(len(row[k]) for row in rows) for k in range(len(_HEADER) - 1)]
    lines = []
    for n, (name, *numbers, why) in enumerate(rows):
        mark = ">" if n and choice.candidates[n - 1] is choice.chosen else " "
        cells = " ".join(
            f"{text:>{width + 1}}" for text, width in zip(numbers, widths[1:], strict=True)
        )
        lines.append(f"  {mark} {name:<{widths[0]}} {cells}  {why}")
    return lines


def _milliseconds(seconds: float | None, *, scaled: bool = False) -> str:
    """A time; `scaled` from one thread to those that it is worth."""
    if seconds is None:
        return "-"
    if scaled:
        seconds /= _core.worth_threads(seconds, _core.num_threads())
    return f"{seconds * 1e3:.3g} ms"


def set_model(model: Model, layers: Iterable[Layer]) -> None:
    """Remember of which model layers are a part; of the last one that was made of them."""
    for layer in layers:
        _models[layer] = weakref.ref(model)


def explain_layer(
    layer: Layer, batch_size: int | None = None, mode: str | None = None
) -> Explanation:
    """See `convkit.layers.Layer.explain`."""
    known = _models.get(layer)
    model = None if known is None else known()
    if model is None:
        raise ValueError(
            f"{layer.title} is not part of a model, and which kernels run it depends on the shapes "
            "there; make a model of it first"
        )
    names = {part.name for part in (layer, *layer.sequence, *layer.inside)}
    return _explain(model, layer.title, batch_size, mode, names)


def explain_model(
    model: Model, batch_size: int | None = None, mode: str | None = None
) -> Explanation:
    """See `convkit.Model.explain`."""
    return _explain(model, f"model {model.name!r}", batch_size, mode, None)


def _explain(
    model: Any, title: str, batch_size: int | None, mode: str | None, names: set[str] | None
) -> Explanation:
    mode = mode or ("predict" if model._compiled is None else "train")
    batch = model._usual_batch
    if batch_size is not None:
        batch = whole("explain", "batch_size", batch_size, 1)
    program = model.program(mode, batch)
    found = []
    for i in program.instructions:
        choice = consider(i.op, i.pass_name, i.specs, i.params, program.policy)
        if i.row is not choice.row:  # only as a part of the program
            chosen = next(c for c in choice.candidates if c.row is i.row)
            choice = replace(choice, chosen=chosen, why=SHARES)
        if i.layer in names if names is not None else choice.open:
            found.append((i.layer, choice))
    return Explanation(title, mode, batch, _machine(model.device), tuple(found))


def _machine(device: str) -> str:
    if device == "cuda":
        return str(cuda.require().device_info()["name"])
    threads = _core.num_threads()
    return f"{_core.isa()}, {threads} thread{'s' if threads > 1 else ''}"
