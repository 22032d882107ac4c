"""Units that start where their activation is flat: a warning before the first step."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from convkit import random
from convkit.losses import Loss
from convkit.models.compiled import Compiled
from convkit.models.data import Samples
from convkit.models.fixed_batch import fixed_batch
from convkit.ops import registry
from convkit.ops.activation_formulas import derivative_from_input, derivative_from_output
from convkit.ops.registry import Array, Step
from convkit.program.builder import Builder
from convkit.program.choose import choose
from convkit.program.lower import external_names, lower
from convkit.program.program import Instruction, Program
from convkit.run.interpreter import EagerExecutor

__all__ = ["flat_layers", "warn_flat_start"]

ROWS = 64  # samples to look at, fewer if they take more than FLOPS
FEWEST = 4  # below, a large model is not looked at
FLOPS = 200_000_000  # some milliseconds: well under a step of a model that takes as many
FLAT = 0.01  # of an activation's largest slope
MOST = 0.8  # share of the units, over all samples
SATURATING = ("sigmoid", "tanh", "scaled_tanh")
LARGE = 16.0  # where sigmoid and tanh have no gradient left
FLAT_ENDS = (*SATURATING, "softsign", "hard_sigmoid", "hardtanh")


class FlatLayer(NamedTuple):
    """A layer that passes hardly any gradient on.

    Attributes
    ----------
    name, kind : str
        Of the layer and its activation.
    share : float
        Of its outputs, over all samples, where the activation is flat.
    """

    name: str
    kind: str
    share: float


def _forward(model: Any, samples: Samples, rows: int) -> Program:
    """The forward pass of training, not fused: each activation is an instruction of its own."""
    program = Program(model.name, "train", rows)
    program.output = lower(model, Builder(program, training=True), samples.inputs, indexed=False)
    program.commit = len(program.instructions)  # what changes states is not run
    return program


def _affordable(model: Any, samples: Samples) -> Program | None:
    """The pass for as many samples as cost little; None if those are too few."""
    rows = fixed_batch(model) or min(ROWS, samples.count)
    if samples.count < rows:
        return None
    program = _forward(model, samples, rows)
    if any(registry.get(i.op).python_only for i in program.instructions):
        return None  # a user's function may cost anything, or count its calls
    if program.flops <= FLOPS:
        return program
    rows = rows * FLOPS // program.flops
    if fixed_batch(model) is not None or rows < FEWEST:
        return None
    return _forward(model, samples, rows)


def _run(model: Any, program: Program, samples: Samples) -> Iterator[tuple[Instruction, Any]]:
    """Run a program on the first samples; yields each instruction once its outputs are there."""
    rows = np.arange(program.batch) if samples.rows is None else samples.rows[: program.batch]
    stretch = slice(int(rows.max()) + 1)  # in order, as they can be had from a GPU
    names = external_names(model)
    data = {  # a stream's arrays have the dtypes of their files
        name: np.ascontiguousarray(np.asarray(samples.arrays[name][stretch])[rows], spec.dtype)
        for name, spec in zip(names, samples.inputs, strict=True)
    }
    choose(program)
    executor = EagerExecutor(program, model.store)
    executor.begin(data)
    for instruction in program.instructions:
        executor.execute(instruction, Step(seed=random.current_seed()))
        yield instruction, executor


def _slopes(instruction: Instruction, executor: EagerExecutor) -> tuple[str, Array] | None:
    """The activation that an instruction applies, and its derivatives there."""
    kind = str(instruction.params.get("activation", "linear"))
    alpha = float(instruction.params.get("alpha", 0.0))
    value, result = instruction.inputs[0], instruction.outputs[0]
    assert value is not None and result is not None
    if (instruction.op, instruction.pass_name) == ("activation", "forward"):
        return kind, derivative_from_input(executor.array(value).astype(np.float64), kind, alpha)
    if (instruction.op, instruction.pass_name) == ("rnn", "simple_forward"):
        return kind, derivative_from_output(executor.array(result).astype(np.float64), kind, alpha)
    return None


def flat_layers(model: Any, samples: Samples, loss: Loss) -> list[FlatLayer]:
    """The layers most of whose units are where their activation is flat, or all of whose ReLUs
    are off for all samples.

    Parameters
    ----------
    model : Model
        Built.
    samples : Samples
        Of which some are looked at, with the present weights, as in training.
    loss : Loss
        A cross-entropy makes up for the slope of the sigmoid before it.

    Returns
    -------
    list of FlatLayer
        Empty for a model that would take long.
    """
    program = _affordable(model, samples)
    if program is None:
        return []
    ends = {value.root for value in program.output} if "cross" in loss.kind else set()
    found = []
    for instruction, executor in _run(model, program, samples):
        made = instruction.outputs[0]
        if made is None or made.root in ends:
            continue
        slopes = _slopes(instruction, executor)
        if slopes is None or not slopes[1].size:
            continue
        kind, slope = slopes
        if kind in FLAT_ENDS:
            steepest = float(derivative_from_input(np.zeros(1), kind)[0])
            share = float((np.abs(slope) < FLAT * steepest).mean())
            if share > MOST:
                found.append(FlatLayer(instruction.layer, kind, share))
        elif kind == "relu" and not slope.any() and _negative(instruction, executor):
            found.append(FlatLayer(instruction.layer, kind, 1.0))
    return found


def _negative(instruction: Instruction, executor: EagerExecutor) -> bool:
    """Whether a ReLU has inputs below 0; nothing but zeros comes from data, not from weights."""
    value = instruction.inputs[0]
    assert value is not None
    return instruction.op == "activation" and bool((executor.array(value) < 0).any())


def _saturating_layer(model: Any) -> tuple[Any, float, float] | None:
    """The layer whose sigmoid or tanh sees scaled input, with the scale and offset before it."""
    scale, offset = 1.0, 0.0
    calls = list(model.calls)
    for at, call in enumerate(calls):
        kind = type(call.layer).__name__
        if kind == "Rescaling":
            factor = float(call.layer.scale)
            scale, offset = scale * factor, offset * factor + float(call.layer.offset)
        if kind == "CategoryEncoding":  # its output is 0 and 1
            return None
        if not call.layer.parameters:
            continue
        function = getattr(call.layer, "activation", None)
        following = calls[at + 1].layer if at + 1 < len(calls) else None
        if getattr(function, "kind", "linear") == "linear" and following is not None:
            function = getattr(following, "function", None)
        if getattr(function, "kind", None) in SATURATING:
            return call.layer, scale, offset
        return None
    return None


def _warn_unscaled(model: Any, samples: Samples, stacklevel: int) -> bool:
    """Warn if raw pixels or the like go into sigmoid or tanh, where they leave no gradient.

    Returns
    -------
    bool
        Whether it warned.
    """
    found = _saturating_layer(model)
    if found is None or not samples.count:
        return False
    layer, scale, offset = found
    first = np.asarray(next(iter(samples.arrays.values()))[:256])  # which may be on a GPU
    largest = max(abs(float(v) * scale + offset) for v in (first.min(), first.max()))
    if LARGE < largest < np.inf:
        warnings.warn(
            f"x has values up to {largest:g}, and layer {layer.name!r} ends in sigmoid or tanh, "
            "which are flat there, so it will hardly learn; scale the data, for pixels x / 255 or "
            "layers.Rescaling(1/255) as the first layer",
            UserWarning,
            stacklevel=stacklevel,
        )
        return True
    return False


def _sentence(layer: FlatLayer, rows: int) -> str:
    if layer.kind == "relu":
        return f"layer {layer.name!r}: all outputs of relu are 0 for the first {rows} samples"
    return f"layer {layer.name!r}: {layer.share:.0%} of the outputs are where {layer.kind} is flat"


def warn_flat_start(model: Any, samples: Samples, compiled: Compiled, stacklevel: int = 3) -> None:
    """Warn if the data, or weights that were never trained, leave layers without gradient.

    Parameters
    ----------
    model : Model
        Built; with `compiled` as its optimizer's owner.
    samples : Samples
    compiled : Compiled
    stacklevel : int
        Of the warnings, as in `warnings.warn`.
    """
    if _warn_unscaled(model, samples, stacklevel + 1) or compiled.optimizer.iterations:
        return
    found = flat_layers(model, samples, compiled.loss)
    if not found:
        return
    rows = min(ROWS, samples.count)
    sentences = "; ".join(_sentence(layer, rows) for layer in found[:3])
    more = f"; {len(found) - 3} more layers likewise" if len(found) > 3 else ""
    initial = "'he_normal'" if found[0].kind == "relu" else "'glorot_uniform'"
    warnings.warn(
        f"hardly any gradient will pass at the start, so the model will hardly learn: {sentences}"
        f"{more}. Begin with smaller weights, kernel_initializer={initial}, and scale the data to "
        "about -1..1",
        UserWarning,
        stacklevel=stacklevel,
    )
