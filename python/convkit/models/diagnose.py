"""Where did NaN or infinity come from? Repeats a step kernel by kernel and names the first one."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.errors import NonFiniteError
from convkit.models.feeds import Segment
from convkit.ops import registry
from convkit.ops.registry import Step
from convkit.program.program import PARAMETERS, Value
from convkit.run.executor import Executor
from convkit.run.interpreter import EagerExecutor

__all__ = ["diagnose"]


def _finite(array: Any) -> bool:
    return array.dtype.kind != "f" or bool(np.isfinite(array).all())


def _origin(
    executor: Executor, store: Any, data: Any, step: Step, numbers: Any
) -> tuple[str, str, str]:
    """Layer, pass and a sentence about the first instruction whose result is not finite."""
    program = executor.program
    eager = EagerExecutor(program, store)
    eager.begin(data)
    for instruction in program.instructions[: program.commit]:
        where = f"{instruction.op}.{instruction.pass_name}"
        for value in instruction.inputs:
            if value is None or value.root.buffer != PARAMETERS or _finite(eager.array(value)):
                continue
            text = f"parameter {value.root.name} is not finite"
            return instruction.layer, where, text
        eager.execute(instruction, step)
        updates = len(registry.get(instruction.op)[instruction.pass_name].updates)
        changed = instruction.inputs[len(instruction.inputs) - updates :]
        for output in (*changed, *instruction.outputs):
            if output is None or _finite(eager.array(output)):
                continue
            if instruction.op == "gather_rows":
                text = _bad_input(output, eager, numbers, program.batch, step)
                source = instruction.inputs[0]
                if source is not None and source.spec.dtype != output.spec.dtype == "float32":
                    text += ", or numbers beyond what float32 holds (3.4e38); scale it"
                return "", where, text
            of = f"layer {instruction.layer!r}" if instruction.layer else "the loss"
            return instruction.layer, where, f"{where} of {of} is the first result not finite"
    for guard in program.guards:
        if not guard.holds(eager.array(guard.value)):
            text = (
                f"{guard.value.name} has numbers beyond {guard.limit:.2g}, of which the gradient "
                "of a dense layer's weights could overflow; compile with keep_grads=True to look "
                "at the gradient itself"
            )
            return "", "", text
    return "", "", "repeated kernel by kernel, every result is finite"


def _bad_input(value: Value, eager: EagerExecutor, numbers: Any, batch: int, step: Step) -> str:
    """Which sample of the data set is not finite."""
    array = eager.array(value).reshape(batch, -1)
    row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0]) + step.sample
    sample = row if numbers is None else int(numbers[row])
    return f"the data is not finite: {value.name}[{sample}] holds NaN or infinity"


def diagnose(
    executor: Executor,
    store: Any,
    segment: Segment,
    step: Step,
    epoch: int,
    batch: int,
    way: str = "; lower the learning rate or scale the data",
) -> NonFiniteError:
    """Find out why the loss or a gradient of a step is not finite.

    Parameters
    ----------
    executor : Executor
        That met it; its step changed no parameter.
    store : Store
    segment : Segment
    step : Step
        The step block of that step.
    epoch, batch : int
        Counted from 0.
    way : str
        Out of it, where the data is finite.

    Returns
    -------
    NonFiniteError
        To raise.
    """
    numbers = segment.order if segment.numbers is None else segment.numbers
    layer, where, text = _origin(executor, store, segment.bindings, step, numbers)
    way = "" if text.startswith("the data") else way
    return NonFiniteError(
        f"the loss or a gradient became NaN or infinite in epoch {epoch + 1}, batch {batch + 1}: "
        f"{text}. The weights are those from before this step{way}.",
        epoch,
        batch,
        layer,
        where,
    )
