"""upsample2d: images enlarged by whole numbers. Contract in csrc/ops/upsample2d/upsample2d.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit import _core
from convkit.errors import did_you_mean
from convkit.ops.apply import apply, as_operand
from convkit.ops.geometry import Pair, image_shape, pair
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Tape, define

__all__ = ["INTERPOLATIONS", "OP", "upsample2d", "upsample2d_backward", "upsample2d_params"]

INTERPOLATIONS = tuple(_core.choices("upsample2d", "interpolation"))

# For each element of a longer axis: two elements of the shorter one and their weights.
_Taps = tuple[tuple[Array, Array], tuple[Array, Array]]


def _taps(ctx: Context, n: int, size: int) -> _Taps:
    """An axis of n elements, `size` times as long."""
    if ctx["interpolation"] == "nearest":
        first = np.arange(n * size) // size
        return (first, np.ones(n * size)), (first, np.zeros(n * size))
    # Half-pixel centres: element p lies at (p + 1/2) / size - 1/2, but not beyond the last ones. In
    # whole numbers of 1 / (2 size), so that the weights are rounded once.
    at = np.clip(2 * np.arange(n * size) + 1 - size, 0, (n - 1) * 2 * size)
    first, rest = np.divmod(at, 2 * size)
    return (first, (2 * size - rest) / (2 * size)), (
        np.minimum(first + 1, n - 1),
        rest / (2 * size),
    )


def _parts(ctx: Context, shape: Sequence[int]) -> list[tuple[Array, Array, Array]]:
    """Rows and columns of x that make up y, and the weights of these pixels, in up to 4 parts."""
    rows = _taps(ctx, shape[1], ctx["size_h"])
    columns = _taps(ctx, shape[2], ctx["size_w"])
    count = 1 if ctx["interpolation"] == "nearest" else 2
    return [
        (h[:, None], w[None, :], (a[:, None] * b[None, :])[:, :, None])
        for h, a in rows[:count]
        for w, b in columns[:count]
    ]


def _forward(ctx: Context, x: Array) -> tuple[Array]:
    n, height, width, c = x.shape
    y = np.zeros((n, height * ctx["size_h"], width * ctx["size_w"], c))
    for h, w, weight in _parts(ctx, x.shape):
        y += weight * x[:, h, w]
    return (y,)


def _backward(ctx: Context, dy: Array) -> tuple[Array]:
    assert ctx.out[0] is not None
    dx = np.zeros(ctx.out[0].shape)
    for h, w, weight in _parts(ctx, dx.shape):
        at: Any = slice(None), h, w
        np.add.at(dx, at, weight * dy)
    return (dx,)


# Two roundings for each of the weights and the products with them, and one for each sum of two.
def _forward_bound(ctx: Context, x: Array) -> tuple[Any]:
    nearest = ctx["interpolation"] == "nearest"
    return (0.0 if nearest else 8 * _forward(ctx, np.abs(x))[0],)


# A pixel has a part in up to 2 size_h x 2 size_w pixels of y.
def _backward_bound(ctx: Context, dy: Array) -> tuple[Any]:
    terms = ctx["size_h"] * ctx["size_w"]
    if ctx["interpolation"] == "bilinear":
        terms = 4 * terms + 6
    return (terms * _backward(ctx, np.abs(dy))[0],)


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x = specs[0]
    assert x is not None
    n, h, w, c = image_shape("upsample2d", "x", x.shape)
    return [Spec((n, h * int(params["size_h"]), w * int(params["size_w"]), c), x.dtype)]


# A product with a weight and a sum for each pixel that takes part, 4 of them in bilinear ones.
def _flops(params: Params, inputs: Sequence[Spec | None], outputs: Sequence[Spec | None]) -> int:
    y = max((s.size for s in (*inputs, *outputs) if s is not None), default=0)
    return 0 if params["interpolation"] == "nearest" else 8 * y


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    (x,) = instruction.inputs
    return tape.emit(
        "upsample2d", "backward", [gradients[0]], params=instruction.params, out=[x.spec],
        for_inputs=[0],
    )  # fmt: skip


# fmt: off
OP = define(
    Op(
        "upsample2d",
        (
            Pass("forward", ("x",), ("y",), _forward, _forward_bound, infer=_infer, flops=_flops),
            Pass("backward", ("dy",), ("dx",), _backward, _backward_bound, flops=_flops),
        ),
        _gradient,
    )
)
# fmt: on


def upsample2d_params(size: Pair = 2, interpolation: str = "nearest") -> dict[str, int | str]:
    """Parameters of the op, checked.

    Raises
    ------
    TypeError, ValueError
        If the size is not a positive int or two, or the interpolation is unknown.
    """
    size_h, size_w = pair("upsample2d", "size", size)
    if interpolation not in INTERPOLATIONS:
        known = did_you_mean(interpolation, INTERPOLATIONS)
        raise ValueError(
            f"[upsample2d] interpolation must be one of {', '.join(map(repr, INTERPOLATIONS))}, "
            f"got {interpolation!r}{known}"
        )
    return {"size_h": size_h, "size_w": size_w, "interpolation": interpolation}


def upsample2d(
    x: ArrayLike, size: Pair = 2, interpolation: str = "nearest", *, kernel: str | None = None
) -> Array:
    """Enlarge images by whole numbers.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (N, H, W, C)
    size : int or pair of int
        By what height and width are multiplied.
    interpolation : {"nearest", "bilinear"}
        "nearest" repeats pixels. "bilinear" takes the pixels for points at their centres, and
        those beyond the outermost centres for equal to the nearest ones, as Keras does.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("upsample2d", "forward")``; by default one
        is chosen.

    Returns
    -------
    ndarray, shape (N, H * size, W * size, C)

    Raises
    ------
    TypeError
        If the dtype is neither float32 nor float64, or a size is not an int.
    ValueError
        If x has not 4 dimensions, a size is not positive or the interpolation is unknown.
    """
    xa, params = as_operand("upsample2d", "x", x), upsample2d_params(size, interpolation)
    y: Array = apply("upsample2d", "forward", [xa], params, kernel=kernel)[0]
    return y


def upsample2d_backward(
    dy: ArrayLike, size: Pair = 2, interpolation: str = "nearest", *, kernel: str | None = None
) -> Array:
    """Gradient of `upsample2d` with respect to the images.

    Parameters
    ----------
    dy : array_like, shape (N, H * size, W * size, C)
    size, interpolation, kernel
        As in `upsample2d`.

    Returns
    -------
    ndarray, shape (N, H, W, C)

    Raises
    ------
    TypeError, ValueError
        As `upsample2d`; ValueError also if height or width is no multiple of the size.
    """
    dya, params = as_operand("upsample2d", "dy", dy), upsample2d_params(size, interpolation)
    n, p, q, c = image_shape("upsample2d", "dy", dya.shape)
    size_h, size_w = int(params["size_h"]), int(params["size_w"])
    if p % size_h or q % size_w:
        raise ValueError(
            f"[upsample2d] dy has shape {dya.shape}, expected a multiple of {size_h} rows and of "
            f"{size_w} columns"
        )
    out = Spec((n, p // size_h, q // size_w, c), dya.dtype.name)
    dx: Array = apply("upsample2d", "backward", [dya], params, out=[out], kernel=kernel)[0]
    return dx
