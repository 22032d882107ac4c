"""What the memory of a model comes to, before it has any."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from convkit.checks import whole
from convkit.models.objective import BLOCK, places
from convkit.ops.registry import Spec
from convkit.optimizers import FullBatch, LevenbergMarquardt
from convkit.program import compile_program
from convkit.program.compile import check_mode
from convkit.program.memory import MemoryEstimate, estimate
from convkit.run.store import NoValues, Outline

__all__ = ["memory_of"]


def memory_of(model: Any, mode: str, batch: int) -> MemoryEstimate:
    """The estimate behind `memory_estimate`; a model without weights stays without.

    Raises
    ------
    TypeError, ValueError
        If the mode is unknown, or the batch size is no whole number of at least 1.
    """
    check_mode("memory_estimate", mode)
    batch = whole("[memory_estimate]", "batch_size", batch, 1)
    try:
        with _outlined(model):
            return _estimated(model, mode, batch)
    except NoValues:  # a layer looks at its weights to say what it computes
        return _estimated(model, mode, batch)


@contextmanager
def _outlined(model: Any) -> Iterator[None]:
    """Lay out the weights of a model that has none, without memory for them."""
    members = model.parameters
    if not members or model.built or any(p.store is not None for p in members):
        yield
        return
    model._store = Outline(members)
    for p in members:
        p.store = model._store
    try:
        yield
    finally:
        for p in members:
            p.store = None
        model._store = model._loop = None


def _estimated(model: Any, mode: str, batch: int) -> MemoryEstimate:
    if mode == "train":
        optimizer = model._require_compiled("memory_estimate").optimizer
        if isinstance(optimizer, FullBatch):
            return _of_all_data(model, optimizer, batch)
    return estimate(model.program(mode, batch))


def _of_all_data(model: Any, optimizer: FullBatch, chunk: int) -> MemoryEstimate:
    """Of an optimizer of all the data, which goes through it in chunks, in a copy of the store."""
    compiled = model._require_compiled("memory_estimate")
    target = model.program("evaluate", chunk).externals["y"].spec
    program = compile_program(
        model,
        "train",
        chunk,
        inputs=[Spec(tuple(node.shape[1:]), node.dtype) for node in model.inputs],
        dtype=optimizer.dtype,
        target=Spec(target.shape[1:], target.dtype),
        loss=compiled.loss,
        metrics=model.metrics,
        regularizer=compiled.regularizer,
        policy=model._policy,
    )
    found = estimate(program)
    count, item = model.store.count, 4 if optimizer.dtype == "float32" else 8
    size = sum(n for _, n in places(model))
    jacobian = 0
    if isinstance(optimizer, LevenbergMarquardt):
        # Rows, as a list and together; there are but three matrices then.
        rows = min(BLOCK, chunk * math.prod(model.output_shape[1:]))
        jacobian = max(0, 2 * 8 * size * rows - 8 * size * size)
    return replace(
        found,
        # The model's own, and the copy that is computed with.
        parameters=4 * count + item * count,
        # The same, and their sum over the chunks.
        gradients=4 * count + item * count + 8 * count,
        # Beside it, the weights as they were before the iteration and as it left them.
        optimizer=optimizer.held(size) + jacobian + 2 * 4 * count,
    )
