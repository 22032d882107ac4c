"""lrn: local response normalization. Contract in csrc/ops/lrn/lrn.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit import _core
from convkit.errors import did_you_mean
from convkit.ops.apply import apply, as_int, as_operand, same_dtype
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Tape, define

__all__ = [
    "OP",
    "local_response_normalization",
    "local_response_normalization_backward",
    "lrn_params",
]

ALPHA_PER: tuple[str, ...] = tuple(_core.choices("lrn", "alpha_per"))
NORM_REGIONS: tuple[str, ...] = tuple(_core.choices("lrn", "norm_region"))


def _window_sum(ctx: Context, x: Array, *, mirrored: bool = False) -> Array:
    """Sum over the window of every element; mirrored: over all whose window holds it."""
    reach = (ctx["size"] // 2, (ctx["size"] - 1) // 2)
    before, behind = reach[::-1] if mirrored else reach
    for axis in (-1,) if ctx["norm_region"] == "across_channels" else (1, 2):
        rest = np.moveaxis(x, axis, 0)
        total = np.zeros_like(rest)
        for at in range(len(rest)):
            total[at] = rest[max(at - before, 0) : at + behind + 1].sum(axis=0)
        x = np.moveaxis(total, 0, axis)
    return x


def _terms(ctx: Context) -> int:
    """Values in a window."""
    size = int(ctx["size"])
    return size if ctx["norm_region"] == "across_channels" else size**2


def _factor(ctx: Context) -> float:
    """What the sum of squares is multiplied by."""
    return float(ctx["alpha"] if ctx["alpha_per"] == "sum" else ctx["alpha"] / _terms(ctx))


def _denominator(ctx: Context, x: Array) -> Array:
    return np.asarray(ctx["k"] + _factor(ctx) * _window_sum(ctx, x * x))


def _forward(ctx: Context, x: Array) -> tuple[Array]:
    return (x * _denominator(ctx, x) ** -ctx["beta"],)


def _backward(ctx: Context, dy: Array, x: Array) -> tuple[Array]:
    d, beta = _denominator(ctx, x), ctx["beta"]
    through = _window_sum(ctx, dy * x * d ** (-beta - 1), mirrored=True)
    return (dy * d**-beta - 2 * _factor(ctx) * beta * x * through,)


# All terms of the denominator are positive: n products and sums leave it a relative error of n + 5
# roundings, a power beta of it beta times that. A power by way of a logarithm multiplies the
# logarithm's error by beta log d.
def _power_roundings(ctx: Context, x: Array) -> Array:
    d, beta = _denominator(ctx, x), ctx["beta"]
    n = min(_terms(ctx), 2 * x.size)
    return np.asarray(beta * (n + 5) + 4 * beta * np.abs(np.log(d)) + 8)


def _forward_bound(ctx: Context, x: Array) -> tuple[Any]:
    return (np.abs(_forward(ctx, x)[0]) * _power_roundings(ctx, x),)


def _backward_bound(ctx: Context, dy: Array, x: Array) -> tuple[Any]:
    d, beta, roundings = _denominator(ctx, x), ctx["beta"], _power_roundings(ctx, x)
    n = min(_terms(ctx), 2 * x.size)
    terms = np.abs(dy * x) * d ** (-beta - 1) * (roundings + 2 * n + 10)
    through = 2 * _factor(ctx) * beta * np.abs(x) * _window_sum(ctx, terms, mirrored=True)
    return (np.abs(dy) * d**-beta * (roundings + 1) + through,)


def _check_params(params: Params) -> None:
    for name, names in (("alpha_per", ALPHA_PER), ("norm_region", NORM_REGIONS)):
        if params[name] not in names:
            raise ValueError(
                f"[lrn] unknown {name} {params[name]!r}{did_you_mean(params[name], names)}; "
                f"expected {' or '.join(map(repr, names))}"
            )
    for name in ("alpha", "beta"):
        if not 0 <= float(params[name]) < float("inf"):
            raise ValueError(f"[lrn] {name} is {params[name]}, expected a number >= 0")
    if not 0 < float(params["k"]) < float("inf"):
        raise ValueError(f"[lrn] k is {params['k']}, expected a number > 0")
    if not 1 <= int(params["size"]) < 1 << 31:
        raise ValueError(f"[lrn] size is {params['size']}, expected 1 to 2**31 - 1")


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x = specs[-1]
    assert x is not None
    _check_params(params)
    within = params["norm_region"] == "within_channel"
    if not x.shape or (within and len(x.shape) != 4):
        wanted = "(N, H, W, C) to normalize within a channel" if within else "(..., C)"
        raise ValueError(f"[lrn] expected x {wanted}, got {x.shape}")
    first = specs[0]
    if first is not None and first.shape != x.shape:
        raise ValueError(f"[lrn] dy has shape {first.shape}, expected {x.shape} as x")
    return [x]


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    x = instruction.inputs[0]
    return tape.emit(
        "lrn", "backward", [gradients[0], x], params=instruction.params, for_inputs=[0]
    )


OP = define(
    Op(
        "lrn",
        (
            Pass("forward", ("x",), ("y",), _forward, _forward_bound, infer=_infer),
            Pass("backward", ("dy", "x"), ("dx",), _backward, _backward_bound, infer=_infer),
        ),
        _gradient,
    )
)


def lrn_params(
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 2.0,
    *,
    alpha_per: str = "sum",
    norm_region: str = "across_channels",
) -> dict[str, Any]:
    """Parameters of the op, checked.

    Raises
    ------
    TypeError
        If the size is not an int.
    ValueError
        If one is out of its range or unknown.
    """
    params: dict[str, Any] = {
        "size": as_int("lrn", "size", size),
        "alpha": float(alpha),
        "beta": float(beta),
        "k": float(k),
        "alpha_per": alpha_per,
        "norm_region": norm_region,
    }
    _check_params(params)
    return params


def local_response_normalization(
    x: ArrayLike,
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 2.0,
    *,
    alpha_per: str = "sum",
    norm_region: str = "across_channels",
    kernel: str | None = None,
) -> Array:
    """Divide by a power of the sum of squares nearby: ``x (k + alpha sum x^2)^-beta``.

    Krizhevsky, Sutskever and Hinton, "ImageNet Classification with Deep Convolutional Neural
    Networks", 2012, section 3.3, whose constants are the defaults.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (..., C)
        (N, H, W, C) to normalize within a channel.
    size : int
        Of the window, from ``size // 2`` before to ``(size - 1) // 2`` behind its centre. Nothing
        counts outside of x.
    alpha, beta, k : float
        alpha and beta at least 0, k positive.
    alpha_per : str
        "sum": alpha times the sum, as in the paper and TensorFlow; "size": alpha divided by the
        number of values in a window, as in PyTorch and Caffe.
    norm_region : str
        "across_channels": `size` channels at one place; "within_channel": `size` by `size` pixels
        of one channel.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("lrn", "forward")``; by default one is chosen.

    Returns
    -------
    ndarray of x's shape

    Raises
    ------
    TypeError
        If the dtype is neither float32 nor float64, or the size is not an int.
    ValueError
        If x has not the axes that the region needs, or a parameter is out of its range.

    Notes
    -----
    What others call it: ``tf.nn.local_response_normalization(x, depth_radius, bias, alpha, beta)``
    has ``size=2 * depth_radius + 1, k=bias``; ``torch.nn.LocalResponseNorm(size, alpha, beta, k)``
    has ``alpha_per="size"``; so has Caffe, with ``size=local_size``.
    """
    params = lrn_params(size, alpha, beta, k, alpha_per=alpha_per, norm_region=norm_region)
    y: Array = apply("lrn", "forward", [as_operand("lrn", "x", x)], params, kernel=kernel)[0]
    return y


def local_response_normalization_backward(
    dy: ArrayLike,
    x: ArrayLike,
    size: int = 5,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 2.0,
    *,
    alpha_per: str = "sum",
    norm_region: str = "across_channels",
    kernel: str | None = None,
) -> Array:
    """Gradient of `local_response_normalization` with respect to x.

    Parameters
    ----------
    dy, x : array_like of float32 or float64, shape (..., C)
    size, alpha, beta, k, alpha_per, norm_region, kernel
        As in `local_response_normalization`.

    Returns
    -------
    ndarray of x's shape

    Raises
    ------
    TypeError, ValueError
        As `local_response_normalization`.
    """
    params = lrn_params(size, alpha, beta, k, alpha_per=alpha_per, norm_region=norm_region)
    dya, xa = as_operand("lrn", "dy", dy), as_operand("lrn", "x", x)
    same_dtype("lrn", dy=dya, x=xa)
    dx: Array = apply("lrn", "backward", [dya, xa], params, kernel=kernel)[0]
    return dx
