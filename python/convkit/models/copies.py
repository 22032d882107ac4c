"""Copies of models, by pickle and copy.deepcopy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.models.graph import Call, nodes_of

if TYPE_CHECKING:
    from convkit.models.model import Model

__all__ = ["restore", "state_of"]

# Buffers, programs and what follows from the graph.
_NOT_COPIED = (
    "_store", "_offsets", "_parameters", "_layers", "_loop", "_slots_of", "_runs", "_nodes",
    "stopped_by",
)  # fmt: skip


def state_of(model: Model) -> dict[str, Any]:
    """What pickle and copy.deepcopy take of a model."""
    if model._parameters:
        model.build()
    state = dict(model.__dict__)
    for name in _NOT_COPIED:
        state.pop(name, None)
    # By number rather than by reference, as a deep graph would exceed the recursion limit.
    at = {id(node): i for i, node in enumerate(nodes_of(model))}
    state["inputs"] = [node.layer for node in model.inputs]
    state["outputs"] = [at[id(node)] for node in model.outputs]
    state["calls"] = [
        (c.layer, [at[id(n)] for n in c.inputs], [n.shape for n in c.outputs], c.inference)
        for c in model.calls
    ]
    state["built"] = model.built
    state["slots"] = np.array(model.store.slots) if model._has_slots else None
    return state


def restore(model: Model, state: dict[str, Any]) -> None:
    """Make an empty object the model that `state_of` was told."""
    state = dict(state)
    inputs, outputs, calls = (state.pop(name) for name in ("inputs", "outputs", "calls"))
    built, slots = state.pop("built"), state.pop("slots")
    model._begin(state["name"])
    model.__dict__.update(state)
    nodes = [layer.node for layer in inputs]
    for layer, at, shapes, inference in calls:
        inputs_of = tuple(nodes[i] for i in at)
        nodes.extend(Call(layer, inputs_of, shapes, inference=inference).outputs)
    model._set_graph(nodes[: len(inputs)], [nodes[i] for i in outputs])
    model._restore_chain(nodes)
    if built:
        model.build()
    if slots is not None:
        model._adopt(slots)
