"""augment: images changed at random, for training. Contract in csrc/ops/augment/augment.h."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from convkit import _core
from convkit.errors import did_you_mean
from convkit.ops.apply import apply, as_operand, as_unsigned, random_step
from convkit.ops.geometry import Pair, image_shape, pair
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Step, Tape, define
from convkit.random import uniform24

__all__ = [
    "CENTRE",
    "FILL_MODES",
    "KINDS",
    "OP",
    "Range",
    "augment",
    "augment_backward",
    "augment_params",
    "drawn_numbers",
]

KINDS = tuple(_core.choices("augment", "kind"))
FILL_MODES = tuple(_core.choices("augment", "fill_mode"))
INTERPOLATIONS = tuple(_core.choices("augment", "interpolation"))
CENTRE = 0.5 - 2.0**-24  # the number of a crop from the middle, the upper left one of two

Range = tuple[float, float]
# What the numbers of each kind may be.
_LIMITS = {
    "flip": (0.0, 1.0), "shift": (-1.0, 1.0), "zoom": (-0.99, 100.0), "rotate": (-1.0, 1.0),
    "crop": (0.0, 1.0),
}  # fmt: skip


class _Map(NamedTuple):
    """Pixel (p, q) comes from the point (a p + b q + c, d p + e q + f)."""

    a: float = 1.0
    b: float = 0.0
    c: float = 0.0
    d: float = 0.0
    e: float = 1.0
    f: float = 0.0


def drawn_numbers(params: Params, step: Step, count: int) -> Array:
    """The numbers r and s of the images of a batch.

    Parameters
    ----------
    params : mapping
        From `augment_params`.
    step : Step
    count : int
        Images.

    Returns
    -------
    ndarray of float64, shape (count, 2)
    """
    u = uniform24(step.seed, int(params["stream"]), step.step, 2 * count).astype(np.float64)
    low = np.array([params["height_low"], params["width_low"]], np.float64)
    high = np.array([params["height_high"], params["width_high"]], np.float64)
    numbers: Array = low + (high - low) * u.reshape(count, 2)
    if params["same"]:
        numbers[:, 1] = numbers[:, 0]
    return numbers


def _map(kind: str, r: float, s: float, x: Sequence[int], y: Sequence[int]) -> _Map:
    height, width = float(x[1]), float(x[2])
    if kind == "flip":
        a, c = (-1.0, height - 1) if r >= 0.5 else (1.0, 0.0)
        e, f = (-1.0, width - 1) if s >= 0.5 else (1.0, 0.0)
        return _Map(a=a, c=c, e=e, f=f)
    if kind == "shift":
        return _Map(c=-(height * r), f=-(width * s))
    if kind == "zoom":
        a, e = 1 + r, 1 + s
        return _Map(a=a, c=(height - 1) / 2 * (1 - a), e=e, f=(width - 1) / 2 * (1 - e))
    if kind == "rotate":
        cosine, sine = math.cos(2 * math.pi * r), math.sin(2 * math.pi * r)
        c = ((height - 1) - (sine * (width - 1) + cosine * (height - 1))) / 2
        f = ((width - 1) - (cosine * (width - 1) - sine * (height - 1))) / 2
        return _Map(cosine, sine, c, -sine, cosine, f)
    rows, columns = height - y[1], width - y[2]
    return _Map(
        c=math.floor((rows + 1) * r) if r < 1 else rows,
        f=math.floor((columns + 1) * s) if s < 1 else columns,
    )


def _inside(i: Array, n: int, mode: str) -> Array:
    """What stands at i of an axis of n pixels; -1 for the fill value."""
    if mode == "constant":
        return np.where((i >= 0) & (i < n), i, -1)
    if mode == "nearest":
        return np.clip(i, 0, n - 1)
    if mode == "wrap":
        return i % n
    i = i % (2 * n)
    return np.where(i < n, i, 2 * n - 1 - i)


def _taps(params: Params, at: Array, n: int) -> list[tuple[Array, Array]]:
    """Pixels of an axis and their weights."""
    mode = str(params["fill_mode"])
    if params["interpolation"] == "nearest":
        nearest = np.floor(at + 0.5).astype(np.int64)
        return [(_inside(nearest, n, mode), np.ones(at.shape))]
    first = np.floor(at).astype(np.int64)
    rest = at - first
    return [(_inside(first, n, mode), 1 - rest), (_inside(first + 1, n, mode), rest)]


def _parts(ctx: Context, x: Sequence[int], y: Sequence[int]) -> Any:
    """For each image the pixels (h, w) that make it up and their weights, in up to 4 parts."""
    numbers = drawn_numbers(ctx.params, ctx.step, x[0])
    p, q = np.arange(y[1])[:, None], np.arange(y[2])[None, :]
    for n, (r, s) in enumerate(numbers.tolist()):
        m = _map(ctx["kind"], r, s, x, y)
        rows = _taps(ctx.params, (m.a * p + m.b * q) + m.c, x[1])
        columns = _taps(ctx.params, (m.d * p + m.e * q) + m.f, x[2])
        for h, a in rows:
            for w, b in columns:
                yield n, h, w, (a * b)[:, :, None], ((h >= 0) & (w >= 0))[:, :, None]


def _output(params: Params, x: Sequence[int]) -> tuple[int, ...]:
    if params["kind"] != "crop":
        return tuple(x)
    return (x[0], int(params["crop_h"]), int(params["crop_w"]), x[3])


def _forward(ctx: Context, x: Array) -> tuple[Array]:
    shape = _output(ctx.params, x.shape)
    y = np.zeros(shape)
    for n, h, w, weight, inside in _parts(ctx, x.shape, shape):
        pixels = np.where(inside, x[n, h, w], ctx["fill_value"])
        y[n] += np.where(weight != 0, weight * pixels, 0)  # of weight 0: not even NaN
    return (y,)


def _backward(ctx: Context, dy: Array) -> tuple[Array]:
    assert ctx.out[0] is not None
    dx = np.zeros(ctx.out[0].shape)
    for n, h, w, weight, inside in _parts(ctx, dx.shape, dy.shape):
        np.add.at(dx[n], (h, w), np.where(inside, weight * dy[n], 0))
    return (dx,)


# Whole pixels are copied; the fill value is rounded. Otherwise two roundings for each weight and
# product, and one for each sum of two.
def _forward_bound(ctx: Context, x: Array) -> tuple[Any]:
    context = Context({**ctx.params, "fill_value": abs(ctx["fill_value"])}, ctx.out, ctx.step)
    if ctx["interpolation"] == "bilinear" and ctx["kind"] not in ("flip", "crop"):
        return (8 * _forward(context, np.abs(x))[0],)
    return (_forward(context, np.zeros_like(x))[0],)


# A pixel collects from as many as there are in places that take it; few, but for shrinking and
# for edges that are repeated.
def _backward_bound(ctx: Context, dy: Array) -> tuple[Any]:
    terms = _backward(ctx, np.ones_like(dy))[0] + 16
    count = np.zeros_like(terms)
    for n, h, w, weight, inside in _parts(ctx, terms.shape, dy.shape):
        np.add.at(count[n], (h, w), np.where(inside & (weight != 0), 1.0, 0.0))
    return ((count + 4) * _backward(ctx, np.abs(dy))[0],)


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x = specs[0]
    assert x is not None
    n, h, w, c = image_shape("augment", "x", x.shape)
    y = _output(params, (n, h, w, c))
    if y[1] > h or y[2] > w:
        raise ValueError(
            f"[augment] a crop of {y[1]} x {y[2]} pixels does not fit into images of {h} x {w}; "
            "crop less, or pad them before"
        )
    return [Spec(y, x.dtype)]


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    (x,) = instruction.inputs
    return tape.emit(
        "augment", "backward", [gradients[0]], params=instruction.params, out=[x.spec],
        for_inputs=[0],
    )  # fmt: skip


# fmt: off
OP = define(
    Op(
        "augment",
        (
            Pass("forward", ("x",), ("y",), _forward, _forward_bound, infer=_infer),
            Pass("backward", ("dy",), ("dx",), _backward, _backward_bound),
        ),
        _gradient,
    )
)
# fmt: on


def _range(kind: str, name: str, value: Any) -> Range:
    low, high = _LIMITS[kind]
    try:
        first, last = (float(v) for v in value)
    except (TypeError, ValueError):
        raise TypeError(f"[augment] {name} must be two numbers, got {value!r}") from None
    if not low <= first <= last <= high:
        raise ValueError(
            f"[augment] {name} is ({first:g}, {last:g}), expected two numbers from {low:g} to "
            f"{high:g} for {kind!r}, the smaller one first"
        )
    return first, last


def augment_params(
    kind: str,
    height: Range = (0.0, 0.0),
    width: Range | None = (0.0, 0.0),
    *,
    size: Pair | None = None,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    stream: int = 0,
) -> dict[str, int | float | str]:
    """Parameters of the op, checked.

    Raises
    ------
    TypeError, ValueError
        If a name is unknown or a number is out of its range.
    """
    names = {
        "kind": (kind, KINDS),
        "interpolation": (interpolation, INTERPOLATIONS),
        "fill_mode": (fill_mode, FILL_MODES),
    }
    for name, (value, known) in names.items():
        if value not in known:
            raise ValueError(
                f"[augment] {name} must be one of {', '.join(map(repr, known))}, got "
                f"{value!r}{did_you_mean(str(value), known)}"
            )
    height = _range(kind, "height", height)
    both = height if width is None else _range(kind, "width", width)
    if (size is None) == (kind == "crop"):
        raise ValueError(f"[augment] size belongs to a crop, got {size!r} for {kind!r}")
    crop_h, crop_w = (0, 0) if size is None else pair("augment", "size", size)
    if not math.isfinite(fill_value):
        raise ValueError(f"[augment] fill_value is {fill_value}, expected a finite number")
    return {
        "kind": kind,
        "height_low": height[0],
        "height_high": height[1],
        "width_low": both[0],
        "width_high": both[1],
        "same": int(width is None),
        "crop_h": crop_h,
        "crop_w": crop_w,
        "interpolation": interpolation,
        "fill_mode": fill_mode,
        "fill_value": float(fill_value),
        "stream": as_unsigned("augment", "stream", stream, 32),
    }


def augment(
    x: ArrayLike,
    kind: str,
    height: Range = (0.0, 0.0),
    width: Range | None = (0.0, 0.0),
    *,
    size: Pair | None = None,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    fill_value: float = 0.0,
    seed: int,
    step: int = 0,
    stream: int = 0,
    kernel: str | None = None,
) -> Array:
    """Change images at random, each in its own way.

    For each image two numbers are drawn, one for its height and one for its width. They follow
    from seed, step, stream and the image's place in the batch.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (N, H, W, C)
    kind : {"flip", "shift", "zoom", "rotate", "crop"}
        "flip" mirrors an axis whose number is 1/2 or more. "shift" moves the image down and to the
        right by its numbers, in parts of the image. "zoom" shrinks the image to a (1 + number)-th;
        negative numbers enlarge it. "rotate" turns it counter-clockwise by the height's number of
        whole turns. "crop" cuts out `size`: 0 is the first place, and just under 1 the last one.
    height, width : pair of float
        From where to where the numbers are, each as likely; `width` None: the height's number.
    size : int or pair of int, optional
        Height and width of a crop.
    interpolation : {"bilinear", "nearest"}
        What is between pixels.
    fill_mode : {"reflect", "nearest", "wrap", "constant"}
        What is beyond the edges: the mirrored image, the last pixel, the image again, or
        `fill_value`.
    fill_value : float
    seed : int
        Key of the generator, an unsigned 64-bit number.
    step : int
        Training step.
    stream : int
        Number of the layer: different streams draw independent numbers.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("augment", "forward")``; by default one is chosen.

    Returns
    -------
    ndarray, shape (N, H, W, C), or (N, *size, C) for a crop

    Raises
    ------
    TypeError
        If x is neither float32 nor float64, or another argument is of a wrong type.
    ValueError
        If x has not 4 dimensions, a name is unknown or a number is out of its range.
    """
    operand = as_operand("augment", "x", x)
    params = augment_params(
        kind, height, width, size=size, interpolation=interpolation, fill_mode=fill_mode,
        fill_value=fill_value, stream=stream,
    )  # fmt: skip
    block = random_step("augment", seed, step)
    y: Array = apply("augment", "forward", [operand], params, kernel=kernel, step=block)[0]
    return y


def augment_backward(
    dy: ArrayLike,
    kind: str,
    height: Range = (0.0, 0.0),
    width: Range | None = (0.0, 0.0),
    *,
    shape: Sequence[int] | None = None,
    interpolation: str = "bilinear",
    fill_mode: str = "reflect",
    seed: int,
    step: int = 0,
    stream: int = 0,
    kernel: str | None = None,
) -> Array:
    """Gradient of `augment` with respect to the images.

    Parameters
    ----------
    dy : array_like of float32 or float64, shape (N, P, Q, C)
    shape : pair of int, optional
        Height and width of the images that a crop was taken of.
    kind, height, width, interpolation, fill_mode, seed, step, stream, kernel
        As in `augment`.

    Returns
    -------
    ndarray, shape (N, H, W, C)

    Raises
    ------
    TypeError, ValueError
        As `augment`.
    """
    operand = as_operand("augment", "dy", dy)
    n, p, q, c = image_shape("augment", "dy", operand.shape)
    if (shape is None) == (kind == "crop"):
        raise ValueError(f"[augment] shape belongs to a crop, got {shape!r} for {kind!r}")
    height_x, width_x = (p, q) if shape is None else pair("augment", "shape", shape)
    params = augment_params(
        kind, height, width, size=(p, q) if kind == "crop" else None, interpolation=interpolation,
        fill_mode=fill_mode, stream=stream,
    )  # fmt: skip
    x = Spec((n, height_x, width_x, c), operand.dtype.name)
    _infer(params, [x])  # refuses a crop that does not fit
    block = random_step("augment", seed, step)
    dx: Array = apply("augment", "backward", [operand], params, out=[x], kernel=kernel, step=block)[
        0
    ]
    return dx
