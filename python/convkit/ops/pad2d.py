"""pad2d: zeros around images, or a border taken off. Contract in csrc/ops/pad2d/pad2d.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_operand
from convkit.ops.geometry import (
    Padding,
    check_padded,
    crop_image,
    image_shape,
    pad_image,
    resolve_padding,
)
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Tape, define

__all__ = ["OP", "crop2d", "pad2d", "pad2d_params"]


def _forward(ctx: Context, x: Array) -> tuple[Array]:
    return (pad_image(x, ctx.params),)


def _backward(ctx: Context, dy: Array) -> tuple[Array]:
    return (crop_image(dy, ctx.params),)


def _bound(ctx: Context, x: Array) -> tuple[Any]:
    return (0.0,)  # nothing is computed


def _border(params: Params) -> tuple[int, int]:
    """Rows and columns of the border."""
    rows = int(params["pad_top"]) + int(params["pad_bottom"])
    return rows, int(params["pad_left"]) + int(params["pad_right"])


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x = specs[0]
    assert x is not None
    n, h, w, c = image_shape("pad2d", "x", x.shape)
    check_padded("pad2d", x.shape, params)
    rows, columns = _border(params)
    return [Spec((n, h + rows, w + columns, c), x.dtype)]


def _infer_backward(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    y = specs[0]
    assert y is not None
    n, p, q, c = image_shape("pad2d", "x", y.shape)
    rows, columns = _border(params)
    if rows >= p or columns >= q:
        raise ValueError(
            f"[pad2d] cropping {rows} rows and {columns} columns leaves nothing of an image of "
            f"{p} x {q}; crop less, or pass a larger image"
        )
    return [Spec((n, p - rows, q - columns, c), y.dtype)]


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    other = "backward" if instruction.pass_name == "forward" else "forward"
    return tape.emit("pad2d", other, [gradients[0]], params=instruction.params, for_inputs=[0])


OP = define(
    Op(
        "pad2d",
        (
            Pass("forward", ("x",), ("y",), _forward, _bound, infer=_infer),
            Pass("backward", ("dy",), ("dx",), _backward, _bound, infer=_infer_backward),
        ),
        _gradient,
    )
)


def pad2d_params(padding: Padding) -> dict[str, int]:
    """Parameters of the op, checked.

    Raises
    ------
    TypeError, ValueError
        If the padding is not an int, a pair or two pairs, or negative.
    """
    if isinstance(padding, str):
        raise ValueError(
            f"[pad2d] padding must be an int, a pair or ((top, bottom), (left, right)), got "
            f"{padding!r}"
        )
    sides = resolve_padding("pad2d", padding, (1, 1), (1, 1), (1, 1))
    return dict(zip(("pad_top", "pad_bottom", "pad_left", "pad_right"), sides))


def pad2d(x: ArrayLike, padding: Padding = 1, *, kernel: str | None = None) -> Array:
    """Put zeros around images.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (N, H, W, C)
    padding : int, pair or ((top, bottom), (left, right))
        Number of rows and columns of zeros. A pair is (vertical, horizontal).
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("pad2d", "forward")``; by default one is chosen.

    Returns
    -------
    ndarray, shape (N, H + top + bottom, W + left + right, C)

    Raises
    ------
    TypeError
        If the dtype is neither float32 nor float64, or a size is not an int.
    ValueError
        If x has not 4 dimensions, or the padding has another form or is negative.
    """
    xa, params = as_operand("pad2d", "x", x), pad2d_params(padding)
    y: Array = apply("pad2d", "forward", [xa], params, kernel=kernel)[0]
    return y


def crop2d(x: ArrayLike, cropping: Padding = 1, *, kernel: str | None = None) -> Array:
    """Take a border off images: the inverse of `pad2d`, and its gradient.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (N, H, W, C)
    cropping : int, pair or ((top, bottom), (left, right))
        Number of rows and columns to take off. A pair is (vertical, horizontal).
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("pad2d", "backward")``; by default one is chosen.

    Returns
    -------
    ndarray, shape (N, H - top - bottom, W - left - right, C)

    Raises
    ------
    TypeError, ValueError
        As `pad2d`; ValueError also if nothing is left of the image.
    """
    xa, params = as_operand("pad2d", "x", x), pad2d_params(cropping)
    y: Array = apply("pad2d", "backward", [xa], params, kernel=kernel)[0]
    return y
