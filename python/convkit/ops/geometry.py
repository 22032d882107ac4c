"""Windows that slide over an image: the geometry that conv2d and pool2d share.

Everything is computed in Python integers, which do not overflow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from convkit.ops.apply import as_int
from convkit.ops.registry import Array

__all__ = [
    "Padding", "Pair", "check_padded", "crop_image", "image_shape", "integer", "output_size",
    "pad_image", "pair", "resolve_padding", "shortest_strides", "window_params", "window_slices",
]  # fmt: skip

Pair = int | Sequence[int]
Padding = int | str | Sequence[int] | Sequence[Sequence[int]]

# Sums of a few sizes and products of two fit into 64 bits; of more than two they need not, hence
# `check_padded`.
_LARGEST = (1 << 31) - 1
# Bytes of a padded image in float64. Nobody needs to have it in memory, but positions in it are
# computed.
_LARGEST_PADDED = 1 << 62


def integer(op: str, name: str, value: Any, least: int, wanted: str = "an int") -> int:
    """Return an int of at least `least` (0 or 1) that the native side can take.

    Raises
    ------
    TypeError
        If it is not an int; bools and floats are not.
    ValueError
        If it is out of range.
    """
    number = as_int(op, name, value, wanted)
    if number < least:
        sign = "positive" if least else "non-negative"
        raise ValueError(f"[{op}] {name} must be {sign}, got {value!r}")
    if number > _LARGEST:
        raise ValueError(f"[{op}] {name} must be below 2**31, got {value!r}")
    return number


def pair(op: str, name: str, value: Any, least: int = 1) -> tuple[int, int]:
    """Return an int or a pair of ints, (vertical, horizontal), as a pair.

    Raises
    ------
    TypeError
        If it is neither; bools and floats are not ints.
    ValueError
        If an int is below `least`.
    """
    wanted = "an int or a pair of ints"
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str) and np.ndim(value):
        if len(value) != 2:
            raise ValueError(f"[{op}] {name} must be {wanted}, got {len(value)} values: {value!r}")
        return (
            integer(op, name, value[0], least, wanted),
            integer(op, name, value[1], least, wanted),
        )
    number = integer(op, name, value, least, wanted)
    return number, number


def image_shape(op: str, name: str, shape: Sequence[int]) -> tuple[int, int, int, int]:
    """Check the shape (N, H, W, C) of an image.

    Raises
    ------
    ValueError
        If it has not 4 dimensions, or no pixels.
    """
    shape = tuple(integer(op, f"{name} shape", n, 0, "a tuple of ints") for n in shape)
    if len(shape) != 4:
        way_out = f"; add a batch axis with {name}[None]" if len(shape) == 3 else ""
        if len(shape) == 2:
            way_out = f"; add the other axes with {name}[None, :, :, None]"
        raise ValueError(
            f"[{op}] {name} must have 4 dimensions (N, H, W, C), got {len(shape)}: {shape}{way_out}"
        )
    if 0 in shape[1:3]:
        raise ValueError(f"[{op}] {name} has no pixels: {shape}")
    return shape


def resolve_padding(
    op: str,
    padding: Padding,
    image: tuple[int, int],
    window: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int] = (1, 1),
) -> tuple[int, int, int, int]:
    """Padding as (top, bottom, left, right).

    Parameters
    ----------
    op : str
        For messages.
    padding : int, pair, ((top, bottom), (left, right)), "valid" or "same"
        A pair is (vertical, horizontal). "same" is that of TensorFlow: ceil(H / stride) rows come
        out, and an odd row of padding goes to the bottom, an odd column to the right.
    image, window, stride, dilation : pair of int

    Raises
    ------
    TypeError, ValueError
        If the padding has another form or is negative.
    """
    if isinstance(padding, str):
        if padding == "valid":
            return 0, 0, 0, 0
        if padding != "same":
            raise ValueError(
                f"[{op}] padding must be an int, a pair, ((top, bottom), (left, right)), "
                f"'valid' or 'same', got {padding!r}"
            )
        sides: list[int] = []
        for size, k, s, d in zip(image, window, stride, dilation):
            total = max(((size + s - 1) // s - 1) * s + (k - 1) * d + 1 - size, 0)
            sides += [total // 2, total - total // 2]
        return sides[0], sides[1], sides[2], sides[3]
    if isinstance(padding, Sequence) and len(padding) == 2:
        vertical, horizontal = (pair(op, "padding", side, 0) for side in padding)
        return *vertical, *horizontal
    vertical = pair(op, "padding", padding, 0)
    return vertical[0], vertical[0], vertical[1], vertical[1]


def check_padded(op: str, shape: Sequence[int], params: Mapping[str, Any]) -> None:
    """Refuse an image (N, H, W, C) in whose padding positions would overflow 64-bit arithmetic.

    Raises
    ------
    ValueError
        If it has 2**59 values or more with its padding; no batch or no channels count as one.
    """
    n, h, w, c = shape
    h += int(params["pad_top"]) + int(params["pad_bottom"])
    w += int(params["pad_left"]) + int(params["pad_right"])
    if max(n, 1) * h * w * max(c, 1) * 8 >= _LARGEST_PADDED:
        raise ValueError(
            f"[{op}] x of shape {tuple(shape)} has shape {(n, h, w, c)} with its padding, at most "
            "2**59 - 1 values are supported; use less padding"
        )


def shortest_strides(
    image: tuple[int, int], stride: tuple[int, int], pads: tuple[int, int, int, int]
) -> tuple[int, int]:
    """The stride, but no longer than the padded image.

    Either makes one window position, and products with the latter do not overflow.
    """
    height, width = image[0] + pads[0] + pads[1], image[1] + pads[2] + pads[3]
    return min(stride[0], height), min(stride[1], width)


def window_params(
    op: str,
    image: tuple[int, int],
    window: tuple[int, int],
    stride: Pair,
    padding: Padding,
) -> dict[str, int]:
    """Parameters of a window without dilation: its stride and its padding, by the native names."""
    strides = pair(op, "stride", stride)
    pads = resolve_padding(op, padding, image, window, strides)
    stride_h, stride_w = shortest_strides(image, strides, pads)
    names = ("pad_top", "pad_bottom", "pad_left", "pad_right")
    return {"stride_h": stride_h, "stride_w": stride_w, **dict(zip(names, pads))}


def output_size(
    op: str, image: tuple[int, int], window: tuple[int, int], params: Mapping[str, Any]
) -> tuple[int, int]:
    """Number of window positions, (P, Q).

    Raises
    ------
    ValueError
        If the window does not fit into the padded image.
    """
    stride = params["stride_h"], params["stride_w"]
    dilation = params.get("dilation_h", 1), params.get("dilation_w", 1)
    pads = params["pad_top"] + params["pad_bottom"], params["pad_left"] + params["pad_right"]
    extent = [(k - 1) * d + 1 for k, d in zip(window, dilation)]
    if any(size + pad < e for size, pad, e in zip(image, pads, extent)):
        dilated = f" dilated to {extent[0]} x {extent[1]}" if dilation != (1, 1) else ""
        smallest = [max(1, e - pad) for e, pad in zip(extent, pads)]
        raise ValueError(
            f"[{op}] a window of {window[0]} x {window[1]}{dilated} does not fit into an image of "
            f"{image[0]} x {image[1]} with {pads[0]} + {pads[1]} rows and columns of padding; "
            f"the smallest image it fits is {smallest[0]} x {smallest[1]}; "
            "use a larger image, more padding or a smaller window"
        )
    p, q = ((size + pad - e) // s + 1 for size, pad, e, s in zip(image, pads, extent, stride))
    return p, q


def pad_image(x: Array, params: Mapping[str, Any], value: float = 0.0) -> Array:
    """Return `x` of shape (N, H, W, C) with its padding."""
    widths = (
        (0, 0),
        (params["pad_top"], params["pad_bottom"]),
        (params["pad_left"], params["pad_right"]),
        (0, 0),
    )
    return np.pad(x, widths, constant_values=value)


def crop_image(x: Array, params: Mapping[str, Any]) -> Array:
    """Return `x` of shape (N, H, W, C) without its padding."""
    bottom, right = x.shape[1] - params["pad_bottom"], x.shape[2] - params["pad_right"]
    return x[:, params["pad_top"] : bottom, params["pad_left"] : right]


def window_slices(
    window: tuple[int, int], size: tuple[int, int], params: Mapping[str, Any]
) -> Iterator[tuple[int, int, tuple[slice, slice, slice]]]:
    """For each position (i, j) in the window, where the windows find it in the padded image.

    Yields
    ------
    i, j : int
    where : tuple of slice
        Over (N, H, W); `size` (P, Q) pixels in height and width.
    """
    stride_h, stride_w = params["stride_h"], params["stride_w"]
    for i in range(window[0]):
        for j in range(window[1]):
            top, left = i * params.get("dilation_h", 1), j * params.get("dilation_w", 1)
            rows = slice(top, top + (size[0] - 1) * stride_h + 1, stride_h)
            columns = slice(left, left + (size[1] - 1) * stride_w + 1, stride_w)
            yield i, j, (slice(None), rows, columns)
