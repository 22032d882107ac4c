"""pool2d: maximum or average over windows. Contract in csrc/ops/pool2d/pool2d.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_operand
from convkit.ops.geometry import (
    Padding,
    Pair,
    check_padded,
    image_shape,
    output_size,
    pair,
    window_params,
)
from convkit.ops.pool2d_formulas import (
    average_backward,
    average_backward_bound,
    average_forward,
    average_forward_bound,
    max_backward,
    max_backward_bound,
    max_forward,
    max_forward_bound,
    window_of,
)
from convkit.ops.registry import Array, Op, Params, Pass, Spec, Tape, define
from convkit.ops.through import through_operand, through_params

__all__ = [
    "OP", "avg_pool2d", "avg_pool2d_backward", "check_winners", "max_pool2d",
    "max_pool2d_backward",
]  # fmt: skip

BYTE_POSITIONS = 256  # in a window whose winner is a byte
_MOST_POSITIONS = (1 << 31) - 1  # and in one whose winner is an int32


def _check(params: Params) -> None:
    window = window_of(params)
    sides = ("pad_top", "pad_bottom"), ("pad_left", "pad_right")
    for size, names in zip(window, sides):
        if any(int(params[name]) >= size for name in names):
            pads = tuple(tuple(int(params[name]) for name in side) for side in sides)
            raise ValueError(
                f"[pool2d] padding {pads} must be smaller than the window of {window[0]} x "
                f"{window[1]}, or a window would hold nothing but padding"
            )


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x = specs[0]
    assert x is not None
    n, h, w, c = image_shape("pool2d", "x", x.shape)
    _check(params)
    check_padded("pool2d", x.shape, params)
    return [Spec((n, *output_size("pool2d", (h, w), window_of(params), params), c), x.dtype)]


def _infer_max(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    (y,) = _infer(params, specs)
    assert y is not None
    window_h, window_w = window_of(params)
    if window_h * window_w > _MOST_POSITIONS:
        raise ValueError(
            f"[pool2d] a window of {window_h} x {window_w} has {window_h * window_w} positions, "
            f"the largest whose maximum has an int32 position has {_MOST_POSITIONS}; "
            "use a smaller window"
        )
    return [y, Spec(y.shape, "uint8" if window_h * window_w <= BYTE_POSITIONS else "int32")]


# One addition or comparison for each position in each window; the gradient of a maximum has one
# addition for each window.
def _flops(params: Params, inputs: Sequence[Spec | None], outputs: Sequence[Spec | None]) -> int:
    y = outputs[0]
    assert y is not None
    return y.size * window_of(params)[0] * window_of(params)[1]


def _flops_backward(
    params: Params, inputs: Sequence[Spec | None], outputs: Sequence[Spec | None]
) -> int:
    dy = inputs[0]
    assert dy is not None
    return dy.size * (1 if len(inputs) == 3 else window_of(params)[0] * window_of(params)[1])


# fmt: off
def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    (x,), dy = instruction.inputs, gradients[0]
    if instruction.pass_name == "average_forward":
        return tape.emit("pool2d", "average_backward", [dy, None], params=instruction.params,
                         out=[x.spec], for_inputs=[0])
    argmax = instruction.outputs[1]
    assert argmax is not None, "a maximum whose gradient is wanted needs its argmax"
    return tape.emit("pool2d", "max_backward", [dy, argmax, None], params=instruction.params,
                     out=[x.spec], for_inputs=[0])


def _apart(params: Params) -> bool:
    """Whether no windows overlap."""
    return all(int(params[f"stride_{a}"]) >= int(params[f"window_{a}"]) for a in "hw")


OP = define(
    Op(
        "pool2d",
        (
            Pass("max_forward", ("x",), ("y", "argmax?"), max_forward, max_forward_bound,
                 infer=_infer_max, flops=_flops),
            Pass("max_backward", ("dy", "argmax", "x?"), ("dx",), max_backward,
                 max_backward_bound, flops=_flops_backward),
            Pass("average_forward", ("x",), ("y",), average_forward, average_forward_bound,
                 infer=_infer, flops=_flops),
            Pass("average_backward", ("dy", "x?"), ("dx",), average_backward,
                 average_backward_bound, flops=_flops_backward,
                 inplace=(("dx", "x"),), inplace_where=_apart),
        ),
        _gradient,
    )
)
# fmt: on


def pool2d_params(
    x_shape: Sequence[int],
    size: Pair | str = 2,
    stride: Pair | None = None,
    padding: Padding = 0,
    count_include_pad: bool = False,
) -> dict[str, Any]:
    """Parameters of the op from the arguments of `max_pool2d` or `avg_pool2d`, checked."""
    _, h, w, _ = image_shape("pool2d", "x", x_shape)
    if isinstance(size, str):
        if size != "global":
            raise ValueError(f"[pool2d] size must be an int, a pair or 'global', got {size!r}")
        window = h, w
    else:
        window = pair("pool2d", "size", size)
    params = {
        "window_h": window[0],
        "window_w": window[1],
        **window_params("pool2d", (h, w), window, window if stride is None else stride, padding),
        "count_include_pad": int(bool(count_include_pad)),
        **through_params(),
    }
    _check(params)
    return params


def max_pool2d(
    x: ArrayLike,
    size: Pair | str = 2,
    stride: Pair | None = None,
    padding: Padding = 0,
    *,
    kernel: str | None = None,
) -> tuple[Array, Array]:
    """Maximum over windows of an image.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (N, H, W, C)
    size : int, pair of int or "global"
        Of the window; "global" is the whole image.
    stride : int or pair of int, optional
        By default `size`.
    padding : int, pair, ((top, bottom), (left, right)), "valid" or "same"
        As in `conv2d`; smaller than the window. It never wins.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("pool2d")``; by default one is chosen.

    Returns
    -------
    y : ndarray, shape (N, P, Q, C)
        ``P = (H + top + bottom - size) // stride + 1``, and Q likewise.
    argmax : ndarray of uint8, or of int32 for windows of more than 256 positions
        The winner's position in its window, ``i * size + j``. The first of equal values wins; NaN
        wins over numbers.

    Raises
    ------
    TypeError
        If the dtype is neither float32 nor float64, or a size is not an int.
    ValueError
        If the window does not fit into the padded image or has 2**31 positions or more, or a
        parameter is out of range.
    """
    xa = as_operand("pool2d", "x", x)
    params = pool2d_params(xa.shape, size, stride, padding)
    y, argmax = apply("pool2d", "max_forward", [xa], params, kernel=kernel)
    return y, argmax


def max_pool2d_backward(
    dy: ArrayLike,
    argmax: ArrayLike,
    x_shape: Sequence[int],
    size: Pair | str = 2,
    stride: Pair | None = None,
    padding: Padding = 0,
    *,
    x: ArrayLike | None = None,
    through: str | None = None,
    through_alpha: float | None = None,
    kernel: str | None = None,
) -> Array:
    """Gradient of `max_pool2d` with respect to the images: each dy goes to its window's winner.

    Parameters
    ----------
    dy : array_like, shape (N, P, Q, C)
    argmax : array_like, shape (N, P, Q, C)
        From `max_pool2d`.
    x_shape : tuple of int
        (N, H, W, C): it does not follow from that of `dy`.
    size, stride, padding
        As in `max_pool2d`.
    x, through, through_alpha
        As in `dense_backward_input`.
    kernel
        As in `max_pool2d`.

    Returns
    -------
    ndarray, shape (N, H, W, C)

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`; also if `dy` or `argmax` has not the shape of the result, or `argmax` does
        not point into the image.
    """
    dya = as_operand("pool2d", "dy", dy)
    params = pool2d_params(x_shape, size, stride, padding)
    out = Spec(image_shape("pool2d", "x", x_shape), dya.dtype.name)
    y, winner = _infer_max(params, [out])
    assert y is not None and winner is not None
    positions = as_operand("pool2d", "argmax", argmax, (winner.dtype,))
    _check_gradient("dy", dya, y, out)
    _check_gradient("argmax", positions, y, out)
    check_winners(positions, out, params)
    xa, passed = through_operand("pool2d", x, out, through, through_alpha)
    inputs, params = [dya, positions, xa], {**params, **passed}
    dx: Array = apply("pool2d", "max_backward", inputs, params, out=[out], kernel=kernel)[0]
    return dx


def avg_pool2d(
    x: ArrayLike,
    size: Pair | str = 2,
    stride: Pair | None = None,
    padding: Padding = 0,
    count_include_pad: bool = False,
    *,
    kernel: str | None = None,
) -> Array:
    """Average over windows of an image.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (N, H, W, C)
    size, stride, padding, kernel
        As in `max_pool2d`.
    count_include_pad : bool
        Divide by the window's size, not by the number of its pixels in the image.

    Returns
    -------
    ndarray, shape (N, P, Q, C)

    Raises
    ------
    TypeError, ValueError
        As `max_pool2d`.
    """
    xa = as_operand("pool2d", "x", x)
    params = pool2d_params(xa.shape, size, stride, padding, count_include_pad)
    y: Array = apply("pool2d", "average_forward", [xa], params, kernel=kernel)[0]
    return y


def avg_pool2d_backward(
    dy: ArrayLike,
    x_shape: Sequence[int],
    size: Pair | str = 2,
    stride: Pair | None = None,
    padding: Padding = 0,
    count_include_pad: bool = False,
    *,
    x: ArrayLike | None = None,
    through: str | None = None,
    through_alpha: float | None = None,
    kernel: str | None = None,
) -> Array:
    """Gradient of `avg_pool2d` with respect to the images.

    Parameters
    ----------
    dy : array_like, shape (N, P, Q, C)
    x_shape : tuple of int
        (N, H, W, C): it does not follow from that of `dy`.
    size, stride, padding, count_include_pad
        As in `avg_pool2d`.
    x, through, through_alpha
        As in `max_pool2d_backward`.
    kernel
        As in `avg_pool2d`.

    Returns
    -------
    ndarray, shape (N, H, W, C)

    Raises
    ------
    TypeError, ValueError
        As `avg_pool2d`; ValueError also if `dy` has not the shape of the result.
    """
    dya = as_operand("pool2d", "dy", dy)
    params = pool2d_params(x_shape, size, stride, padding, count_include_pad)
    out = Spec(image_shape("pool2d", "x", x_shape), dya.dtype.name)
    y = _infer(params, [out])[0]
    assert y is not None
    _check_gradient("dy", dya, y, out)
    xa, passed = through_operand("pool2d", x, out, through, through_alpha)
    inputs, params = [dya, xa], {**params, **passed}
    dx: Array = apply("pool2d", "average_backward", inputs, params, out=[out], kernel=kernel)[0]
    return dx


def _check_gradient(name: str, array: Array, y: Spec, x: Spec) -> None:
    if array.shape != y.shape:
        raise ValueError(
            f"[pool2d] {name} has shape {array.shape}, expected {y.shape} (x is {x.shape})"
        )


def check_winners(argmax: Array, x: Spec, params: Params) -> None:
    """A kernel writes where argmax points: it must be in the window, and in the image.

    Raises
    ------
    ValueError
        If it is not.
    """
    window_h, window_w = window_of(params)
    p, q = np.ogrid[: argmax.shape[1], : argmax.shape[2]]
    i, j = np.divmod(argmax.astype(np.int64), window_w)
    row = p[:, :, None] * int(params["stride_h"]) - int(params["pad_top"]) + i
    column = q[:, :, None] * int(params["stride_w"]) - int(params["pad_left"]) + j
    inside = (i < window_h) & (row >= 0) & (row < x.shape[1])
    if not np.all(inside & (argmax >= 0) & (column >= 0) & (column < x.shape[2])):
        raise ValueError(
            f"[pool2d] argmax points outside of the image; is it from max_pool2d with size "
            f"{window_h} x {window_w}, the same stride and padding, and x of shape {x.shape}?"
        )
