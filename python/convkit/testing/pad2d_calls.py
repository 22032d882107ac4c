"""Calls of pad2d: shapes, parameters and data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convkit.ops.geometry import Padding
from convkit.ops.pad2d import pad2d_params
from convkit.ops.registry import Spec
from convkit.testing.calls import Call, Shape, distinct
from convkit.testing.named_layers import LENET_CONV, VGG16_CONV

SHAPES: dict[str, tuple[Shape, Padding]] = {
    "size 1": ((1, 1, 1, 1), 1),
    "primes": ((3, 11, 13, 7), (3, 5)),
    "four sides": ((2, 6, 7, 3), ((2, 0), (1, 4))),
    "8 channels": ((2, 6, 7, 8), ((2, 0), (1, 4))),
    "nothing": ((2, 4, 5, 3), 0),
    "rows only": ((2, 4, 5, 17), (3, 0)),
    "columns only": ((1, 4, 5, 2), ((0, 0), (0, 3))),
    "more than the image": ((1, 2, 3, 5), ((7, 9), (8, 6))),
    "empty batch": ((0, 4, 4, 3), 1),
    "no channels": ((2, 4, 4, 0), 1),
}


def pad2d(name: str, shape: Shape, padding: Padding) -> list[Call]:
    """Both passes for images (N, H, W, C)."""
    params = pad2d_params(padding)
    forward = Call(name, "pad2d", "forward", (Spec(shape),), params)
    return [forward, Call(name, "pad2d", "backward", tuple(forward.outputs()), params)]


def named_pad2d(shape_of: Callable[[Any], Shape]) -> list[Call]:
    """What a ZeroPadding2D before the convolutions of real networks would do."""
    found = []
    for layer in distinct((*LENET_CONV, *VGG16_CONV), shape_of):
        x = shape_of(layer)
        found += pad2d(f"{layer.name}, batch {x[0]}", x, 2 if layer.size == 5 else 1)
    return found


def awkward_pad2d() -> list[list[Call]]:
    """Shapes that kernels trip over."""
    return [pad2d(name, *shape) for name, shape in SHAPES.items()]
