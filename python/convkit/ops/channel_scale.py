"""channel_scale: x w + b per channel. Contract in csrc/ops/channel_scale/channel_scale.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_operands, check_channels
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Tape, define

__all__ = [
    "OP",
    "channel_scale",
    "channel_scale_backward_input",
    "channel_scale_backward_weight",
]


def _forward(ctx: Context, x: Array, w: Array | None, b: Array | None) -> tuple[Array]:
    y = x if w is None else x * w
    return (y if b is None else y + b,)


def _backward_input(ctx: Context, dy: Array, w: Array) -> tuple[Array]:
    return (dy * w,)


def _backward_weight(ctx: Context, dy: Array, x: Array | None) -> tuple[Array | None, Array | None]:
    axes = tuple(range(dy.ndim - 1))
    dw = None if x is None or ctx.out[0] is None else (dy * x).sum(axis=axes)
    return dw, None if ctx.out[1] is None else dy.sum(axis=axes)


# A product and a sum; sums of n terms are within n eps of the sum of their magnitudes.
def _forward_bound(ctx: Context, x: Array, w: Array | None, b: Array | None) -> tuple[Any]:
    product = np.abs(x if w is None else x * w)
    return (3 * product + (0 if b is None else np.abs(b)),)


def _backward_input_bound(ctx: Context, dy: Array, w: Array) -> tuple[Any]:
    return (2 * np.abs(dy * w),)


def _backward_weight_bound(ctx: Context, dy: Array, x: Array | None) -> tuple[Any, Any]:
    axes = tuple(range(dy.ndim - 1))
    n = int(np.prod(dy.shape[:-1])) + 1
    of_w = None if x is None else n * np.abs(dy * x).sum(axis=axes)
    return of_w, n * np.abs(dy).sum(axis=axes)


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x, w, b = specs
    assert x is not None
    check_channels("channel_scale", "x", x, w=w, b=b)
    if w is None and b is None:
        raise ValueError("[channel_scale] needs w or b, got neither")
    return [x]


def _infer_input(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    dy, w = specs
    assert dy is not None
    check_channels("channel_scale", "dy", dy, w=w)
    return [dy]


def _infer_weight(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    dy, x = specs
    assert dy is not None
    check_channels("channel_scale", "dy", dy)
    if x is not None and x.shape != dy.shape:
        raise ValueError(f"[channel_scale] dy has shape {dy.shape}, expected {x.shape} as x")
    of_channels = Spec(dy.shape[-1:], dy.dtype)
    return [None if x is None else of_channels, of_channels]


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    (x, w, b), dy = instruction.inputs, gradients[0]
    dx = dw = db = None
    wanted = [v.spec if v is not None and tape.needs(i) else None for i, v in ((1, w), (2, b))]
    if any(spec is not None for spec in wanted):
        dw, db = tape.emit(
            "channel_scale", "backward_weight", [dy, x if wanted[0] else None],
            out=wanted, for_inputs=[1, 2],
        )  # fmt: skip
    if tape.needs(0):
        dx = dy
        if w is not None:
            (dx,) = tape.emit(
                "channel_scale", "backward_input", [dy, w], out=[x.spec], for_inputs=[0]
            )
    return [dx, dw, db]


# fmt: off
OP = define(
    Op(
        "channel_scale",
        (
            Pass("forward", ("x", "w?", "b?"), ("y",), _forward, _forward_bound, infer=_infer,
                 inplace=(("y", "x"),)),
            Pass("backward_input", ("dy", "w"), ("dx",), _backward_input, _backward_input_bound,
                 infer=_infer_input, inplace=(("dx", "dy"),)),
            Pass("backward_weight", ("dy", "x?"), ("dw?", "db?"), _backward_weight,
                 _backward_weight_bound, infer=_infer_weight),
        ),
        _gradient,
    )
)
# fmt: on


def channel_scale(
    x: ArrayLike,
    w: ArrayLike | None = None,
    b: ArrayLike | None = None,
    *,
    kernel: str | None = None,
) -> Array:
    """Multiply every channel by a factor and add an offset: ``x w + b``.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (..., C)
    w, b : array_like, shape (C,), optional
        One of them at least.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("channel_scale", "forward")``; by default one
        is chosen.

    Returns
    -------
    ndarray, shape (..., C)

    Raises
    ------
    TypeError
        If a dtype is neither float32 nor float64, or the dtypes differ.
    ValueError
        If the shapes do not fit together, or both `w` and `b` are absent.
    """
    operands = as_operands("channel_scale", x=x, w=w, b=b)
    y: Array = apply("channel_scale", "forward", operands, kernel=kernel)[0]
    return y


def channel_scale_backward_input(
    dy: ArrayLike, w: ArrayLike, *, kernel: str | None = None
) -> Array:
    """Gradient of `channel_scale` with respect to the input: ``dy w``.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (..., C)
    w : array_like, shape (C,)
    kernel : str, optional

    Returns
    -------
    ndarray, shape (..., C)

    Raises
    ------
    TypeError, ValueError
        As `channel_scale`.
    """
    operands = as_operands("channel_scale", dy=dy, w=w)
    dx: Array = apply("channel_scale", "backward_input", operands, kernel=kernel)[0]
    return dx


def channel_scale_backward_weight(
    dy: ArrayLike, x: ArrayLike, *, kernel: str | None = None
) -> tuple[Array, Array]:
    """Gradients of `channel_scale` with respect to factor and offset.

    Parameters
    ----------
    dy, x : array_like of float32 or float64, shape (..., C)
    kernel : str, optional

    Returns
    -------
    dw, db : ndarray, shape (C,)
        Sums of ``dy x`` and of ``dy`` over all axes but the last.

    Raises
    ------
    TypeError, ValueError
        As `channel_scale`.
    """
    operands = as_operands("channel_scale", dy=dy, x=x)
    dw, db = apply("channel_scale", "backward_weight", operands, kernel=kernel)
    return dw, db
