"""conv2d_pool: its NumPy reference, which is that of conv2d, activation and pool2d one after the
other, its error bounds, and which parameter belongs to which of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from convkit.ops.activation import OP as ACTIVATION
from convkit.ops.activation import derivative_from_output
from convkit.ops.conv2d import OP as CONV2D
from convkit.ops.geometry import pad_image, window_slices
from convkit.ops.pool2d import OP as POOL2D
from convkit.ops.registry import Array, Context, Params, Spec
from convkit.ops.through import through_bound, through_params

__all__ = [
    "backward_input", "backward_input_bound", "backward_input_winograd_bound", "backward_weight",
    "backward_weight_bound", "backward_weight_winograd_bound", "convolution_params", "forward",
    "forward_bound", "forward_winograd_bound", "fused_params", "image_spec", "named",
    "pooling_params",
]  # fmt: skip

_POOLED = ("stride_h", "stride_w", "pad_top", "pad_bottom", "pad_left", "pad_right")


def fused_params(convolution: Params, pooling: Params) -> dict[str, Any]:
    """Parameters of the op from those of conv2d and of a maximum of pool2d."""
    fused = dict(convolution)
    fused |= {name: pooling[name] for name in ("window_h", "window_w")}
    return fused | {f"pool_{name}": pooling[name] for name in _POOLED}


def convolution_params(params: Params) -> dict[str, Any]:
    """The parameters of conv2d among those of the op."""
    return {n: v for n, v in params.items() if not n.startswith(("pool_", "window_"))}


def pooling_params(params: Params) -> dict[str, Any]:
    """The parameters of pool2d among those of the op."""
    window = {name: params[name] for name in ("window_h", "window_w")}
    sides = {n: params[f"pool_{n}"] for n in _POOLED}
    return {**window, **sides, "count_include_pad": 0, **through_params()}


@contextmanager
def named() -> Iterator[None]:
    """Errors of the ops that it is made of name this one."""
    try:
        yield
    except (TypeError, ValueError) as error:
        message = str(error).replace("[conv2d]", "[conv2d_pool]")
        raise type(error)(message.replace("[pool2d]", "[conv2d_pool] pooling:")) from None


def image_spec(params: Params, x: Spec, w: Spec, b: Spec | None = None) -> Spec:
    """The image z that is pooled."""
    infer = CONV2D["forward"].infer
    assert infer is not None
    z = infer(convolution_params(params), [x, w, b])[0]
    assert z is not None
    return z


def forward(ctx: Context, x: Array, w: Array, b: Array | None) -> tuple[Array | None, Array | None]:
    (z,) = CONV2D["forward"].reference(Context(convolution_params(ctx.params), [None]), x, w, b)
    y, winner = POOL2D["max_forward"].reference(Context(pooling_params(ctx.params), ctx.out), z)
    return y, winner


def _gradient_of_image(ctx: Context, dy: Array, z: Spec, y: Array, winner: Array) -> Array:
    """dz, before the activation."""
    d = derivative_from_output(y, ctx["activation"], ctx["alpha"])
    context = Context(pooling_params(ctx.params), [z])
    dz = POOL2D["max_backward"].reference(context, dy * d, winner, None)[0]
    assert dz is not None
    return dz


def backward_input(
    ctx: Context, dy: Array, w: Array, y: Array, winner: Array, x: Array | None
) -> tuple[Array | None]:
    dx = ctx.out[0]
    assert dx is not None
    z = image_spec(ctx.params, dx, Spec(w.shape))
    dz = _gradient_of_image(ctx, dy, z, y, winner)
    context = Context(convolution_params(ctx.params), ctx.out)
    return (CONV2D["backward_input"].reference(context, dz, w, x)[0],)


def backward_weight(
    ctx: Context, dy: Array, x: Array, y: Array, winner: Array
) -> tuple[Array | None, Array | None]:
    dw = ctx.out[0]
    assert dw is not None
    dz = _gradient_of_image(ctx, dy, image_spec(ctx.params, Spec(x.shape), dw), y, winner)
    context = Context(convolution_params(ctx.params), ctx.out)
    dw_, db = CONV2D["backward_weight"].reference(context, dz, x)
    return dw_, db


def forward_bound(
    ctx: Context, x: Array, w: Array, b: Array | None, row: str = ""
) -> tuple[Any, Any]:
    """Of y the largest bound in its window, that of conv2d's row.

    Of winner: 0 where it is certain, infinite where rounding may decide between the values.
    """
    y = ctx.out[0]
    assert y is not None
    params, pooling = convolution_params(ctx.params), pooling_params(ctx.params)
    (z,) = CONV2D["forward"].reference(Context(params, [None]), x, w, b)
    assert z is not None
    bound_of = CONV2D["forward"].bound_of(row)
    (error,) = bound_of(Context(params, [Spec(z.shape, y.dtype)]), x, w, b)
    reach = pad_image(float(np.finfo(y.dtype).eps) * error, pooling)
    padded = pad_image(z, pooling, -np.inf)
    largest, lowest = np.zeros(y.shape), np.full(y.shape, -np.inf)
    error = pad_image(error, pooling)
    windows = [where for *_, where in window_slices(
        (pooling["window_h"], pooling["window_w"]), (y.shape[1], y.shape[2]), pooling)]  # fmt: skip
    for where in windows:
        largest = np.maximum(largest, error[where])
        lowest = np.fmax(lowest, padded[where] - reach[where])
    contenders, doubt = np.zeros(y.shape), np.zeros(y.shape)
    for where in windows:
        contends = padded[where] + reach[where] >= lowest
        contenders += contends
        doubt = np.where(contends, np.maximum(doubt, reach[where]), doubt)
    return largest, np.where((contenders > 1) & (doubt > 0), np.inf, 0.0)


def forward_winograd_bound(ctx: Context, x: Array, w: Array, b: Array | None) -> tuple[Any, Any]:
    """As `forward_bound`, with the bound of Winograd's method."""
    return forward_bound(ctx, x, w, b, "cpu_winograd")


def _gradient_bound(ctx: Context, dy: Array, z: Spec, y: Array, winner: Array) -> Array:
    """Of dz: rounding of the derivative, of the product, and of sums where windows overlap."""
    out = [Spec(dy.shape, ctx.dtype)]
    params = {"activation": ctx["activation"], "alpha": ctx["alpha"]}
    bound = ACTIVATION["backward_from_output"].bound(Context(params, out), dy, y)[0]
    d = derivative_from_output(y, ctx["activation"], ctx["alpha"])
    pooling = Context(pooling_params(ctx.params), [z])
    spread = POOL2D["max_backward"].reference(pooling, np.asarray(bound), winner, None)[0]
    return np.asarray(spread + POOL2D["max_backward"].bound(pooling, dy * d, winner, None)[0])


def _overlap(params: Params) -> int:
    """In how many windows a pixel of z may be."""
    rows = -(-int(params["window_h"]) // int(params["pool_stride_h"]))
    return rows * -(-int(params["window_w"]) // int(params["pool_stride_w"]))


# A kernel may add the windows' shares one by one: so many terms more, where they overlap.
def backward_input_bound(
    ctx: Context, dy: Array, w: Array, y: Array, winner: Array, x: Array | None
) -> tuple[Any]:
    dx = ctx.out[0]
    assert dx is not None
    z = image_spec(ctx.params, dx, Spec(w.shape))
    context = Context({**convolution_params(ctx.params), **through_params()}, ctx.out)
    dz = np.abs(_gradient_of_image(ctx, np.abs(dy), z, y, winner))
    terms = w.shape[0] * w.shape[1] * w.shape[3] // ctx["groups"] * _overlap(ctx.params) + 2
    error = terms * dz + _gradient_bound(ctx, dy, z, y, winner)
    back = CONV2D["backward_input"].reference
    bound, largest = back(context, error, np.abs(w), None)[0], back(context, dz, np.abs(w), None)[0]
    assert bound is not None and largest is not None
    return (through_bound(ctx, largest, bound, x),)


def backward_input_winograd_bound(
    ctx: Context, dy: Array, w: Array, y: Array, winner: Array, x: Array | None
) -> tuple[Any]:
    """That of conv2d for the exact dz, and what the errors of dz come to."""
    dx = ctx.out[0]
    assert dx is not None
    z = image_spec(ctx.params, dx, Spec(w.shape))
    context = Context({**convolution_params(ctx.params), **through_params()}, ctx.out)
    dz = np.abs(_gradient_of_image(ctx, np.abs(dy), z, y, winner))
    back = CONV2D["backward_input"].reference
    largest = back(context, dz, np.abs(w), None)[0]
    carried = back(context, _gradient_bound(ctx, dy, z, y, winner), np.abs(w), None)[0]
    (bound,) = CONV2D["backward_input"].bound_of("cpu_winograd")(context, dz, w, None)
    assert largest is not None
    return (through_bound(ctx, largest, bound + carried, x),)


def backward_weight_bound(
    ctx: Context, dy: Array, x: Array, y: Array, winner: Array
) -> tuple[Any, Any]:
    dw = ctx.out[0]
    assert dw is not None
    z = image_spec(ctx.params, Spec(x.shape), dw)
    context = Context(convolution_params(ctx.params), ctx.out)
    dz = np.abs(_gradient_of_image(ctx, np.abs(dy), z, y, winner))
    terms = max(math.prod(z.shape[:3]), math.prod(dy.shape[:3])) + _overlap(ctx.params) + 2
    error = terms * dz + _gradient_bound(ctx, dy, z, y, winner)
    dw_bound, db_bound = CONV2D["backward_weight"].reference(context, error, np.abs(x))
    return dw_bound, db_bound


def backward_weight_winograd_bound(
    ctx: Context, dy: Array, x: Array, y: Array, winner: Array
) -> tuple[Any, Any]:
    """That of conv2d for the exact dz, and what the errors of dz come to."""
    dw = ctx.out[0]
    assert dw is not None
    z = image_spec(ctx.params, Spec(x.shape), dw)
    context = Context(convolution_params(ctx.params), ctx.out)
    dz = _gradient_of_image(ctx, dy, z, y, winner)
    of_dw, of_db = CONV2D["backward_weight"].bound_of("cpu_winograd")(context, dz, x)
    # A bias is a sum of all shares of all windows: so many terms more, where they overlap.
    magnitude = _gradient_of_image(ctx, np.abs(dy), z, y, winner)
    error = _gradient_bound(ctx, dy, z, y, winner) + _overlap(ctx.params) * np.abs(magnitude)
    dw_error, db_error = CONV2D["backward_weight"].reference(context, error, np.abs(x))
    return of_dw + dw_error, None if of_db is None else of_db + db_error
