"""Calls of upsample2d: shapes, parameters and data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convkit.ops.geometry import Pair
from convkit.ops.registry import Spec
from convkit.ops.upsample2d import INTERPOLATIONS, upsample2d_params
from convkit.testing.calls import Call, Shape, distinct
from convkit.testing.named_layers import POOL_LAYERS

SHAPES: dict[str, tuple[Shape, Pair]] = {
    "size 1": ((1, 1, 1, 1), 1),
    "one pixel": ((2, 1, 1, 3), 4),
    "primes": ((3, 5, 7, 11), (3, 2)),
    "as it is": ((2, 4, 5, 3), 1),
    "rows only": ((2, 4, 5, 17), (5, 1)),
    "columns only": ((1, 4, 5, 2), (1, 4)),
    "33 channels": ((1, 3, 4, 33), 2),
    "one row": ((2, 1, 6, 4), (2, 3)),
    "empty batch": ((0, 4, 4, 3), 2),
    "no channels": ((2, 4, 4, 0), 2),
}


def upsample2d(name: str, shape: Shape, size: Pair, interpolation: str) -> list[Call]:
    """Both passes for images (N, H, W, C)."""
    x, params = Spec(shape), upsample2d_params(size, interpolation)
    forward = Call(name, "upsample2d", "forward", (x,), params)
    y = tuple(forward.outputs())
    return [forward, Call(name, "upsample2d", "backward", y, params, (x,))]


def named_upsample2d(shape_of: Callable[[Any], Shape]) -> list[Call]:
    """What would undo the poolings of real networks."""
    pooled = [layer._replace(h=layer.h // 2, w=layer.w // 2) for layer in POOL_LAYERS]
    found = []
    for layer in distinct(pooled, shape_of):
        x = shape_of(layer)
        for kind in INTERPOLATIONS:
            found += upsample2d(f"{kind} after {layer.name}, batch {x[0]}", x, 2, kind)
    return found


def awkward_upsample2d() -> list[list[Call]]:
    """Shapes that kernels trip over."""
    return [
        upsample2d(f"{name}, {kind}", *shape, kind)
        for name, shape in SHAPES.items()
        for kind in INTERPOLATIONS
    ]
