"""Calls of augment: shapes, parameters and data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convkit.ops.augment import CENTRE, FILL_MODES, augment_params
from convkit.ops.registry import Spec, Step
from convkit.testing.calls import Call, Shape, distinct
from convkit.testing.named_layers import CONV_LAYERS

STEP = Step(step=3, seed=0xDEADBEEF00C0FFEE)
# Kind and options; numbers of about half of the images flip them, and so on.
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "both flips": ("flip", {"height": (0, 1), "width": (0, 1)}),
    "whole pixels": ("shift", {"height": (-0.4, 0.5), "width": (-0.7, 0.3),
                               "interpolation": "nearest", "fill_mode": "constant",
                               "fill_value": 0.3}),
    "between pixels": ("shift", {"height": (-0.6, 0.4), "width": (-0.4, 0.6)}),
    "columns only": ("shift", {"width": (-0.3, 0.3), "fill_mode": "constant", "fill_value": -1.7}),
    "rows only": ("shift", {"height": (-1, 1), "fill_mode": "constant", "fill_value": 0.1}),
    "over the edge": ("shift", {"height": (-1, 1), "width": (-1, 1), "fill_mode": "wrap"}),
    "smaller": ("zoom", {"height": (0, 2.5), "width": (0, 1.5), "fill_mode": "nearest"}),
    "larger": ("zoom", {"height": (-0.8, 0), "width": None, "interpolation": "nearest"}),
    "any size": ("zoom", {"height": (-0.5, 1), "width": None, "fill_mode": "constant"}),
    "turned": ("rotate", {"height": (-0.5, 0.5), "width": None}),
    "turned, nearest": ("rotate", {"height": (0.1, 0.2), "interpolation": "nearest",
                                   "fill_mode": "constant", "fill_value": 2.0}),
}  # fmt: skip
SHAPES: dict[str, Shape] = {
    "size 1": (1, 1, 1, 1),
    "primes": (3, 7, 5, 11),
    "grey": (5, 6, 9, 1),
    "colours": (4, 8, 8, 3),
    "squares and rests": (2, 19, 17, 5),
    "one row": (2, 1, 9, 2),
    "one column": (2, 9, 1, 17),
    "33 channels": (1, 4, 3, 33),
    "empty batch": (0, 4, 4, 3),
    "no channels": (2, 4, 4, 0),
}


def augment(name: str, shape: Shape, kind: str, **options: Any) -> list[Call]:
    """Both passes for images (N, H, W, C)."""
    x, params = Spec(shape), augment_params(kind, stream=5, **options)
    forward = Call(name, "augment", "forward", (x,), params, step=STEP)
    y = tuple(forward.outputs())
    return [forward, Call(name, "augment", "backward", y, params, (x,), step=STEP)]


def named_augment(shape_of: Callable[[Any], Shape]) -> list[Call]:
    """What is done to the images of real networks."""
    first = [c for c in CONV_LAYERS if c.c <= 3]
    found = []
    for layer in distinct(first, shape_of):
        x = shape_of(layer)
        of = f"of {layer.name.partition('.')[0]}, {x[1]} x {x[2]}, batch {x[0]}"
        tenth = (-0.1, 0.1)
        found += augment(f"flip {of}", x, "flip", width=(0, 1))
        found += augment(f"shift {of}", x, "shift", height=tenth, width=tenth)
        found += augment(
            f"whole shift {of}", x, "shift", height=tenth, width=tenth, interpolation="nearest",
            fill_mode="constant",
        )  # fmt: skip
        found += augment(f"zoom {of}", x, "zoom", height=tenth, width=None)
        found += augment(f"rotate {of}", x, "rotate", height=(-0.05, 0.05), width=None)
    return found


def awkward_augment() -> list[list[Call]]:
    """Shapes that kernels trip over, and everything that the op can do."""
    found = [
        augment(f"{name}, {what}", shape, kind, **options)
        for name, shape in SHAPES.items()
        for what, (kind, options) in OPTIONS.items()
    ]
    edges = [
        augment(f"{mode}, {kind}", (3, 5, 4, 3), kind, height=(-0.9, 0.9), width=(-0.9, 0.9),
                interpolation=interpolation, fill_mode=mode, fill_value=0.7)
        for kind in ("shift", "zoom", "rotate")
        for interpolation in ("nearest", "bilinear")
        for mode in FILL_MODES
    ]  # fmt: skip
    crops = [
        augment(f"crop {size}", (5, 7, 8, 3), "crop", height=(0, 1), width=(0, 1), size=size)
        for size in ((1, 1), (3, 8), (7, 5), (7, 8), (6, 7))
    ]
    middle: Any = {"height": (CENTRE, CENTRE), "width": None}
    return [*found, *edges, *crops, augment("middle", (2, 5, 6, 1), "crop", size=3, **middle)]
