"""The graph of a model: nodes are what layers return when they are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convkit.layers.base import Layer
    from convkit.models.model import Model

Shape = tuple[int | None, ...]


@dataclass(eq=False)
class Node:
    """The output of a layer, without values: a shape and where it comes from.

    Attributes
    ----------
    shape : tuple of int or None
        With the batch axis, which is None.
    dtype : str
    layer : Layer
    call : Call or None
        The use of the layer that this is an output of; None for an `InputLayer`.
    """

    shape: Shape
    dtype: str
    layer: Layer
    call: Call | None = None

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The nodes that its layer read; none of an `InputLayer`."""
        return () if self.call is None else self.call.inputs

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __repr__(self) -> str:
        return f"<Node {self.shape} of layer {self.layer.name!r}>"


class Call:
    """One use of a layer in a model.

    Parameters
    ----------
    layer : Layer
    inputs : tuple of Node
    shapes : sequence of Shape
        Of the outputs.
    dtype : str
    inference : bool
        Whether the layer works as in prediction here, even while the model is trained.

    Attributes
    ----------
    outputs : tuple of Node
        One for most layers.
    """

    def __init__(
        self,
        layer: Layer,
        inputs: tuple[Node, ...],
        shapes: Sequence[Shape],
        dtype: str = "float32",
        inference: bool = False,
    ) -> None:
        self.layer = layer
        self.inference = inference
        self.inputs = inputs
        self.outputs = tuple(Node(shape, dtype, layer, self) for shape in shapes)


def apply(layer: Layer, inputs: Sequence[Node], inference: bool = False) -> list[Node]:
    """The outputs of a layer at one more place.

    Parameters
    ----------
    layer : Layer
    inputs : sequence of Node
    inference : bool
        See `Call`.
    """
    several = layer.takes_list or len(inputs) != 1
    result = layer(list(inputs) if several else inputs[0])
    outputs = result if isinstance(result, list) else [result]
    if inference:
        outputs[0].call.inference = True
    return outputs


def nodes_of(model: Model) -> list[Node]:
    """A model's nodes: its inputs, then the outputs of each call. Files number them like this."""
    return [*model.inputs, *(node for call in model.calls for node in call.outputs)]


def batch_size(nodes: Sequence[Node]) -> int | None:
    """The batch size that some input behind these nodes fixes, or None."""
    seen: set[int] = set()
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if node.call is None and node.layer.batch_size is not None:
            return node.layer.batch_size
        stack.extend(node.inputs)
    return None


def sort(inputs: Sequence[Node], outputs: Sequence[Node]) -> list[Call]:
    """The calls between inputs and outputs, each after those that it reads.

    Parameters
    ----------
    inputs, outputs : sequence of Node

    Returns
    -------
    list of Call
        In depth-first order from the first output; calls that no output reads are left out.

    Raises
    ------
    ValueError
        If an output depends on an input that is not among `inputs`.
    """
    done = {id(node) for node in inputs}
    calls: list[Call] = []
    stack: list[tuple[Node, bool]] = [(node, False) for node in reversed(outputs)]
    while stack:  # not recursive: models may be deep
        node, ready = stack.pop()
        if id(node) in done:
            continue
        if node.call is None:
            raise ValueError(
                f"an output of the model depends on input {node.name!r} {node.shape}, which is not "
                f"among its inputs ({', '.join(repr(n.name) for n in inputs)}); add it to inputs="
            )
        if ready:
            done.update(id(n) for n in node.call.outputs)
            calls.append(node.call)
        else:
            stack.append((node, True))
            stack.extend((n, False) for n in reversed(node.inputs))
    return calls


def check_differentiable(calls: Sequence[Call]) -> None:
    """Refuse a layer without gradient between trainable weights and the loss.

    Raises
    ------
    ValueError
    """
    trained: dict[int, str] = {}  # a node, and the first layer with trainable weights before it
    for call in calls:
        before = next((trained[id(n)] for n in call.inputs if id(n) in trained), None)
        for layer in call.layer.sequence:
            own = layer.name if layer.trainable_weights else None
            activation = layer.own_activation
            if activation is not None and not activation.differentiable and (before or own):
                raise ValueError(
                    f"{layer.title}: {activation.kind} has no derivative to train by, and the "
                    f"weights of layer {before or own!r} before it are to be trained; set "
                    "trainable = False on those, or use sigmoid, or models.Perceptron"
                )
            if before is not None and not layer.differentiable:
                raise ValueError(
                    f"{layer.title} has no gradient, and the weights of layer {before!r} before "
                    "it are to be trained; give it gradient=, move it before all layers with "
                    "weights, or set trainable = False on those"
                )
            before = before or own
        if before is not None:
            trained.update((id(n), before) for n in call.outputs)
