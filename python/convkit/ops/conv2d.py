"""conv2d: cross-correlation, bias and activation in one. Contract in csrc/ops/conv2d/conv2d.h."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops import products, winograd
from convkit.ops.activation import activate, activation_gradient, activation_params, fused_bound
from convkit.ops.apply import apply, as_operand, same_dtype
from convkit.ops.geometry import (
    Padding,
    Pair,
    check_padded,
    crop_image,
    image_shape,
    integer,
    output_size,
    pad_image,
    pair,
    resolve_padding,
    shortest_strides,
    window_slices,
)
from convkit.ops.products import Units
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Tape, define
from convkit.ops.through import through_bound, through_input, through_operand, through_params
from convkit.ops.winograd_weight import winograd_weight_bound

__all__ = ["OP", "conv2d", "conv2d_backward_input", "conv2d_backward_weight"]


def _by_group(a: Array, groups: int) -> Array:
    """(..., C) as matrices (groups, rows, C/groups)."""
    rows, c = math.prod(a.shape[:-1]), a.shape[-1]
    return a.reshape(rows, groups, c // groups).transpose(1, 0, 2)


def _joined(a: Array, shape: Sequence[int]) -> Array:
    """Inverse of `_by_group`."""
    return a.transpose(1, 0, 2).reshape(shape)


def _sum(ctx: Context, x: Array, w: Array, b: Array | None) -> Array:
    """The result before the activation: for each filter position one matrix product per group."""
    window, groups = (w.shape[0], w.shape[1]), ctx["groups"]
    size = output_size("conv2d", (x.shape[1], x.shape[2]), window, ctx.params)
    padded = pad_image(x, ctx.params)
    y = np.zeros((x.shape[0], *size, w.shape[3]))
    for i, j, where in window_slices(window, size, ctx.params):
        y += _joined(_by_group(padded[where], groups) @ _by_group(w[i, j], groups), y.shape)
    return y if b is None else y + b


def _forward(ctx: Context, x: Array, w: Array, b: Array | None) -> tuple[Array]:
    return (activate(_sum(ctx, x, w, b), ctx["activation"], ctx["alpha"]),)


def _sum_back(ctx: Context, dy: Array, w: Array) -> Array:
    """The transpose of the sum: dx before the derivative of what gave x."""
    assert ctx.out[0] is not None
    groups = ctx["groups"]
    padded = pad_image(np.zeros(ctx.out[0].shape), ctx.params)
    matrix = _by_group(dy, groups)
    for i, j, where in window_slices((w.shape[0], w.shape[1]), dy.shape[1:3], ctx.params):
        part = matrix @ _by_group(w[i, j], groups).transpose(0, 2, 1)
        padded[where] += _joined(part, padded[where].shape)
    return crop_image(padded, ctx.params)


def _backward_input(ctx: Context, dy: Array, w: Array, x: Array | None) -> tuple[Array]:
    return (through_input(ctx, _sum_back(ctx, dy, w), x),)


def _backward_weight(ctx: Context, dy: Array, x: Array) -> tuple[Array, Array | None]:
    assert ctx.out[0] is not None
    groups = ctx["groups"]
    dw = np.zeros(ctx.out[0].shape)
    padded, matrix = pad_image(x, ctx.params), _by_group(dy, groups)
    for i, j, where in window_slices((dw.shape[0], dw.shape[1]), dy.shape[1:3], ctx.params):
        part = _by_group(padded[where], groups).transpose(0, 2, 1) @ matrix
        dw[i, j] = _joined(part, dw.shape[2:])
    return dw, None if ctx.out[1] is None else dy.sum(axis=(0, 1, 2))


# The sum of n products, in any order, is within n eps sum|x||w| (Higham 2002, eq. 3.5); one more
# term for the bias and one for the zero that a kernel starts from. `units` is n, or more where
# operands are rounded.
def _forward_bound(
    ctx: Context, x: Array, w: Array, b: Array | None, units: Units = float
) -> tuple[Any]:
    magnitude = _sum(ctx, np.abs(x), np.abs(w), None if b is None else np.abs(b))
    terms = units(math.prod(w.shape[:3]) + 2)
    return (fused_bound(ctx, _sum(ctx, x, w, b), terms * magnitude),)


def _backward_input_bound(
    ctx: Context, dy: Array, w: Array, x: Array | None, units: Units = float
) -> tuple[Any]:
    terms = units(w.shape[0] * w.shape[1] * (w.shape[3] // ctx["groups"]) + 2)
    bound = terms * _sum_back(ctx, np.abs(dy), np.abs(w))
    return (through_bound(ctx, _sum_back(ctx, dy, w), bound, x),)


def _backward_weight_bound(
    ctx: Context, dy: Array, x: Array, units: Units = float
) -> tuple[Any, Any]:
    terms = units(math.prod(dy.shape[:3]) + 2)
    dw, db = _backward_weight(ctx, np.abs(dy), np.abs(x))
    return terms * dw, None if db is None else terms * db


# cpu_winograd adds up other products: see `winograd.magnitude` and `winograd.correlation_terms`.
def _forward_winograd_bound(ctx: Context, x: Array, w: Array, b: Array | None) -> tuple[Any]:
    largest = winograd.magnitude(x, w, ctx.params) + (0 if b is None else np.abs(b))
    bound = winograd.correlation_terms(w.shape[0], w.shape[2]) * largest
    return (fused_bound(ctx, _sum(ctx, x, w, b), bound),)


def _backward_input_winograd_bound(
    ctx: Context, dy: Array, w: Array, x: Array | None
) -> tuple[Any]:
    """Dx is a correlation of dy with w flipped, its channels and filters swapped in each group."""
    r, groups, k = w.shape[0], ctx["groups"], w.shape[3] // ctx["groups"]
    by_group = w[::-1, ::-1].reshape(r, r, w.shape[2], groups, k).transpose(0, 1, 4, 3, 2)
    sides = {name: r - 1 - ctx[name] for name in ("pad_top", "pad_bottom", "pad_left", "pad_right")}
    largest = winograd.magnitude(dy, by_group.reshape(r, r, k, -1), {**ctx.params, **sides})
    bound = winograd.correlation_terms(r, k) * largest
    return (through_bound(ctx, _sum_back(ctx, dy, w), bound, x),)


def _check(x: Sequence[int], w: Sequence[int], groups: int) -> None:
    """Refuse shapes that do not fit together, whatever stride and padding are."""
    image_shape("conv2d", "x", x)
    if len(w) != 4:
        raise ValueError(
            f"[conv2d] w must have 4 dimensions (KH, KW, C/groups, K), got {len(w)}: {tuple(w)}"
        )
    if 0 in w:
        raise ValueError(f"[conv2d] w is empty: {tuple(w)}")
    c, expected, filters = x[3], w[2] * groups, w[3]
    if c != expected:
        per_group = f" in {groups} groups" if groups > 1 else ""
        message = (
            f"[conv2d] x has {c} channel{'s' if c != 1 else ''}, w expects {expected}{per_group} "
            f"(x is {tuple(x)}, w is {tuple(w)}); "
        )
        if x[1] == expected:
            raise ValueError(
                message + "did you pass channels-first data? convkit takes (N, H, W, C): "
                "x.transpose(0, 2, 3, 1)"
            )
        if c and c % groups == 0:
            fitting = (w[0], w[1], c // groups, filters)
            raise ValueError(message + f"w of shape {fitting} would fit x")
        raise ValueError(message + f"groups={groups} must divide the channels of x")
    if filters % groups:
        raise ValueError(
            f"[conv2d] groups={groups} must divide the {filters} filters of w (w is {tuple(w)})"
        )


def conv2d_params(
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    activation: str | None = None,
    alpha: float | None = None,
) -> dict[str, Any]:
    """Parameters of the op from the arguments of `conv2d`, checked."""
    stride_hw, dilation_hw = pair("conv2d", "stride", stride), pair("conv2d", "dilation", dilation)
    groups = integer("conv2d", "groups", groups, 1)
    _check(x_shape, w_shape, groups)
    image, window = (x_shape[1], x_shape[2]), (w_shape[0], w_shape[1])
    pads = resolve_padding("conv2d", padding, image, window, stride_hw, dilation_hw)
    stride_hw = shortest_strides(image, stride_hw, pads)
    # A single tap has no distance to the next.
    dilation_hw = (
        dilation_hw[0] if window[0] > 1 else 1,
        dilation_hw[1] if window[1] > 1 else 1,
    )
    return {
        "stride_h": stride_hw[0],
        "stride_w": stride_hw[1],
        "pad_top": pads[0],
        "pad_bottom": pads[1],
        "pad_left": pads[2],
        "pad_right": pads[3],
        "dilation_h": dilation_hw[0],
        "dilation_w": dilation_hw[1],
        "groups": groups,
        **activation_params(activation, alpha),
        **through_params(),
    }


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x, w, b = specs
    assert x is not None and w is not None
    _check(x.shape, w.shape, int(params["groups"]))
    if b is not None and b.shape != w.shape[3:]:
        raise ValueError(f"[conv2d] b has shape {b.shape}, expected {w.shape[3:]} (w is {w.shape})")
    check_padded("conv2d", x.shape, params)
    image, window = (x.shape[1], x.shape[2]), (w.shape[0], w.shape[1])
    size = output_size("conv2d", image, window, params)
    return [Spec((x.shape[0], *size, w.shape[3]), x.dtype)]


def _flops(result: Spec | None, filters: Spec | None) -> int:
    """Of y or dy, and w or dw."""
    assert result is not None and filters is not None
    return 2 * result.size * math.prod(filters.shape[:3])


# fmt: off
def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    if instruction.pass_name == "backward_input":
        return _gradient_of_transpose(tape, instruction, gradients[0])
    x, w, b = instruction.inputs
    dy = activation_gradient(tape, instruction, gradients[0])
    dx = dw = db = None
    if tape.needs(1) or (b is not None and tape.needs(2)):
        out = [w.spec, None if b is None else b.spec]
        dw, db = tape.emit("conv2d", "backward_weight", [dy, x], out=out,
                           params=instruction.params, for_inputs=[1, 2])
    if tape.needs(0):
        (dx,) = tape.emit("conv2d", "backward_input", [dy, w, None], out=[x.spec],
                          params=instruction.params, for_inputs=[0])
    return [dx, dw, db]


def _gradient_of_transpose(tape: Tape, instruction: Any, dx: Any) -> list[Any]:
    """backward_input as a layer, a transposed convolution: it is linear in dy and in w."""
    dy, w, _ = instruction.inputs
    ddy = dw = None
    if tape.needs(1):
        dw, _ = tape.emit("conv2d", "backward_weight", [dy, dx], out=[w.spec, None],
                          params=instruction.params, for_inputs=[1, None])
    if tape.needs(0):
        (ddy,) = tape.emit("conv2d", "forward", [dx, w, None], out=[dy.spec],
                           params=instruction.params, for_inputs=[0])
    return [ddy, dw, None]


OP = define(
    Op(
        "conv2d",
        (
            Pass("forward", ("x", "w", "b?"), ("y",), _forward, _forward_bound,
                 infer=_infer, flops=lambda p, given, out: _flops(out[0], given[1]),
                 bounds={"cpu_winograd": _forward_winograd_bound,
                         **products.rounded_bounds(_forward_bound)},
                 chosen_where={"cpu_winograd": lambda p, s: winograd.wide_enough(p, s[1]),
                               **products.CONV2D}),
            Pass("backward_input", ("dy", "w", "x?"), ("dx",), _backward_input,
                 _backward_input_bound, flops=lambda p, given, out: _flops(given[0], given[1]),
                 bounds={"cpu_winograd": _backward_input_winograd_bound,
                         **products.rounded_bounds(_backward_input_bound)},
                 chosen_where={"cpu_winograd": lambda p, s: winograd.wide_enough(p, s[1]),
                               **products.CONV2D}),
            Pass("backward_weight", ("dy", "x"), ("dw", "db?"), _backward_weight,
                 _backward_weight_bound, flops=lambda p, given, out: _flops(given[0], out[0]),
                 bounds={"cpu_winograd": winograd_weight_bound,
                         **products.rounded_bounds(_backward_weight_bound)},
                 chosen_where={"cpu_winograd": lambda p, s: winograd.wide_enough(p, s[2]),
                               **products.CONV2D_WEIGHT}),
        ),
        _gradient,
    )
)
# fmt: on


def conv2d(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    activation: str | None = None,
    alpha: float | None = None,
    *,
    kernel: str | None = None,
) -> Array:
    """Convolve images with filters: ``f(b + sum x w)``, not flipping the filters.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (N, H, W, C)
    w : array_like, shape (KH, KW, C/groups, K)
    b : array_like, shape (K,), optional
    stride : int or pair of int
    padding : int, pair, ((top, bottom), (left, right)), "valid" or "same"
        Zeros around the image. A pair is (vertical, horizontal). "same", as in TensorFlow, gives
        ceil(H / stride) rows; an odd row of padding goes to the bottom, an odd column to the right.
    dilation : int or pair of int
        Distance in the image of neighbours in the filter.
    groups : int
        Divides C and K; a filter sees the channels of its own group. C is a depthwise convolution.
    activation : str, optional
        Name of an activation, applied to the result.
    alpha : float, optional
        The activation's parameter (leaky_relu, elu).
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("conv2d", "forward")``; by default one is chosen.

    Returns
    -------
    ndarray, shape (N, P, Q, K)
        ``P = (H + top + bottom - (KH - 1) dilation - 1) // stride + 1``, and Q likewise.

    Raises
    ------
    TypeError
        If a dtype is neither float32 nor float64, the dtypes differ, or a size is not an int.
    ValueError
        If the shapes do not fit together, or a parameter is out of range.

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.
    """
    xa, wa = as_operand("conv2d", "x", x), as_operand("conv2d", "w", w)
    ba = None if b is None else as_operand("conv2d", "b", b)
    same_dtype("conv2d", x=xa, w=wa, b=ba)
    params = conv2d_params(xa.shape, wa.shape, stride, padding, dilation, groups, activation, alpha)
    y: Array = apply("conv2d", "forward", [xa, wa, ba], params, kernel=kernel)[0]
    return y


def _check_gradient(dy: Array, x: Spec, w: Spec, params: Params) -> None:
    y = _infer(params, [x, w, None])[0]
    assert y is not None
    if dy.shape != y.shape:
        raise ValueError(
            f"[conv2d] dy has shape {dy.shape}, expected {y.shape} (x is {x.shape}, w is {w.shape})"
        )


def conv2d_backward_input(
    dy: ArrayLike,
    w: ArrayLike,
    x_shape: Sequence[int],
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    *,
    x: ArrayLike | None = None,
    through: str | None = None,
    through_alpha: float | None = None,
    kernel: str | None = None,
) -> Array:
    """Gradient with respect to the images.

    Parameters
    ----------
    dy : array_like, shape (N, P, Q, K)
        Gradient of the result before the activation.
    w : array_like, shape (KH, KW, C/groups, K)
    x_shape : tuple of int
        (N, H, W, C): it does not follow from that of `dy`.
    stride, padding, dilation, groups
        As in `conv2d`.
    x, through, through_alpha
        As in `dense_backward_input`.
    kernel
        As in `conv2d`.

    Returns
    -------
    ndarray, shape (N, H, W, C)

    Raises
    ------
    TypeError, ValueError
        As `conv2d`; ValueError also if `dy` has not the shape of the result.
    """
    dya, wa = as_operand("conv2d", "dy", dy), as_operand("conv2d", "w", w)
    same_dtype("conv2d", dy=dya, w=wa)
    dtype, shape = dya.dtype.name, image_shape("conv2d", "x", x_shape)
    params = conv2d_params(shape, wa.shape, stride, padding, dilation, groups)
    out = Spec(shape, dtype)
    _check_gradient(dya, out, Spec(wa.shape, dtype), params)
    xa, passed = through_operand("conv2d", x, out, through, through_alpha)
    inputs, params = [dya, wa, xa], {**params, **passed}
    dx: Array = apply("conv2d", "backward_input", inputs, params, out=[out], kernel=kernel)[0]
    return dx


def conv2d_backward_weight(
    dy: ArrayLike,
    x: ArrayLike,
    w_shape: Sequence[int],
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    *,
    kernel: str | None = None,
) -> tuple[Array, Array]:
    """Gradients with respect to filters and bias.

    Parameters
    ----------
    dy : array_like, shape (N, P, Q, K)
        Gradient of the result before the activation.
    x : array_like, shape (N, H, W, C)
    w_shape : tuple of int
        (KH, KW, C/groups, K)
    stride, padding, dilation, groups, kernel
        As in `conv2d`.

    Returns
    -------
    dw : ndarray, shape (KH, KW, C/groups, K)
    db : ndarray, shape (K,)

    Raises
    ------
    TypeError, ValueError
        As `conv2d`; ValueError also if `dy` has not the shape of the result.
    """
    dya, xa = as_operand("conv2d", "dy", dy), as_operand("conv2d", "x", x)
    same_dtype("conv2d", dy=dya, x=xa)
    dtype = dya.dtype.name
    shape = tuple(integer("conv2d", "w shape", n, 0, "a tuple of ints") for n in w_shape)
    params = conv2d_params(xa.shape, shape, stride, padding, dilation, groups)
    _check_gradient(dya, Spec(xa.shape, dtype), Spec(shape, dtype), params)
    out = [Spec(shape, dtype), Spec(shape[3:], dtype)]
    dw, db = apply("conv2d", "backward_weight", [dya, xa], params, out=out, kernel=kernel)
    return dw, db
