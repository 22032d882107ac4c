"""One training step of a model on a copy of its state, to be looked at from all sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from convkit.cuda.array import asarray, on_gpu
from convkit.models.data import check_samples
from convkit.ops.registry import Array, Step
from convkit.program import compile_program
from convkit.program.program import Program
from convkit.program.terms import term_of
from convkit.random import current_seed
from convkit.run.store import Store

if TYPE_CHECKING:
    from convkit.models.model import Model


@dataclass(frozen=True)
class Probe:
    """A program, the data of one step, and a store of its own.

    Attributes
    ----------
    program : Program
    store : Store
        A copy: nothing that is done to it reaches the model.
    data : mapping of str to ndarray
    step : Step
    loss_scale : float
        The total of the error times this, and the terms of the loss, are what the gradients are of.
    """

    program: Program
    store: Store
    data: Mapping[str, Array]
    step: Step
    loss_scale: float

    def objective(self, sums: Array) -> float:
        """What the gradients are of, from the readouts of one step."""
        total, at = 0.0, 0
        for name, value in self.program.readouts.items():
            if name == "loss":
                total += float(sums[at]) * self.loss_scale
            elif term_of(name) is not None:
                total += float(sums[at])
            at += value.spec.size
        return total


def probe(
    model: Model,
    x: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    dtype: str = "float32",
    update: bool = True,
    verb: str = "probe",
    device: str | None = None,
) -> Probe:
    """Compile the training step of a model for one batch.

    Parameters
    ----------
    model : Model
        Compiled.
    x, y : array_like
        The batch.
    sample_weight : array_like, optional
    dtype : str
        To compute in.
    update : bool
        Whether the step ends in the optimizer's update.
    verb : str
        Who asks, for messages.
    device : {"cpu", "cuda"}, optional
        Whose kernels to choose; by default those of the model's.

    Returns
    -------
    Probe

    Raises
    ------
    NotCompiledError
        If the model has not been compiled.
    ValueError
        If there are no samples, or the data does not fit.
    """
    compiled = model._require_compiled(verb)
    model._prepare(verb, x, compiled)
    samples = check_samples(verb, model, x, y, sample_weight, loss=compiled.loss)
    if not samples.count:
        raise ValueError(f"[{verb}] x is empty: give one batch of samples")
    optimizer = compiled.optimizer
    program = compile_program(
        model,
        "train",
        samples.count,
        inputs=samples.inputs,
        dtype=dtype,
        target=samples.target,
        weighted=samples.weighted,
        indexed=False,
        loss=compiled.loss,
        regularizer=compiled.regularizer,
        optimizer=optimizer if update else None,
        keep_grads=compiled.keep_grads,
        policy=replace(compiled.policy, device=device or model.device),
    )
    store = model.store.copy_as(dtype)
    if update and len(store.slots) != optimizer.slots:
        store.reserve_slots(optimizer.slots, optimizer.initial)
    loss = next(i for i in program.instructions if program.total in i.outputs)
    rate = float(optimizer.rates(optimizer.iterations, 1)[0])
    step = Step(optimizer.iterations, 0, rate, current_seed())
    # One batch, which executors of all devices take.
    data = {k: asarray(a).numpy() if on_gpu(a) else a for k, a in samples.arrays.items()}
    return Probe(program, store, data, step, float(loss.params["scale"]))
