"""Layers of several inputs."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.layers.base import Layer

if TYPE_CHECKING:
    from convkit.models.graph import Node, Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["Add", "Concatenate", "add", "concatenate"]


class _Merge(Layer):
    takes_list = True

    def build(self, input_shape: Any) -> None:
        if not isinstance(input_shape, list) or len(input_shape) < 2:
            raise ValueError(f"{self.title} takes a list of at least two inputs")

    def _merge_masks(self, builder: Builder, inputs: list[Value], y: Value) -> None:
        """Of inputs with the same steps: a step counts that counts in any of them."""
        masks = list(dict.fromkeys(builder.mask(x) for x in inputs))
        known = [mask for mask in masks if mask is not None]
        if len(known) < len(masks) or len(known) == 1:
            builder.set_mask(y, masks[0] if len(masks) == 1 else None)
            return
        count = builder.mask_numbers(known[0])  # of the inputs in which a step counts
        for mask in known[1:]:
            more = builder.emit("add", "forward", [count, builder.mask_numbers(mask)])[0]
            assert more is not None
            count = more
        builder.set_mask(y, builder.found_mask(count))


class Add(_Merge):
    """Sum of inputs of equal shapes.

    Parameters
    ----------
    **kwargs
        Common arguments of `Layer`.

    Notes
    -----
    As in Keras 3 a step of sequences counts if the mask of any input says so, and every step
    counts if an input has no mask.
    """

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return functools.reduce(lambda a, b: self.infer("add", "forward", [a, b], {}), input_shape)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        total = inputs[0]
        for x in inputs[1:]:
            y = builder.emit("add", "forward", [total, x])[0]
            assert y is not None
            total = y
        self._merge_masks(builder, inputs, total)
        return total


class Concatenate(_Merge):
    """Join inputs along one axis.

    Parameters
    ----------
    axis : int
        Not the batch axis, 0.
    **kwargs
        Common arguments of `Layer`.

    Notes
    -----
    Masks of sequences are combined as `Add` does it, or, where the axis is that of the steps, 1,
    joined as the sequences are.
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
        if params["axis"] == 1:
            self._join_masks(builder, inputs, y)
        else:
            self._merge_masks(builder, inputs, y)
        return y

    def _join_masks(self, builder: Builder, inputs: list[Value], y: Value) -> None:
        """Of inputs one after the other in time; without a mask all steps count."""
        masks = [builder.mask(x) for x in inputs]
        if len(y.spec.shape) < 3 or all(mask is None for mask in masks):
            return
        numbers = [
            builder.constant(f"{self.name}.steps", np.ones(x.spec.shape[:2]))
            if mask is None
            else builder.mask_numbers(mask)
            for x, mask in zip(inputs, masks)
        ]
        joined = builder.emit("concatenate", "forward", numbers, {"axis": 1})[0]
        assert joined is not None
        builder.set_mask(y, builder.found_mask(joined))


def add(inputs: Sequence[Node], **kwargs: Any) -> Node:
    """Sum of nodes; see `Add`."""
    node: Node = Add(**kwargs)(list(inputs))
    return node


def concatenate(inputs: Sequence[Node], axis: int = -1, **kwargs: Any) -> Node:
    """Nodes joined along one axis; see `Concatenate`."""
    node: Node = Concatenate(axis, **kwargs)(list(inputs))
    return node
