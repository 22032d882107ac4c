"""Calls of transpose: shapes, parameters and data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from convkit.ops.registry import Spec
from convkit.ops.transpose import transpose_params
from convkit.testing.calls import Call, Shape, distinct
from convkit.testing.named_layers import LENET_CONV, VGG16_CONV

SHAPES: dict[str, tuple[Shape, tuple[int, ...]]] = {
    "size 1": ((1,), (0,)),
    "a vector": ((37,), (0,)),
    "a matrix": ((13, 17), (1, 0)),
    "blocks and rests": ((33, 50), (1, 0)),
    "a row": ((1, 40), (1, 0)),
    "planes": ((3, 36, 40), (0, 2, 1)),
    "a narrow matrix": ((50, 3), (1, 0)),
    "primes": ((3, 5, 7, 11), (2, 0, 3, 1)),
    "as it is": ((2, 3, 5), (0, 1, 2)),
    "last axis stays": ((3, 5, 7, 19), (0, 2, 1, 3)),
    "8 channels": ((2, 3, 5, 8), (0, 2, 1, 3)),
    "neighbours stay": ((4, 3, 5, 6), (2, 3, 0, 1)),
    "axes of size 1": ((5, 1, 7, 1), (3, 2, 1, 0)),
    "six axes": ((2, 3, 2, 5, 3, 4), (5, 3, 1, 4, 2, 0)),
    "empty batch": ((0, 3, 4), (0, 2, 1)),
    "an empty axis": ((3, 0, 4), (2, 0, 1)),
}


def transpose(name: str, shape: Shape, axes: Sequence[int]) -> list[Call]:
    """The only pass."""
    return [Call(name, "transpose", "forward", (Spec(shape),), transpose_params(axes))]


def named_transpose(shape_of: Callable[[Any], Shape]) -> list[Call]:
    """Maps of real networks, to and from channels first, and with rows and columns exchanged."""
    orders = {"to NCHW": (0, 3, 1, 2), "from NCHW": (0, 2, 3, 1), "to NWHC": (0, 2, 1, 3)}
    found = []
    for layer in distinct((*LENET_CONV[1:], *VGG16_CONV[1::4]), shape_of):
        x = shape_of(layer)
        for order, axes in orders.items():
            found += transpose(f"{layer.name} {order}, batch {x[0]}", x, axes)
    return found


def awkward_transpose() -> list[list[Call]]:
    """Shapes that kernels trip over."""
    return [transpose(name, *shape) for name, shape in SHAPES.items()]
