"""conv2d_pool: convolution, activation and maximum over windows in one.

Contract in csrc/ops/conv2d_pool/conv2d_pool.h.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.activation import FROM_OUTPUT, refuse_without_derivative
from convkit.ops.apply import apply, as_operand, same_dtype
from convkit.ops.conv2d import conv2d_params
from convkit.ops.conv2d_pool_formulas import (
    backward_input,
    backward_input_bound,
    backward_input_winograd_bound,
    backward_weight,
    backward_weight_bound,
    backward_weight_winograd_bound,
    forward,
    forward_bound,
    forward_winograd_bound,
    fused_params,
    image_spec,
    named,
    pooling_params,
)
from convkit.ops.geometry import Padding, Pair, image_shape, integer
from convkit.ops.pool2d import OP as POOL2D
from convkit.ops.pool2d import check_winners, pool2d_params
from convkit.ops.registry import Array, Op, Params, Pass, Spec, Tape, define
from convkit.ops.through import through_operand
from convkit.ops.winograd import wide_enough

__all__ = [
    "OP", "conv2d_pool", "conv2d_pool_backward_input", "conv2d_pool_backward_weight",
    "conv2d_pool_params", "fused_params",
]  # fmt: skip


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x, w, b = specs
    infer = POOL2D["max_forward"].infer
    assert x is not None and w is not None and infer is not None
    with named():
        y, winner = infer(pooling_params(params), [image_spec(params, x, w, b)])
    assert winner is not None
    if winner.dtype != "uint8":
        window = f"{params['window_h']} x {params['window_w']}"
        raise ValueError(
            f"[conv2d_pool] a window of {window} has more than the 256 positions that the one byte "
            "of its winner can tell apart; use conv2d and max_pool2d"
        )
    return [y, winner]


# Those of conv2d, and one comparison for each position in each window.
def _flops(params: Params, inputs: Sequence[Spec | None], outputs: Sequence[Spec | None]) -> int:
    x, w, y = inputs[0], inputs[1], outputs[0]
    assert x is not None and w is not None and y is not None
    compared = y.size * int(params["window_h"]) * int(params["window_w"])
    return compared + 2 * image_spec(params, x, w).size * math.prod(w.shape[:3])


# Those of conv2d, one product with the derivative and one addition for each window.
def _flops_backward(
    params: Params, inputs: Sequence[Spec | None], outputs: Sequence[Spec | None]
) -> int:
    dy, other, result = inputs[0], inputs[1], outputs[0]
    assert dy is not None and other is not None and result is not None
    x, w = (other, result) if len(outputs) == 2 else (result, other)
    return 2 * dy.size + 2 * image_spec(params, x, w).size * math.prod(w.shape[:3])


# fmt: off
def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    (x, w, b), (y, winner), dy = instruction.inputs, instruction.outputs, gradients[0]
    refuse_without_derivative(instruction)
    assert winner is not None, "a maximum whose gradient is wanted needs its winners"
    dx = dw = db = None
    if tape.needs(1) or (b is not None and tape.needs(2)):
        out = [w.spec, None if b is None else b.spec]
        dw, db = tape.emit("conv2d_pool", "backward_weight", [dy, x, y, winner], out=out,
                           params=instruction.params, for_inputs=[1, 2])
    if tape.needs(0):
        (dx,) = tape.emit("conv2d_pool", "backward_input", [dy, w, y, winner, None], out=[x.spec],
                          params=instruction.params, for_inputs=[0])
    return [dx, dw, db]


OP = define(
    Op(
        "conv2d_pool",
        (
            Pass("forward", ("x", "w", "b?"), ("y", "winner?"), forward, forward_bound,
                 infer=_infer, flops=_flops, bounds={"cpu_winograd": forward_winograd_bound},
                 chosen_where={"cpu_winograd": lambda p, s: wide_enough(p, s[1])}),
            Pass("backward_input", ("dy", "w", "y", "winner", "x?"), ("dx",), backward_input,
                 backward_input_bound, flops=_flops_backward,
                 bounds={"cpu_winograd": backward_input_winograd_bound},
                 chosen_where={"cpu_winograd": lambda p, s: wide_enough(p, s[1])}),
            Pass("backward_weight", ("dy", "x", "y", "winner"), ("dw", "db?"), backward_weight,
                 backward_weight_bound, flops=_flops_backward,
                 bounds={"cpu_winograd": backward_weight_winograd_bound},
                 chosen_where={"cpu_winograd": lambda p, s: wide_enough(p, s[4])}),
        ),
        _gradient,
    )
)
# fmt: on


def conv2d_pool_params(
    x_shape: Sequence[int],
    w_shape: Sequence[int],
    size: Pair = 2,
    pool_stride: Pair | None = None,
    pool_padding: Padding = 0,
    **convolution: Any,
) -> dict[str, Any]:
    """Parameters of the op from the arguments of `conv2d_pool`, checked."""
    with named():
        params = conv2d_params(x_shape, w_shape, **convolution)
        image = image_spec(params, Spec(tuple(x_shape)), Spec(tuple(w_shape)))
        return fused_params(params, pool2d_params(image.shape, size, pool_stride, pool_padding))


def conv2d_pool(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    size: Pair = 2,
    pool_stride: Pair | None = None,
    pool_padding: Padding = 0,
    *,
    stride: Pair = 1,
    padding: Padding = 0,
    dilation: Pair = 1,
    groups: int = 1,
    activation: str | None = None,
    alpha: float | None = None,
    kernel: str | None = None,
) -> tuple[Array, Array]:
    """``max_pool2d(conv2d(x, w, b))`` without the image in between.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (N, H, W, C)
    w : array_like, shape (KH, KW, C/groups, K)
    b : array_like, shape (K,), optional
    size, pool_stride, pool_padding
        The windows, as `size`, `stride` and `padding` of `max_pool2d`; of at most 256 positions.
    stride, padding, dilation, groups, activation, alpha
        Of the convolution, as in `conv2d`.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("conv2d_pool", "forward")``; by default one
        is chosen.

    Returns
    -------
    y : ndarray, shape (N, PP, PQ, K)
    winner : ndarray of uint8, shape (N, PP, PQ, K)
        The winner's position in its window, as from `max_pool2d`.

    Raises
    ------
    TypeError, ValueError
        As `conv2d` and `max_pool2d`; ValueError also if a window has more than 256 positions.
    """
    xa, wa = as_operand("conv2d_pool", "x", x), as_operand("conv2d_pool", "w", w)
    ba = None if b is None else as_operand("conv2d_pool", "b", b)
    same_dtype("conv2d_pool", x=xa, w=wa, b=ba)
    params = conv2d_pool_params(
        xa.shape, wa.shape, size, pool_stride, pool_padding, stride=stride, padding=padding,
        dilation=dilation, groups=groups, activation=activation, alpha=alpha,
    )  # fmt: skip
    y, winner = apply("conv2d_pool", "forward", [xa, wa, ba], params, kernel=kernel)
    return y, winner


def _backward(
    pass_name: str,
    dy: ArrayLike,
    operand: ArrayLike,
    y: ArrayLike,
    winner: ArrayLike,
    shape: Sequence[int],
    pool: tuple[Pair, Pair | None, Padding],
    kernel: str | None,
    convolution: dict[str, Any],
    before: tuple[ArrayLike | None, str | None, float | None] = (None, None, None),
) -> list[Any]:
    """Check the operands of a backward pass and run it."""
    name, wanted = ("w", "x") if pass_name == "backward_input" else ("x", "w")
    dya, ya = as_operand("conv2d_pool", "dy", dy), as_operand("conv2d_pool", "y", y)
    given = as_operand("conv2d_pool", name, operand)
    winners = as_operand("conv2d_pool", "winner", winner, ("uint8",))
    same_dtype("conv2d_pool", **{"dy": dya, name: given, "y": ya})
    other: tuple[int, ...]
    if wanted == "x":
        other = image_shape("conv2d_pool", "x", shape)
        x_shape, w_shape = other, given.shape
    else:
        other = tuple(integer("conv2d_pool", "w shape", n, 0, "a tuple of ints") for n in shape)
        x_shape, w_shape = given.shape, other
    dtype = dya.dtype.name
    params = conv2d_pool_params(x_shape, w_shape, *pool, **convolution)
    kind = params["activation"]
    if kind not in FROM_OUTPUT:
        raise ValueError(
            f"[conv2d_pool] the derivative of {kind} needs its input, which is not kept; use "
            f"conv2d and max_pool2d, or one of {', '.join(sorted(FROM_OUTPUT))}"
        )
    specs = Spec(x_shape, dtype), Spec(w_shape, dtype)
    expected = _infer(params, [*specs, None])[0]
    assert expected is not None
    for label, array in (("dy", dya), ("y", ya), ("winner", winners)):
        if array.shape != expected.shape:
            raise ValueError(
                f"[conv2d_pool] {label} has shape {array.shape}, expected {expected.shape} "
                f"(x is {x_shape}, w is {w_shape})"
            )
    with named():
        check_winners(winners, image_spec(params, *specs), pooling_params(params))
    inputs: list[Array | None] = [dya, given, ya, winners]
    out = [Spec(other, dtype)]
    if wanted == "x":
        x, passed = through_operand("conv2d_pool", before[0], out[0], *before[1:])
        inputs, params = [*inputs, x], params | passed
    else:
        out.append(Spec(other[3:], dtype))
    return apply("conv2d_pool", pass_name, inputs, params, out=out, kernel=kernel)


def conv2d_pool_backward_input(
    dy: ArrayLike,
    w: ArrayLike,
    y: ArrayLike,
    winner: ArrayLike,
    x_shape: Sequence[int],
    size: Pair = 2,
    pool_stride: Pair | None = None,
    pool_padding: Padding = 0,
    *,
    x: ArrayLike | None = None,
    through: str | None = None,
    through_alpha: float | None = None,
    kernel: str | None = None,
    **convolution: Any,
) -> Array:
    """Gradient with respect to the images, through maximum, activation and convolution.

    Parameters
    ----------
    dy : array_like, shape (N, PP, PQ, K)
        Gradient of `y`.
    w : array_like, shape (KH, KW, C/groups, K)
    y, winner : array_like, shape (N, PP, PQ, K)
        From `conv2d_pool`.
    x_shape : tuple of int
        (N, H, W, C): it does not follow from that of `dy`.
    size, pool_stride, pool_padding
        As in `conv2d_pool`.
    x, through, through_alpha
        As in `dense_backward_input`.
    kernel
        As in `conv2d_pool`.
    **convolution
        stride, padding, dilation, groups, activation and alpha, as in `conv2d_pool`.

    Returns
    -------
    ndarray, shape (N, H, W, C)

    Raises
    ------
    TypeError, ValueError
        As `conv2d_pool`; ValueError also if `dy`, `y` or `winner` has not the shape of the result,
        `winner` does not point into the image, or the activation is gelu or silu, whose derivative
        `y` does not tell.
    """
    pool, before = (size, pool_stride, pool_padding), (x, through, through_alpha)
    found = _backward(
        "backward_input", dy, w, y, winner, x_shape, pool, kernel, convolution, before
    )
    return np.asarray(found[0])


def conv2d_pool_backward_weight(
    dy: ArrayLike,
    x: ArrayLike,
    y: ArrayLike,
    winner: ArrayLike,
    w_shape: Sequence[int],
    size: Pair = 2,
    pool_stride: Pair | None = None,
    pool_padding: Padding = 0,
    *,
    kernel: str | None = None,
    **convolution: Any,
) -> tuple[Array, Array]:
    """Gradients with respect to filters and bias, through maximum and activation.

    Parameters
    ----------
    dy : array_like, shape (N, PP, PQ, K)
        Gradient of `y`.
    x : array_like, shape (N, H, W, C)
    y, winner : array_like, shape (N, PP, PQ, K)
        From `conv2d_pool`.
    w_shape : tuple of int
        (KH, KW, C/groups, K)
    size, pool_stride, pool_padding, kernel
        As in `conv2d_pool`.
    **convolution
        stride, padding, dilation, groups, activation and alpha, as in `conv2d_pool`.

    Returns
    -------
    dw : ndarray, shape (KH, KW, C/groups, K)
    db : ndarray, shape (K,)

    Raises
    ------
    TypeError, ValueError
        As `conv2d_pool_backward_input`.
    """
    pool = size, pool_stride, pool_padding
    dw, db = _backward("backward_weight", dy, x, y, winner, w_shape, pool, kernel, convolution)
    return dw, db
