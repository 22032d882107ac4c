"""pool2d: its NumPy reference and its error bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convkit.ops.geometry import crop_image, output_size, pad_image, window_slices
from convkit.ops.registry import Array, Context, Params
from convkit.ops.through import through_bound, through_input

__all__ = [
    "average_backward", "average_backward_bound", "average_forward", "average_forward_bound",
    "max_backward", "max_backward_bound", "max_forward", "max_forward_bound", "window_of",
]  # fmt: skip


def window_of(params: Params) -> tuple[int, int]:
    return int(params["window_h"]), int(params["window_w"])


def _size(ctx: Context, image: Sequence[int]) -> tuple[int, int]:
    return output_size("pool2d", (image[1], image[2]), window_of(ctx.params), ctx.params)


def max_forward(ctx: Context, x: Array) -> tuple[Array, Array | None]:
    size, (window_h, window_w) = _size(ctx, x.shape), window_of(ctx.params)
    padded = pad_image(x, ctx.params)
    in_image = pad_image(np.ones((1, *x.shape[1:3], 1), bool), ctx.params, False)
    y = np.zeros((x.shape[0], *size, x.shape[3]))
    argmax = np.full(y.shape, -1)
    for i, j, where in window_slices((window_h, window_w), size, ctx.params):
        candidate = padded[where]
        greater = (candidate > y) | (np.isnan(candidate) & ~np.isnan(y))
        wins = in_image[where] & ((argmax < 0) | greater)
        y = np.where(wins, candidate, y)
        argmax = np.where(wins, i * window_w + j, argmax)
    return y, None if ctx.out[1] is None else argmax


def _spread_maximum(ctx: Context, dy: Array, argmax: Array) -> Array:
    """Each dy where its window's winner is."""
    assert ctx.out[0] is not None
    window = window_of(ctx.params)
    padded = pad_image(np.zeros(ctx.out[0].shape), ctx.params)
    for i, j, where in window_slices(window, (dy.shape[1], dy.shape[2]), ctx.params):
        padded[where] += np.where(argmax == i * window[1] + j, dy, 0)
    return crop_image(padded, ctx.params)


def max_backward(ctx: Context, dy: Array, argmax: Array, x: Array | None) -> tuple[Array]:
    return (through_input(ctx, _spread_maximum(ctx, dy, argmax), x),)


def _divisor(ctx: Context, image: Sequence[int]) -> Array:
    """By what each window's sum is divided, (1, P, Q, 1)."""
    size, window = _size(ctx, image), window_of(ctx.params)
    inside = np.ones((1, image[1], image[2], 1))
    counted = pad_image(inside, ctx.params, 1.0 if ctx["count_include_pad"] else 0.0)
    count = np.zeros((1, *size, 1))
    for _, _, where in window_slices(window, size, ctx.params):
        count += counted[where]
    return count


def average_forward(ctx: Context, x: Array) -> tuple[Array]:
    size = _size(ctx, x.shape)
    padded = pad_image(x, ctx.params)
    total = np.zeros((x.shape[0], *size, x.shape[3]))
    for _, _, where in window_slices(window_of(ctx.params), size, ctx.params):
        total += padded[where]
    return (total / _divisor(ctx, x.shape),)


def _spread_average(ctx: Context, dy: Array) -> Array:
    """Each dy's shares where its window is."""
    assert ctx.out[0] is not None
    share = dy / _divisor(ctx, ctx.out[0].shape)
    padded = pad_image(np.zeros(ctx.out[0].shape), ctx.params)
    for _, _, where in window_slices(window_of(ctx.params), (dy.shape[1], dy.shape[2]), ctx.params):
        padded[where] += share
    return crop_image(padded, ctx.params)


def average_backward(ctx: Context, dy: Array, x: Array | None) -> tuple[Array]:
    return (through_input(ctx, _spread_average(ctx, dy), x),)


def _shares(ctx: Context, dy: Array) -> Array:
    """How many windows a pixel is in, (1, H, W, 1)."""
    assert ctx.out[0] is not None
    padded = pad_image(np.zeros((1, *ctx.out[0].shape[1:3], 1)), ctx.params)
    for _, _, where in window_slices(window_of(ctx.params), (dy.shape[1], dy.shape[2]), ctx.params):
        padded[where] += 1
    return crop_image(padded, ctx.params)


# Maxima are copies. A sum of n shares has n - 1 roundings in the kernel and, where the kernel works
# in float64, as many in the reference; none for one share, which is a copy (and, as everywhere, a
# denormal share may be 0).
def max_forward_bound(ctx: Context, x: Array) -> tuple[Any, Any]:
    return 0, 0


def max_backward_bound(ctx: Context, dy: Array, argmax: Array, x: Array | None) -> tuple[Any]:
    roundings = 2 * np.maximum(_shares(ctx, dy) - 1, 0)
    bound = roundings * _spread_maximum(ctx, np.abs(dy), argmax)
    return (through_bound(ctx, _spread_maximum(ctx, dy, argmax), bound, x),)


# n - 1 additions, and a division or a product with a rounded reciprocal.
def average_forward_bound(ctx: Context, x: Array) -> tuple[Any]:
    window_h, window_w = window_of(ctx.params)
    return ((window_h * window_w + 2) * average_forward(ctx, np.abs(x))[0],)


def average_backward_bound(ctx: Context, dy: Array, x: Array | None) -> tuple[Any]:
    bound = (2 * _shares(ctx, dy) + 2) * _spread_average(ctx, np.abs(dy))
    return (through_bound(ctx, _spread_average(ctx, dy), bound, x),)
