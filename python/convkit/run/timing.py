"""The time of one kernel on arrays in place, as it runs in training."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from convkit import _core
from convkit.cuda import native as cuda
from convkit.ops import cost, registry
from convkit.ops.registry import Array, Params, Row, Spec, Step

__all__ = ["aligned", "timer"]


def aligned(spec: Spec) -> Array:
    """An array that begins on a cache line, as in training; it holds zeros."""
    flat = np.frombuffer(memoryview(_core.Buffer(max(spec.nbytes, 64))), np.uint8)
    array: Array = flat[: spec.nbytes].view(spec.dtype).reshape(spec.shape)
    return array


def timer(
    row: Row,
    params: Params,
    inputs: Sequence[Array | None],
    outputs: Sequence[Array | None],
    step: Step | None = None,
) -> Callable[[int], float]:
    """A function that runs the row a number of times and returns the seconds of one.

    Parameters
    ----------
    row : Row
        One of a GPU runs on copies in its memory, which are made here, and is timed there.
    params : mapping
    inputs, outputs : sequence of ndarray or None
        Written to, on the CPU: inputs that the pass updates, and outputs.
    step : Step, optional

    Returns
    -------
    callable
    """
    step = step or Step()
    if row.device == "cuda":
        block = (step.step, step.sample, step.learning_rate, step.seed)
        values = _core.params_bytes(row.op, dict(params))
        call = cuda.require().PlacedCall(
            row.op, row.pass_name, row.name, [*inputs, *outputs], values, block
        )
        return lambda repeats: float(call.seconds(repeats))
    if row.native:
        return _native(row, params, inputs, outputs, step)

    def python(repeats: int) -> float:
        start = time.perf_counter()
        for _ in range(repeats):
            registry.run(row, params, inputs, outputs, step)
        return (time.perf_counter() - start) / repeats

    return python


def _native(
    row: Row,
    params: Params,
    inputs: Sequence[Array | None],
    outputs: Sequence[Array | None],
    step: Step,
) -> Callable[[int], float]:
    """Through the executor, as in training: bound once, its workspace made once."""
    operands = [*inputs, *outputs]
    specs = [None if a is None else Spec(a.shape, a.dtype.name) for a in operands]
    nbytes = row.workspace_bytes(specs, params)
    workspace = aligned(Spec((nbytes,), "uint8"))
    references = [
        None if a is None else (i, 0, a.shape, a.dtype.name) for i, a in enumerate(operands)
    ]
    work = (len(operands), 0, (nbytes,), "uint8") if nbytes else None
    rule = registry.get(row.op)[row.pass_name].flops
    flops = 0 if rule is None else rule(params, specs[: len(inputs)], specs[len(inputs) :])
    seconds = cost.seconds(flops, sum(s.nbytes for s in specs if s is not None))
    instruction = (row.op, row.pass_name, row.name, dict(params), references, work, seconds)
    executor = _core.Executor([instruction], [], [], 1, 1)
    # An absent operand keeps its place, so that the numbers above hold.
    nothing = np.zeros(1, np.uint8)
    buffers = [nothing if a is None else a for a in (*operands, workspace)]
    block = (step.step, step.sample, step.learning_rate, step.seed)
    return lambda repeats: float(executor.profile(buffers, block, repeats).mean())
