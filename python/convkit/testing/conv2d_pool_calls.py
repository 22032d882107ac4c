"""Calls of conv2d_pool: the layers of real networks that a maximum follows, and awkward shapes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from convkit.ops import registry
from convkit.ops.activation_formulas import FROM_OUTPUT, KINDS
from convkit.ops.conv2d_pool import conv2d_pool_params
from convkit.ops.registry import Array, Context, Spec
from convkit.testing.calls import Call, Fill, Shape
from convkit.testing.named_layers import CONV_POOL_LAYERS

AWKWARD: dict[str, tuple[Shape, Shape, dict[str, Any]]] = {
    "size 1": ((1, 1, 1, 1), (1, 1, 1, 1), {"size": 1}),
    "primes": (
        (3, 11, 13, 7),
        (3, 5, 7, 5),
        {"padding": (1, 2), "size": (3, 2), "pool_stride": (2, 3), "pool_padding": (1, 0)},
    ),
    "overlapping": ((2, 9, 10, 5), (3, 3, 5, 17), {"size": 3, "pool_stride": 2, "padding": 1}),
    "overlapping, stride 1": (
        (1, 6, 7, 3),
        (2, 2, 3, 5),
        {"size": 3, "pool_stride": 1, "pool_padding": 1},
    ),
    "stride over window": ((2, 11, 13, 3), (2, 3, 3, 4), {"size": 2, "pool_stride": (3, 4)}),
    "strides": ((2, 17, 19, 3), (5, 5, 3, 16), {"stride": 2, "size": 3, "pool_stride": 2}),
    "rest left over": ((1, 9, 11, 3), (3, 3, 3, 19), {}),
    "uneven padding": (
        (2, 6, 7, 3),
        (3, 4, 3, 5),
        {
            "padding": ((2, 0), (1, 3)),
            "size": 3,
            "pool_stride": 2,
            "pool_padding": ((2, 0), (0, 1)),
        },
    ),
    "same": ((1, 8, 11, 4), (2, 3, 4, 8), {"padding": "same", "pool_padding": "same", "size": 3}),
    "dilation": ((2, 12, 11, 4), (3, 3, 4, 6), {"dilation": (2, 1), "padding": 2}),
    "dilation, both": ((1, 12, 11, 4), (3, 3, 4, 6), {"dilation": 2, "padding": 2}),
    "groups": ((2, 8, 7, 12), (3, 3, 4, 9), {"groups": 3, "padding": 1}),
    "whole image": ((3, 5, 7, 4), (2, 2, 4, 33), {"size": (4, 6)}),
    "256 positions": ((1, 17, 19, 2), (2, 2, 2, 3), {"size": 16, "pool_stride": (1, 2)}),
    "one channel, few filters": ((3, 12, 12, 1), (5, 5, 1, 6), {"padding": 2}),
    "one channel": ((3, 12, 12, 1), (5, 5, 1, 20), {}),
    "empty batch": ((0, 5, 5, 3), (3, 3, 3, 4), {"padding": 1}),
    "15 to 31 channels": ((1, 9, 10, 15), (3, 3, 15, 31), {"padding": 1}),
    "16 to 64 channels": ((2, 8, 8, 16), (3, 3, 16, 64), {"padding": 1}),
    "5 x 5, 65 channels": ((1, 8, 8, 4), (5, 5, 4, 65), {"padding": 2}),
    "long row": ((1, 3, 131, 3), (2, 3, 3, 5), {"padding": ((0, 0), (1, 1))}),
    "more rows than a task": ((1, 40, 24, 5), (3, 3, 5, 32), {"padding": 1}),
    "overlapping, more rows than a task": (
        (2, 41, 24, 5),
        (3, 3, 5, 32),
        {"size": 3, "pool_stride": 2},
    ),
    "no bias": ((2, 6, 7, 5), (3, 3, 5, 9), {"bias": False, "padding": 1}),
}


def _fill(params: Mapping[str, Any], specs: tuple[Spec | None, ...], second: str, dy: Any) -> Fill:
    """Fills the operands of a backward pass: y and winner of a real forward pass."""
    x, w, b, y, winner = specs

    def fill(rng: np.random.Generator) -> list[Array | None]:
        values = [
            None if s is None else rng.standard_normal(s.shape, "f4").astype("f8")
            for s in (x, w, b)
        ]
        forward = registry.get("conv2d_pool")["forward"].reference
        made = forward(Context(params, [y, winner]), *values)
        other = values[0] if second == "x" else values[1]
        given = [dy(rng, y), other, None if made[0] is None else made[0].astype("f4"), made[1]]
        return [*given, None] if second == "w" else given

    return fill


def _normal(rng: np.random.Generator, spec: Spec) -> Array:
    return rng.standard_normal(spec.shape, "f4")


def conv2d_pool(
    name: str, x: Shape, w: Shape, *, bias: bool = True, dy: Any = _normal, **options: Any
) -> list[Call]:
    """The passes for images (N, H, W, C) and filters (KH, KW, C/groups, K).

    `dy(rng, spec)` makes the gradient of y. The backward passes only where the activation's
    derivative comes from its output.
    """
    params = conv2d_pool_params(x, w, **options)
    xs, ws, b = Spec(x), Spec(w), Spec(w[3:]) if bias else None
    forward = Call(name, "conv2d_pool", "forward", (xs, ws, b), params)
    y, winner = forward.outputs()
    calls, specs = [forward], (xs, ws, b, y, winner)
    if params["activation"] in FROM_OUTPUT:
        calls += [
            Call(name, "conv2d_pool", "backward_input", (y, ws, y, winner, None), params, (xs,),
                 fill=_fill(params, specs, "w", dy)),
            Call(name, "conv2d_pool", "backward_weight", (y, xs, y, winner), params, (ws, b),
                 fill=_fill(params, specs, "x", dy)),
        ]  # fmt: skip
    return calls


def named_conv2d_pool(small: bool, batch_of: Any, flops: int) -> list[Call]:
    """Convolutions of real networks with the maximum that follows them, by name."""
    found = []
    for layer, size, stride in CONV_POOL_LAYERS:
        scaled = layer.scaled(flops) if small else layer
        # An image of two windows and a row at least.
        least = (size + stride) * layer.stride + layer.size - 2 * layer.padding
        scaled = scaled._replace(h=max(scaled.h, least), w=max(scaled.w, least))
        n = batch_of(layer.name)
        if small:
            n = min(n, max(1, flops // scaled.flops()))
        name = f"{layer.name} and pool, batch {n}"
        name += f", {scaled.h} x {scaled.w}" if small else ""
        found += conv2d_pool(
            name, (n, scaled.h, scaled.w, scaled.c), scaled.w_shape, size=size, pool_stride=stride,
            stride=scaled.stride, padding=scaled.padding, groups=scaled.groups, activation="relu",
        )  # fmt: skip
    return found


def awkward_conv2d_pool() -> list[list[Call]]:
    """Awkward shapes, and every activation."""
    found = [conv2d_pool(name, x, w, **options) for name, (x, w, options) in AWKWARD.items()]
    x, w = (2, 5, 6, 3), (3, 3, 3, 17)
    for kind in KINDS:
        options: dict[str, Any] = {"size": 3, "pool_stride": 2, "pool_padding": 1}
        if kind != "tanh":
            options = {}
        found.append(conv2d_pool(f"with {kind}", x, w, activation=kind, padding=1, **options))
    return found
