"""softmax and log_softmax over the last axis. Contract in csrc/ops/softmax/softmax.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_operand, same_dtype
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Tape, define

__all__ = ["OP", "log_softmax", "log_softmax_backward", "softmax", "softmax_backward"]


def _shifted(x: Array) -> Array:
    """``x - max x``: what exp then takes cannot overflow."""
    with np.errstate(invalid="ignore"):  # a row of -inf only, or with +inf, gives NaN
        return np.asarray(x - x.max(axis=-1, keepdims=True))


def _sum(x: Array) -> Array:
    return np.asarray(x.sum(axis=-1, keepdims=True))


def _forward(ctx: Context, x: Array) -> tuple[Array]:
    e = np.exp(_shifted(x))
    return (e / _sum(e),)


def _backward(ctx: Context, dy: Array, y: Array) -> tuple[Array]:
    return (y * (dy - _sum(dy * y)),)


def _log_forward(ctx: Context, x: Array) -> tuple[Array]:
    t = _shifted(x)
    return (t - np.log(_sum(np.exp(t))),)


def _log_backward(ctx: Context, dy: Array, y: Array) -> tuple[Array]:
    return (dy - np.exp(y) * _sum(dy),)


# First order, in units of the unit roundoff eps. The difference t = x - max is rounded, so exp(t)
# is off by |t| + 6 relative to itself (exp is stated to 3 ulp, 6 eps), and their sum by K more and
# by the mean of the |t|, weighted with the result. What is denormal may be flushed: `_floor`.
def _floor(ctx: Context) -> float:
    assert ctx.out[0] is not None
    info = np.finfo(ctx.out[0].dtype)
    return 4 * float(info.tiny) / float(info.eps)


def _sum_error(x: Array) -> tuple[Array, Array, Array]:
    """|t|, result, and error of the sum of exp(t) relative to it."""
    t = np.abs(_shifted(x))
    e = np.exp(-t)
    y = e / _sum(e)
    mean = _sum(np.where(e == 0, 0, np.where(np.isinf(t), 0, t) * y))
    return t, y, x.shape[-1] + 6 + mean


def _forward_bound(ctx: Context, x: Array) -> tuple[Any]:
    t, y, of_sum = _sum_error(x)
    finite = np.where(np.isinf(t), 0, t)
    return (y * (finite + 6 + of_sum + 3) + _floor(ctx),)


def _backward_bound(ctx: Context, dy: Array, y: Array) -> tuple[Any]:
    terms = y.shape[-1] + 4
    size = np.abs(dy)
    bound = np.abs(y) * (4 * size + terms * _sum(size * np.abs(y)))
    return (bound + _floor(ctx) * (1 + size + _sum(size)),)


def _log_forward_bound(ctx: Context, x: Array) -> tuple[Any]:
    t, _, of_sum = _sum_error(x)
    log = np.log(_sum(np.exp(-t)))
    # The difference, the logarithm of a sum that is off by of_sum, and the last subtraction.
    return (np.where(np.isinf(t), 0, 3 * t) + of_sum + 2 + 8 * log,)


def _log_backward_bound(ctx: Context, dy: Array, y: Array) -> tuple[Any]:
    terms = y.shape[-1] + 12  # the sum, exp's 6, and the rest
    size = np.abs(dy)
    return (2 * size + (terms * np.exp(y) + _floor(ctx)) * _sum(size),)


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x = specs[0]
    assert x is not None
    if not x.shape or x.shape[-1] == 0:
        raise ValueError(f"[softmax] x must have a last axis that is not empty, got {x.shape}")
    return [x]


def _infer_backward(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    dy, y = specs
    assert dy is not None and y is not None
    if dy.shape != y.shape:
        raise ValueError(f"[softmax] dy has shape {dy.shape}, expected that of y, {y.shape}")
    return _infer(params, [y])


# Maximum, difference, exp, sum and division; product, sum, difference and product.
def _flops(params: Params, inputs: Sequence[Spec | None], outputs: Sequence[Spec | None]) -> int:
    assert inputs[0] is not None
    return inputs[0].size * (5 if len(inputs) == 1 else 4)


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    x, y = instruction.inputs[0], instruction.outputs[0]
    backward = "log_backward" if instruction.pass_name == "log_forward" else "backward"
    return tape.emit("softmax", backward, [gradients[0], y], out=[x.spec], for_inputs=[0])


# fmt: off
OP = define(
    Op(
        "softmax",
        (
            Pass("forward", ("x",), ("y",), _forward, _forward_bound, infer=_infer, flops=_flops),
            Pass("backward", ("dy", "y"), ("dx",), _backward, _backward_bound,
                 infer=_infer_backward, flops=_flops),
            Pass("log_forward", ("x",), ("y",), _log_forward, _log_forward_bound,
                 infer=_infer, flops=_flops),
            Pass("log_backward", ("dy", "y"), ("dx",), _log_backward, _log_backward_bound,
                 infer=_infer_backward, flops=_flops),
        ),
        _gradient,
    )
)
# fmt: on


def softmax(x: ArrayLike, *, kernel: str | None = None) -> Array:
    """``exp(x) / sum exp(x)`` over the last axis, without overflow.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (..., K)
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("softmax", "forward")``; by default one is chosen.

    Returns
    -------
    ndarray, shape (..., K)

    Raises
    ------
    TypeError
        If the dtype is neither float32 nor float64.
    ValueError
        If there is no last axis or it is empty.
    """
    y: Array = apply("softmax", "forward", [as_operand("softmax", "x", x)], kernel=kernel)[0]
    return y


def softmax_backward(dy: ArrayLike, y: ArrayLike, *, kernel: str | None = None) -> Array:
    """Gradient of `softmax` with respect to its input: ``y (dy - sum dy y)``.

    Parameters
    ----------
    dy, y : array_like of float32 or float64, shape (..., K)
        Gradient of the result, and the result.
    kernel : str, optional

    Returns
    -------
    ndarray, shape (..., K)

    Raises
    ------
    TypeError, ValueError
        As `softmax`; ValueError also if the shapes differ.
    """
    return _apply_backward("backward", dy, y, kernel)


def log_softmax(x: ArrayLike, *, kernel: str | None = None) -> Array:
    """``x - log sum exp(x)`` over the last axis, without overflow.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (..., K)
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("softmax", "log_forward")``.

    Returns
    -------
    ndarray, shape (..., K)

    Raises
    ------
    TypeError, ValueError
        As `softmax`.

    References
    ----------
    Blanchard, Higham and Higham, "Accurately computing the log-sum-exp and softmax functions",
    IMA Journal of Numerical Analysis 41 (2021).
    """
    y: Array = apply("softmax", "log_forward", [as_operand("softmax", "x", x)], kernel=kernel)[0]
    return y


def log_softmax_backward(dy: ArrayLike, y: ArrayLike, *, kernel: str | None = None) -> Array:
    """Gradient of `log_softmax` with respect to its input: ``dy - exp(y) sum dy``.

    Parameters
    ----------
    dy, y : array_like of float32 or float64, shape (..., K)
        Gradient of the result, and the result.
    kernel : str, optional

    Returns
    -------
    ndarray, shape (..., K)

    Raises
    ------
    TypeError, ValueError
        As `softmax`; ValueError also if the shapes differ.
    """
    return _apply_backward("log_backward", dy, y, kernel)


def _apply_backward(pass_name: str, dy: ArrayLike, y: ArrayLike, kernel: str | None) -> Array:
    dya, ya = as_operand("softmax", "dy", dy), as_operand("softmax", "y", y)
    same_dtype("softmax", dy=dya, y=ya)
    dx: Array = apply("softmax", pass_name, [dya, ya], kernel=kernel)[0]
    return dx
