"""dense: ``y = f(x w + b)`` on the last axis. Contract in csrc/ops/dense/dense.h."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops import products
from convkit.ops.activation import (
    activate,
    activation_gradient,
    activation_params,
    fused_bound,
)
from convkit.ops.apply import apply, as_operand, same_dtype
from convkit.ops.products import Units
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Tape, define
from convkit.ops.through import through_bound, through_input, through_operand, through_params

__all__ = [
    "OP",
    "dense",
    "dense_backward_bias",
    "dense_backward_input",
    "dense_backward_weight",
    "dense_params",
]


def dense_params(activation: str | None = None, alpha: float | None = None) -> dict[str, Any]:
    """Parameters of the op from the arguments of `dense`, checked."""
    return {**activation_params(activation, alpha), **through_params()}


def _forward(ctx: Context, x: Array, w: Array, b: Array | None) -> tuple[Array]:
    y = x @ w
    if b is not None:
        y = y + b
    return (activate(y, ctx["activation"], ctx["alpha"]),)


def _backward_input(ctx: Context, dy: Array, w: Array, x: Array | None) -> tuple[Array]:
    return (through_input(ctx, dy @ w.T, x),)


def _backward_weight(ctx: Context, dy: Array, x: Array) -> tuple[Array, Array | None]:
    rows_dy, rows_x = dy.reshape(-1, dy.shape[-1]), x.reshape(-1, x.shape[-1])
    return rows_x.T @ rows_dy, None if ctx.out[1] is None else rows_dy.sum(axis=0)


def _backward_bias(ctx: Context, dy: Array) -> tuple[Array]:
    return (dy.reshape(-1, dy.shape[-1]).sum(axis=0),)


# The sum of n products, in any order, is within n eps sum|x||w| (Higham 2002, eq. 3.5), with one
# term more for the bias. `units` is n, or more where operands are rounded.
def _forward_bound(
    ctx: Context, x: Array, w: Array, b: Array | None, units: Units = float
) -> tuple[Any]:
    magnitude = np.abs(x) @ np.abs(w) + (0 if b is None else np.abs(b))
    total = x @ w + (0 if b is None else b)
    return (fused_bound(ctx, total, units(w.shape[0] + 1) * magnitude),)


def _backward_input_bound(
    ctx: Context, dy: Array, w: Array, x: Array | None, units: Units = float
) -> tuple[Any]:
    bound = units(w.shape[1] + 1) * (np.abs(dy) @ np.abs(w).T)
    return (through_bound(ctx, dy @ w.T, bound, x),)


def _backward_weight_bound(
    ctx: Context, dy: Array, x: Array, units: Units = float
) -> tuple[Any, Any]:
    rows_dy, rows_x = np.abs(dy).reshape(-1, dy.shape[-1]), np.abs(x).reshape(-1, x.shape[-1])
    n = units(rows_dy.shape[0] + 1)
    return n * (rows_x.T @ rows_dy), n * rows_dy.sum(axis=0)


def _backward_bias_bound(ctx: Context, dy: Array) -> tuple[Any]:
    return (math.prod(dy.shape[:-1]) * np.abs(dy).reshape(-1, dy.shape[-1]).sum(axis=0),)


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x, w, b = specs
    assert x is not None and w is not None
    if len(x.shape) < 1 or len(w.shape) != 2:
        raise ValueError(
            f"[dense] expected x (..., C) and w (C, K), got x {x.shape} and w {w.shape}"
        )
    if x.shape[-1] != w.shape[0]:
        raise ValueError(
            f"[dense] x has {x.shape[-1]} features, w expects {w.shape[0]} "
            f"(x is {x.shape}, w is {w.shape}); reshape x or use w of shape "
            f"({x.shape[-1]}, {w.shape[1]})"
        )
    if b is not None and b.shape != w.shape[1:]:
        raise ValueError(f"[dense] b has shape {b.shape}, expected {w.shape[1:]} (w is {w.shape})")
    return [Spec((*x.shape[:-1], w.shape[1]), x.dtype)]


def _infer_bias(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    (dy,) = specs
    assert dy is not None
    return [Spec(dy.shape[-1:], dy.dtype)]


def _flops(params: Params, inputs: Sequence[Spec | None], outputs: Sequence[Spec | None]) -> int:
    first, second = inputs[0], inputs[1]
    assert first is not None and second is not None
    return 2 * math.prod(first.shape[:-1]) * second.size


def _flops_weight(
    params: Params, inputs: Sequence[Spec | None], outputs: Sequence[Spec | None]
) -> int:
    dy, x = inputs[0], inputs[1]
    assert dy is not None and x is not None
    return 2 * dy.size * x.shape[-1]


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    x, w, b = instruction.inputs
    dy = activation_gradient(tape, instruction, gradients[0])
    dx = dw = db = None
    if tape.needs(1) or (b is not None and tape.needs(2)):
        out = [w.spec, None if b is None else b.spec]
        dw, db = tape.emit(
            "dense",
            "backward_weight",
            [dy, x],
            out=out,
            params=instruction.params,
            for_inputs=[1, 2],
        )
    if tape.needs(0):
        (dx,) = tape.emit(
            "dense",
            "backward_input",
            [dy, w, None],
            out=[x.spec],
            params=instruction.params,
            for_inputs=[0],
        )
    return [dx, dw, db]


OP = define(
    Op(
        "dense",
        (
            Pass(
                "forward",
                ("x", "w", "b?"),
                ("y",),
                _forward,
                _forward_bound,
                infer=_infer,
                flops=_flops,
                bounds=products.rounded_bounds(_forward_bound),
                chosen_where=products.DENSE,
            ),
            Pass(
                "backward_input",
                ("dy", "w", "x?"),
                ("dx",),
                _backward_input,
                _backward_input_bound,
                flops=_flops,
                bounds=products.rounded_bounds(_backward_input_bound),
                chosen_where=products.DENSE,
            ),
            Pass(
                "backward_weight",
                ("dy", "x"),
                ("dw", "db?"),
                _backward_weight,
                _backward_weight_bound,
                flops=_flops_weight,
                bounds=products.rounded_bounds(_backward_weight_bound),
                # dense_update, which keeps no gradient, has the sums of cpu_tiled: with the same
                # row here, its bits do not depend on whether gradients are kept.
                chosen_where={
                    "cpu_blas": lambda params, specs: False,
                    **products.DENSE_WEIGHT,
                },
            ),
            Pass(
                "backward_bias",
                ("dy",),
                ("db",),
                _backward_bias,
                _backward_bias_bound,
                infer=_infer_bias,
            ),
        ),
        _gradient,
    )
)


def dense(
    x: ArrayLike,
    w: ArrayLike,
    b: ArrayLike | None = None,
    *,
    activation: str | None = None,
    alpha: float | None = None,
    kernel: str | None = None,
) -> Array:
    """Fully connected layer: ``f(x w + b)``.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (..., C)
    w : array_like, shape (C, K)
    b : array_like, shape (K,), optional
    activation : str, optional
        Name of an activation, applied to the result.
    alpha : float, optional
        The activation's parameter (leaky_relu, elu).
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("dense", "forward")``; by default one is chosen.

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
    xa, wa = as_operand("dense", "x", x), as_operand("dense", "w", w)
    ba = None if b is None else as_operand("dense", "b", b)
    same_dtype("dense", x=xa, w=wa, b=ba)
    params = dense_params(activation, alpha)
    y: Array = apply("dense", "forward", [xa, wa, ba], params, kernel=kernel)[0]
    return y


def dense_backward_input(
    dy: ArrayLike,
    w: ArrayLike,
    *,
    x: ArrayLike | None = None,
    through: str | None = None,
    through_alpha: float | None = None,
    kernel: str | None = None,
) -> Array:
    """Gradient with respect to the input: ``dy w^T``.

    Parameters
    ----------
    dy : array_like, shape (..., K)
    w : array_like, shape (C, K)
    x : array_like, optional
        The layer's own input, in the shape of the result, where an activation gave it and the
        gradient of what that was applied to is wanted: the result is then multiplied by the
        activation's derivative.
    through : str, optional
        Name of that activation; not gelu or silu, whose derivative is no function of x.
    through_alpha : float, optional
        Its parameter (leaky_relu, elu).
    kernel : str, optional

    Returns
    -------
    ndarray, shape (..., C)

    Raises
    ------
    TypeError, ValueError
        As `dense`.
    """
    dya, wa = as_operand("dense", "dy", dy), as_operand("dense", "w", w)
    same_dtype("dense", dy=dya, w=wa)
    if dya.ndim < 1 or wa.ndim != 2 or dya.shape[-1] != wa.shape[1]:
        raise ValueError(
            f"[dense] expected dy (..., K) and w (C, K), got dy {dya.shape} and w {wa.shape}"
        )
    out = Spec((*dya.shape[:-1], wa.shape[0]), dya.dtype.name)
    xa, passed = through_operand("dense", x, out, through, through_alpha)
    params = {**dense_params(), **passed}
    dx: Array = apply("dense", "backward_input", [dya, wa, xa], params, out=[out], kernel=kernel)[0]
    return dx


def dense_backward_weight(
    dy: ArrayLike, x: ArrayLike, *, kernel: str | None = None
) -> tuple[Array, Array]:
    """Gradients with respect to weight and bias: ``x^T dy`` and the sum of dy over the rows.

    Parameters
    ----------
    dy : array_like, shape (..., K)
    x : array_like, shape (..., C)
    kernel : str, optional

    Returns
    -------
    dw : ndarray, shape (C, K)
    db : ndarray, shape (K,)

    Raises
    ------
    TypeError, ValueError
        As `dense`.
    """
    dya, xa = as_operand("dense", "dy", dy), as_operand("dense", "x", x)
    same_dtype("dense", dy=dya, x=xa)
    if dya.ndim < 1 or dya.shape[:-1] != xa.shape[:-1]:
        raise ValueError(
            f"[dense] dy and x must have the same leading axes, got dy {dya.shape} and x {xa.shape}"
        )
    c, k = xa.shape[-1], dya.shape[-1]
    out = [Spec((c, k), dya.dtype.name), Spec((k,), dya.dtype.name)]
    dw, db = apply("dense", "backward_weight", [dya, xa], dense_params(), out=out, kernel=kernel)
    return dw, db


def dense_backward_bias(dy: ArrayLike, *, kernel: str | None = None) -> Array:
    """Gradient with respect to the bias alone: the sum of dy over the rows.

    Parameters
    ----------
    dy : array_like, shape (..., K)
    kernel : str, optional

    Returns
    -------
    ndarray, shape (K,)

    Raises
    ------
    TypeError
        If dy is neither float32 nor float64.
    ValueError
        If dy is a single number.
    """
    dya = as_operand("dense", "dy", dy)
    if dya.ndim < 1:
        raise ValueError("[dense] expected dy (..., K), got a single number")
    db: Array = apply("dense", "backward_bias", [dya], dense_params(), kernel=kernel)[0]
    return db
