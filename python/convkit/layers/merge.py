"""Layers of several inputs."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convkit.layers.base import Layer

if TYPE_CHECKING:
    from convkit.models.graph import Node, Shape
    from convkit.program.program import Builder, Value

__all__ = ["Add", "Concatenate", "add", "concatenate"]


class _Merge(Layer):
    takes_list = True

    def build(self, input_shape: Any) -> None:
        if not isinstance(input_shape, list) or len(input_shape) < 2:
            raise ValueError(f"{self.title} takes a list of at least two inputs")


class Add(_Merge):
    """Sum of inputs of equal shapes.

    Parameters
    ----------
    **kwargs
        Common arguments of `Layer`.
    """

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return functools.reduce(lambda a, b: self.infer("add", "forward", [a, b], {}), input_shape)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        total = inputs[0]
        for x in inputs[1:]:
            y = builder.emit("add", "forward", [total, x])[0]
            assert y is not None
            total = y
        return total


class Concatenate(_Merge):
    """Join inputs along one axis.

    Parameters
    ----------
    axis : int
        Not the batch axis, 0.
    **kwargs
        Common arguments of `Layer`.
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.axis = int(axis)

    def _axis(self, rank: int) -> int:
        if not -rank < self.axis < rank or self.axis == 0:
            raise ValueError(
                f"{self.title}: axis must be from 1 to {rank - 1} or negative, and not the batch "
                f"axis, got {self.axis}"
            )
        return self.axis % rank

    def compute_output_shape(self, input_shape: Any) -> Shape:
        params = {"axis": self._axis(len(input_shape[0]))}
        return self.infer("concatenate", "forward", input_shape, params)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        params = {"axis": self._axis(len(inputs[0].spec.shape))}
        y = builder.emit("concatenate", "forward", inputs, params)[0]
        assert y is not None
        return y


def add(inputs: Sequence[Node], **kwargs: Any) -> Node:
    """Sum of nodes; see `Add`."""
    node: Node = Add(**kwargs)(list(inputs))
    return node


def concatenate(inputs: Sequence[Node], axis: int = -1, **kwargs: Any) -> Node:
    """Nodes joined along one axis; see `Concatenate`."""
    node: Node = Concatenate(axis, **kwargs)(list(inputs))
    return node
