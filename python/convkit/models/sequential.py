"""A chain of layers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from convkit.layers.base import Layer
from convkit.layers.input import InputLayer
from convkit.models.graph import Node
from convkit.models.model import Model

__all__ = ["Sequential"]


class Sequential(Model):
    """A chain of layers, each fed by the one before.

    Parameters
    ----------
    layers : iterable of Layer, Input or Model, optional
    name : str, optional

    Examples
    --------
    >>> import convkit as ck
    >>> model = ck.Sequential([ck.Input((28, 28, 1)), ck.layers.Conv2D(32, 3), ck.layers.Flatten()])
    >>> model.output_shape
    (None, 21632)
    """

    def __init__(self, layers: Iterable[Any] | None = None, name: str | None = None) -> None:
        self._chain: list[Layer] = []
        # The input's, then one per layer; empty until a shape is known.
        self._nodes: list[Node] = []
        self._begin(name)
        if isinstance(layers, Layer | Node | Model):
            layers = [layers]
        for layer in layers or ():
            self._append(layer)
        self._connect()

    def add(self, layer: Any) -> None:
        """Append a layer.

        Parameters
        ----------
        layer : Layer, Input or Model

        Raises
        ------
        TypeError
            If it is none of these.
        ValueError
            If its shapes do not fit; the model is unchanged then.
        """
        self._refuse_while_running()
        self._append(layer)
        self._connect()

    def pop(self) -> Layer:
        """Remove the last layer and return it."""
        self._refuse_while_running()
        if not self._chain:
            raise IndexError(f"model {self.name!r} has no layer to pop")
        if self._nodes:
            self._nodes.pop()
        layer = self._chain.pop()
        if not self._chain and layer.input_shape is not None:
            self._nodes = []
        self._connect()
        return layer

    def build(self, input_shape: Sequence[int | None] | None = None) -> None:
        """Allocate and initialise the weights.

        Parameters
        ----------
        input_shape : tuple, optional
            With the batch axis, such as (None, 28, 28, 1); needed where no layer has given it.

        Raises
        ------
        ValueError
            If no shape is known.
        """
        if not self._nodes:
            if input_shape is None:
                raise ValueError(
                    f"model {self.name!r} does not know its input's shape yet: begin it with "
                    "Input((28, 28, 1)), give the first layer input_shape=(28, 28, 1), or call "
                    "model.build((None, 28, 28, 1))"
                )
            shape = tuple(n for n in input_shape[1:] if n is not None)
            self._start(InputLayer(shape))
            self._connect()
        super().build()

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the input's."""
        return list(self._chain)

    def _append(self, layer: Any) -> None:
        if isinstance(layer, type) and issubclass(layer, Layer):
            raise TypeError(f"add an instance, not the class: {layer.__name__}(...)")
        if isinstance(layer, Node) and isinstance(layer.layer, InputLayer):
            layer = layer.layer
        if isinstance(layer, InputLayer):
            if self._nodes or self._chain:
                raise ValueError("an Input comes first in a Sequential model, and only once")
            self._start(layer)
        elif isinstance(layer, Model):
            self._append_model(layer)
        elif isinstance(layer, Layer):
            self._append_layer(layer)
        else:
            raise TypeError(
                f"a Sequential model takes layers, Input(...) and models, got "
                f"{type(layer).__name__}: {layer!r}; functions go into layers.Activation(...)"
            )

    def _append_layer(self, layer: Layer) -> None:
        if any(layer.name == other.name and layer is not other for other in self._chain):
            raise ValueError(
                f"model {self.name!r} already has a layer {layer.name!r}; give one of them another "
                "name="
            )
        begun = bool(self._nodes)
        if not begun and not self._chain and layer.input_shape is not None:
            self._start(InputLayer(layer.input_shape, layer._input_batch))
        if self._nodes:
            try:
                self._nodes.append(_single(layer, layer(self._nodes[-1])))
            except Exception:
                if not begun:
                    self._nodes.clear()
                raise
        self._chain.append(layer)

    def _append_model(self, model: Model) -> None:
        if any(call.inference for call in model.calls):
            raise ValueError(
                f"model {model.name!r} has layers called with training=False and cannot be part of "
                "a Sequential model; call it on a node: outputs = model(Input(shape)), then "
                "Model(inputs, outputs)"
            )
        if isinstance(model, Sequential):
            chain = model.layers
        else:
            chain = [call.layer for call in model.calls]
            before = [*model.inputs, *(call.outputs[0] for call in model.calls)]
            if len(model.inputs) + len(model.outputs) != 2 or any(
                call.inputs != (node,) for call, node in zip(model.calls, before)
            ):
                raise ValueError(
                    f"model {model.name!r} branches and cannot be part of a Sequential model; call "
                    "it on a node: outputs = model(Input(shape)), then Model(inputs, outputs)"
                )
        if model.inputs and not self._nodes and not self._chain:
            first = model.inputs[0].layer
            assert isinstance(first, InputLayer)
            self._start(InputLayer(first.shape, first.batch_size, first.declared))
        for layer in chain:
            self._append_layer(layer)

    def _start(self, layer: InputLayer) -> None:
        nodes = [layer.node]
        for member in self._chain:
            nodes.append(_single(member, member(nodes[-1])))
        self._nodes = nodes

    def _set_chain(self, chain: list[Layer], nodes: list[Node]) -> None:
        """Become the chain of these layers, whose nodes these are."""
        one_by_one = all(node.inputs == (before,) for before, node in pairwise(nodes))
        if nodes and not (len(nodes) == len(chain) + 1 and one_by_one):
            raise ValueError(f"model {self.name!r} is a Sequential, and its layers are no chain")
        self._chain, self._nodes = chain, nodes
        self._connect()

    def _restore_chain(self, nodes: list[Node]) -> None:
        self._nodes = nodes

    def _connect(self) -> None:
        """Tell the model which graph it has now."""
        if self._nodes and self._chain:
            self._set_graph(self._nodes[:1], self._nodes[-1:])
        else:
            self._set_graph(self._nodes[:1], [])


def _single(layer: Layer, output: Any) -> Node:
    """The one output of a layer in a chain."""
    if isinstance(output, list):
        raise ValueError(
            f"{layer.title} has {len(output)} outputs, and a Sequential model passes one on; make "
            "a Model(inputs, outputs) of nodes"
        )
    assert isinstance(output, Node)
    return output
