"""rbf: distances of rows from centres, and their Gaussians. Contract in csrc/ops/rbf/rbf.h."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_operand, same_dtype
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Tape, define

__all__ = [
    "OP",
    "rbf_distance",
    "rbf_distance_backward_input",
    "rbf_distance_backward_weight",
    "rbf_gaussian",
    "rbf_gaussian_backward",
    "rbf_params",
]  # fmt: skip


def rbf_params(scale: float = 1.0) -> dict[str, Any]:
    """Parameters of the op.

    Parameters
    ----------
    scale : float
        Factor of the squared distances: -1 makes logits of them, the largest at the nearest centre.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If it is 0 or not finite.
    """
    value = float(scale)
    if not math.isfinite(value) or value == 0:
        raise ValueError(f"[rbf] scale must be finite and not 0, got {scale}")
    return {"scale": value}


def _rows(a: Array) -> Array:
    return a.reshape(-1, a.shape[-1])


def _differences(x: Array, w: Array) -> Any:
    """x_c - w_ck of one row after the other: all of them at once may not fit the memory."""
    return (row[:, None] - w for row in _rows(x))


def _distance(ctx: Context, x: Array, w: Array) -> tuple[Array]:
    d = np.zeros((*x.shape[:-1], w.shape[1]))
    for row, difference in zip(_rows(d), _differences(x, w), strict=True):
        row[...] = ctx["scale"] * (difference**2).sum(axis=0)
    return (d,)


def _backward_input(ctx: Context, dd: Array, x: Array, w: Array) -> tuple[Array]:
    dx = np.zeros(x.shape)
    for row, g, difference in zip(_rows(dx), _rows(dd), _differences(x, w), strict=True):
        row[...] = 2 * ctx["scale"] * (g * difference).sum(axis=1)
    return (dx,)


def _backward_weight(ctx: Context, dd: Array, x: Array, w: Array) -> tuple[Array]:
    dw = np.zeros(w.shape)
    for g, difference in zip(_rows(dd), _differences(x, w), strict=True):
        dw -= 2 * ctx["scale"] * g * difference
    return (dw,)


def _gaussian(ctx: Context, d: Array, s: Array) -> tuple[Array]:
    with np.errstate(all="ignore"):
        return (np.exp(-d / (2 * np.exp(s) ** 2)),)


def _gaussian_backward(
    ctx: Context, dy: Array, y: Array, d: Array, s: Array
) -> tuple[Array, Array | None]:
    with np.errstate(all="ignore"):
        slope = dy * y / np.exp(s) ** 2
        ds = None if ctx.out[1] is None else _rows(slope * d).sum(axis=0)
    return -slope / 2, ds


# A difference is rounded once, its square and the sum as in a product of matrices: n terms of a
# size sum|terms|, with two roundings more for the scale.
def _distance_bound(ctx: Context, x: Array, w: Array) -> tuple[Any]:
    (d,) = _distance(ctx, x, w)
    return ((w.shape[0] + 5) * np.abs(d),)


def _backward_input_bound(ctx: Context, dd: Array, x: Array, w: Array) -> tuple[Any]:
    size = np.zeros(x.shape)
    for row, g, difference in zip(_rows(size), _rows(dd), _differences(x, w), strict=True):
        row[...] = 2 * abs(ctx["scale"]) * np.abs(g * difference).sum(axis=1)
    return ((w.shape[1] + 5) * size,)


def _backward_weight_bound(ctx: Context, dd: Array, x: Array, w: Array) -> tuple[Any]:
    size = np.zeros(w.shape)
    for g, difference in zip(_rows(dd), _differences(x, w), strict=True):
        size += 2 * abs(ctx["scale"]) * np.abs(g * difference)
    return ((len(_rows(x)) + 5) * size,)


def _smallest(ctx: Context) -> float:
    """What a value that flushes to 0 may lose, in units of the roundoff."""
    assert ctx.out[0] is not None
    info = np.finfo(ctx.out[0].dtype)
    return float(info.tiny) / float(info.eps)


# The elementary functions are stated to 3 ulp, 6 roundings: one exp for the width, then one whose
# argument t = d / (2 sigma^2) carries the error of that and of two products.
def _gaussian_bound(ctx: Context, d: Array, s: Array) -> tuple[Any]:
    (y,) = _gaussian(ctx, d, s)
    with np.errstate(all="ignore"):
        t = np.abs(d) / (2 * np.exp(s) ** 2)
        bound = y * (8 + 10 * t) + 1000 * _smallest(ctx) * (1 + np.abs(d))
    return (np.where(np.isfinite(bound), bound, np.inf),)


def _gaussian_backward_bound(
    ctx: Context, dy: Array, y: Array, d: Array, s: Array
) -> tuple[Any, Any]:
    with np.errstate(all="ignore"):
        precision = 1 / np.exp(s) ** 2
        slope, flushed = np.abs(dy * y) * precision, _smallest(ctx) * (1 + precision)
        dd = 10 * slope + flushed
        terms = slope * np.abs(d)
        n = len(_rows(d)) + 10
        ds = n * _rows(terms).sum(axis=0) + _rows(flushed * (1 + np.abs(d))).sum(axis=0)
    return np.where(np.isfinite(dd), dd, np.inf), np.where(np.isfinite(ds), ds, np.inf)


def _infer_distance(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x, w = specs
    assert x is not None and w is not None
    if len(x.shape) < 1 or len(w.shape) != 2:
        raise ValueError(f"[rbf] expected x (..., C) and w (C, K), got x {x.shape} and w {w.shape}")
    if x.shape[-1] != w.shape[0]:
        raise ValueError(
            f"[rbf] x has {x.shape[-1]} features, the centres w have {w.shape[0]} (x is {x.shape}, "
            f"w is {w.shape}); centres are the columns of w, of shape ({x.shape[-1]}, K)"
        )
    return [Spec((*x.shape[:-1], w.shape[1]), x.dtype)]


def _infer_gaussian(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    d, s = specs[-2:]
    assert d is not None and s is not None
    if len(d.shape) < 1 or s.shape != d.shape[-1:]:
        raise ValueError(
            f"[rbf] expected d (..., K) and one log-width s (K,) for each centre, got d {d.shape} "
            f"and s {s.shape}"
        )
    return [Spec(d.shape, d.dtype)]


def _flops(params: Params, inputs: Sequence[Spec | None], outputs: Sequence[Spec | None]) -> int:
    x, w = inputs[-2:]
    assert x is not None and w is not None
    return 3 * math.prod(x.shape[:-1]) * w.size


def _flops_gaussian(
    params: Params, inputs: Sequence[Spec | None], outputs: Sequence[Spec | None]
) -> int:
    assert inputs[0] is not None
    return inputs[0].size * len(inputs)


# fmt: off
def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    params = instruction.params
    if instruction.pass_name == "gaussian":
        (d, s), y = instruction.inputs, instruction.outputs[0]
        ds = s.spec if tape.needs(1) else None
        return tape.emit("rbf", "gaussian_backward", [gradients[0], y, d, s], params=params,
                         out=[d.spec, ds], for_inputs=[0, 1])
    x, w = instruction.inputs
    dx = dw = None
    if tape.needs(1):
        (dw,) = tape.emit("rbf", "backward_weight", [gradients[0], x, w], params=params,
                          out=[w.spec], for_inputs=[1])
    if tape.needs(0):
        (dx,) = tape.emit("rbf", "backward_input", [gradients[0], x, w], params=params,
                          out=[x.spec], for_inputs=[0])
    return [dx, dw]


OP = define(
    Op(
        "rbf",
        (
            Pass("distance", ("x", "w"), ("d",), _distance, _distance_bound,
                 infer=_infer_distance, flops=_flops),
            Pass("backward_input", ("dd", "x", "w"), ("dx",), _backward_input,
                 _backward_input_bound, flops=_flops),
            Pass("backward_weight", ("dd", "x", "w"), ("dw",), _backward_weight,
                 _backward_weight_bound, flops=_flops),
            Pass("gaussian", ("d", "s"), ("y",), _gaussian, _gaussian_bound,
                 infer=_infer_gaussian, flops=_flops_gaussian, inplace=(("y", "d"),)),
            Pass("gaussian_backward", ("dy", "y", "d", "s"), ("dd", "ds?"), _gaussian_backward,
                 _gaussian_backward_bound, flops=_flops_gaussian),
        ),
        _gradient,
    )
)
# fmt: on


def rbf_distance(
    x: ArrayLike, w: ArrayLike, *, scale: float = 1.0, kernel: str | None = None
) -> Array:
    """Squared Euclidean distances of rows from centres.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (..., C)
    w : array_like, shape (C, K)
        The centres, as columns: give ``centres.T`` for centres of shape (K, C).
    scale : float
        Factor of the result, such as -1.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("rbf", "distance")``; by default one is chosen.

    Returns
    -------
    ndarray, shape (..., K)
        ``scale * sum_c (x_c - w_ck)**2``, summed as it stands: near centres cost no digits.

    Raises
    ------
    TypeError
        If a dtype is neither float32 nor float64, or the dtypes differ.
    ValueError
        If the shapes do not fit together, or `scale` is 0 or not finite.
    """
    xa, wa = as_operand("rbf", "x", x), as_operand("rbf", "w", w)
    same_dtype("rbf", x=xa, w=wa)
    d: Array = apply("rbf", "distance", [xa, wa], rbf_params(scale), kernel=kernel)[0]
    return d


def _backward_operands(dd: ArrayLike, x: ArrayLike, w: ArrayLike) -> tuple[Array, Array, Array]:
    arrays = as_operand("rbf", "dd", dd), as_operand("rbf", "x", x), as_operand("rbf", "w", w)
    dda, xa, wa = arrays
    same_dtype("rbf", dd=dda, x=xa, w=wa)
    specs = [Spec(xa.shape, xa.dtype.name), Spec(wa.shape, wa.dtype.name)]
    (d,) = _infer_distance({}, specs)
    assert d is not None
    if dda.shape != d.shape:
        raise ValueError(
            f"[rbf] dd has shape {dda.shape}, expected that of the distances, {d.shape} (x is "
            f"{xa.shape}, w is {wa.shape})"
        )
    return arrays


def rbf_distance_backward_input(
    dd: ArrayLike, x: ArrayLike, w: ArrayLike, *, scale: float = 1.0, kernel: str | None = None
) -> Array:
    """Gradient of `rbf_distance` with respect to the rows.

    Parameters
    ----------
    dd : array_like, shape (..., K)
    x, w, scale, kernel
        As in `rbf_distance`.

    Returns
    -------
    ndarray, shape (..., C)
        ``2 scale sum_k dd_k (x_c - w_ck)``.

    Raises
    ------
    TypeError, ValueError
        As `rbf_distance`.
    """
    arrays = _backward_operands(dd, x, w)
    out = [Spec(arrays[1].shape, arrays[1].dtype.name)]
    params = rbf_params(scale)
    dx: Array = apply("rbf", "backward_input", arrays, params, out=out, kernel=kernel)[0]
    return dx


def rbf_distance_backward_weight(
    dd: ArrayLike, x: ArrayLike, w: ArrayLike, *, scale: float = 1.0, kernel: str | None = None
) -> Array:
    """Gradient of `rbf_distance` with respect to the centres.

    Parameters
    ----------
    dd : array_like, shape (..., K)
    x, w, scale, kernel
        As in `rbf_distance`.

    Returns
    -------
    ndarray, shape (C, K)
        ``2 scale sum_r dd_rk (w_ck - x_rc)``, over all rows r.

    Raises
    ------
    TypeError, ValueError
        As `rbf_distance`.
    """
    arrays = _backward_operands(dd, x, w)
    out = [Spec(arrays[2].shape, arrays[2].dtype.name)]
    params = rbf_params(scale)
    dw: Array = apply("rbf", "backward_weight", arrays, params, out=out, kernel=kernel)[0]
    return dw


def rbf_gaussian(d: ArrayLike, s: ArrayLike, *, kernel: str | None = None) -> Array:
    """Gaussians of squared distances: ``exp(-d_k / (2 sigma_k**2))`` with ``sigma = exp(s)``.

    Parameters
    ----------
    d : array_like of float32 or float64, shape (..., K)
        From `rbf_distance`.
    s : array_like, shape (K,)
        Logarithms of the widths: any number is a width, so training cannot make one negative.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("rbf", "gaussian")``; by default one is chosen.

    Returns
    -------
    ndarray, shape (..., K)

    Raises
    ------
    TypeError
        If a dtype is neither float32 nor float64, or the dtypes differ.
    ValueError
        If the shapes do not fit together.
    """
    da, sa = as_operand("rbf", "d", d), as_operand("rbf", "s", s)
    same_dtype("rbf", d=da, s=sa)
    y: Array = apply("rbf", "gaussian", [da, sa], rbf_params(), kernel=kernel)[0]
    return y


def rbf_gaussian_backward(
    dy: ArrayLike, y: ArrayLike, d: ArrayLike, s: ArrayLike, *, kernel: str | None = None
) -> tuple[Array, Array]:
    """Gradients of `rbf_gaussian`.

    Parameters
    ----------
    dy : array_like, shape (..., K)
    y : array_like, shape (..., K)
        The result of `rbf_gaussian`.
    d, s, kernel
        As in `rbf_gaussian`.

    Returns
    -------
    dd : ndarray, shape (..., K)
        ``-dy y / (2 sigma**2)``.
    ds : ndarray, shape (K,)
        ``sum dy y d / sigma**2`` over all rows, with respect to the logarithm of the width.

    Raises
    ------
    TypeError, ValueError
        As `rbf_gaussian`.
    """
    dya, ya = as_operand("rbf", "dy", dy), as_operand("rbf", "y", y)
    da, sa = as_operand("rbf", "d", d), as_operand("rbf", "s", s)
    same_dtype("rbf", dy=dya, y=ya, d=da, s=sa)
    specs = [Spec(a.shape, a.dtype.name) for a in (da, sa)]
    _infer_gaussian({}, specs)
    if not dya.shape == ya.shape == da.shape:
        raise ValueError(
            f"[rbf] dy, y and d must have one shape, got dy {dya.shape}, y {ya.shape} and d "
            f"{da.shape}"
        )
    arrays = [dya, ya, da, sa]
    dd, ds = apply("rbf", "gaussian_backward", arrays, rbf_params(), out=specs, kernel=kernel)
    return dd, ds
