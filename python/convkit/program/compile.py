"""The six passes in a row: from a model to a program that an executor can run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from convkit.errors import did_you_mean
from convkit.ops.choosing.policy import AS_USUAL, Policy
from convkit.ops.registry import Spec
from convkit.program.absorb import absorb
from convkit.program.allocate import allocate
from convkit.program.builder import Builder
from convkit.program.choose import choose
from convkit.program.differentiate import differentiate
from convkit.program.fuse import fuse
from convkit.program.lower import gather, lower
from convkit.program.program import GRADIENTS, Program, Value
from convkit.program.terms import REGULARIZATION
from convkit.program.update import append_updates, without_gradients

if TYPE_CHECKING:
    from convkit.losses import Loss
    from convkit.metrics import Metric
    from convkit.models.model import Model
    from convkit.optimizers import Optimizer
    from convkit.regularizers import Regularizer

MODES = ("train", "evaluate", "predict")


def check_mode(owner: str, mode: str) -> None:
    """Refuse what programs are not made for.

    Raises
    ------
    ValueError
    """
    if mode not in MODES:
        raise ValueError(f"[{owner}] unknown mode {mode!r}{did_you_mean(mode, MODES)}")


def _targets(
    builder: Builder, prediction: Value, target: Spec, weighted: bool, indexed: bool
) -> tuple[Value, Value | None]:
    """Gather the batch's targets and, where there are any, its sample weights."""
    dtype = "int32" if target.dtype.startswith(("int", "uint")) else builder.program.dtype
    t = gather(builder, "y", target, dtype, target.shape, indexed=indexed)
    rows = prediction.spec.shape[:-1]
    if dtype == "int32":
        t = builder.view(t, rows)
    weight = None
    if weighted:
        source = Spec(tuple(rows[1:]), "float32")  # what the check of the data makes of them
        weight = gather(builder, "weight", source, builder.program.dtype, rows[1:], indexed=indexed)
    return t, weight


def _seeds(builder: Builder) -> list[tuple[Value, Value]]:
    """Where differentiation begins; fusing may have given a loss the logits in place of p."""
    makers = {dp: i for i in builder.program.instructions for dp in i.outputs if dp is not None}
    seeds = []
    for value, gradient in builder.seeds:
        maker = makers[gradient]
        seeds.append((maker.inputs[0] or value if maker.op == "loss" else value, gradient))
    return seeds


def _penalise(builder: Builder, model: Model, regularizer: Regularizer | None) -> None:
    """Append the penalties of the weights that training changes, onto their gradients."""
    written = {
        v.parameter
        for i in builder.program.instructions
        for v in i.outputs
        if v is not None and v.buffer == GRADIENTS
    }
    for p in model.parameters:
        rule = p.regularizer
        if rule is None and len(p.shape) > 1:
            rule = regularizer
        if rule is None or not p.trainable:
            continue
        builder.layer = p.layer
        weight = builder.parameter(p)
        params = {"l1": rule.l1, "l2": rule.l2, "scale": builder.share}
        gradient = Value(f"d.{p.path}", weight.spec, GRADIENTS, weight.offset, parameter=p)
        total: Value | None
        if not builder.differentiated:
            (total,) = builder.emit("penalty", "forward", [weight], params, prefix="r")
        elif p in written:
            (total,) = builder.emit("penalty", "accumulate", [weight, gradient], params, prefix="r")
        else:
            out: list[Spec | Value | None] = [Spec((1,), "float64"), gradient]
            total = builder.emit("penalty", "backward", [weight], params, out=out, prefix="r")[0]
        assert total is not None
        builder.add_term(REGULARIZATION, total)
    builder.layer = ""


def compile_program(
    model: Model,
    mode: str,
    batch: int,
    *,
    inputs: Sequence[Spec],
    dtype: str = "float32",
    target: Spec | None = None,
    weighted: bool = False,
    indexed: bool = True,
    loss: Loss | None = None,
    metrics: Sequence[Metric] = (),
    regularizer: Regularizer | None = None,
    optimizer: Optimizer | None = None,
    share: float = 1.0,
    keep_grads: bool = True,
    policy: Policy = AS_USUAL,
) -> Program:
    """Make the program of a model for one batch size and one mode.

    Parameters
    ----------
    model : Model
        Built, with its store.
    mode : str
        "train" (forward, loss, backward, update), "evaluate" (forward, loss) or "predict".
    batch : int
        Samples per step.
    inputs : sequence of Spec
        Of one sample of each source array: shape without the batch axis, source dtype.
    dtype : str
        To compute in: "float32", or "float64" to check.
    target : Spec, optional
        Of one sample of the targets; an integer dtype means labels.
    weighted : bool
        Whether samples have weights.
    indexed : bool
        Whether samples are taken in the order of an index array.
    loss : Loss, optional
        In modes "train" and "evaluate".
    metrics : sequence of Metric
    regularizer : Regularizer, optional
        Of the weights of two axes and more that have none of their own.
    optimizer : Optimizer, optional
        In mode "train"; without one the program computes gradients and changes nothing.
    share : float
        See `Builder.share`.
    keep_grads : bool
        Whether all gradients can be read after a step. If not, those that only an update would
        read are used up as they are made; the bits are the same.
    policy : Policy
        How kernels are chosen.

    Returns
    -------
    Program

    Raises
    ------
    ValueError
        If a shape does not fit; the message names the layer.
    """
    program = Program(model.name, mode, batch, dtype, policy=policy)
    builder = Builder(program, training=mode == "train", share=share)
    program.output = lower(model, builder, inputs, indexed=indexed)
    if mode == "predict":
        fuse(program)
        _commit(program)
        _finish(program)
        return program
    assert loss is not None and target is not None
    prediction = program.output[0]
    t, weight = _targets(builder, prediction, target, weighted, indexed)
    mean = loss.reduction != "sum"
    counted = builder.masked_weight(prediction, weight, mean=mean)
    program.total, dp = loss.emit(builder, prediction, t, counted, gradient=mode == "train")
    if dp is not None:
        p = program.instructions[-1].inputs[0]
        assert p is not None
        builder.seeds.append((p, dp))
    program.readouts["loss"] = program.total
    for metric in metrics:
        program.readouts[metric.name] = metric.emit(builder, prediction, t, weight)
    program.output = []  # nobody reads the predictions of these modes
    fuse(program)
    if mode == "train":
        differentiate(builder, list(program.instructions), _seeds(builder))
        absorb(program)
    _penalise(builder, model, regularizer)
    if mode == "train" and optimizer is None:
        program.deferred.clear()  # it changes nothing
    if mode != "train":
        optimizer = None
    unkept = [] if optimizer is None or keep_grads else without_gradients(program, optimizer)
    _commit(program)
    if optimizer is not None:
        append_updates(builder, model, optimizer, unkept)
    _finish(program)
    return program


def _commit(program: Program) -> None:
    """From here on parameters change: first what layers keep beside their weights."""
    program.commit = len(program.instructions)
    program.instructions += program.deferred


def _finish(program: Program) -> None:
    choose(program)
    allocate(program)
