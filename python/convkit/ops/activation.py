"""activation: ``y = f(x)``, elementwise. Contract in csrc/ops/activation/activation.h.

Other ops apply an activation to what they write; they take its formulas, its parameters, its error
and its gradient from here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.activation_formulas import (
    FROM_OUTPUT,
    KINDS,
    SELU_ALPHA,
    SELU_SCALE,
    TANH_SCALE,
    TANH_SLOPE,
    activate,
    activation_params,
    derivative_from_input,
    derivative_from_output,
    logistic,
)
from convkit.ops.apply import apply, as_operand, same_dtype
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Tape, define

__all__ = [
    "FROM_OUTPUT", "KINDS", "OP", "activate", "activation", "activation_backward",
    "activation_error", "activation_gradient", "activation_params", "derivative_from_input",
    "derivative_from_output", "elu", "exponential", "from_output_bound", "fused_bound", "gelu",
    "hard_sigmoid", "hardtanh", "leaky_relu", "linear", "refuse_without_derivative", "relu",
    "scaled_tanh", "selu", "sigmoid", "silu", "softplus", "softsign", "step", "tanh",
]  # fmt: skip

# Bounds, in units of the unit roundoff eps (2^-24 for float32): a rounding costs 1 eps |y|, one ulp
# at most 2 eps |y|. The elementary functions are stated to 3 ulp, so 6; two more are for constants
# and products. They may flush what is denormal: up to _floor, far below any other error.
_EXACT = frozenset({"linear", "relu", "hardtanh", "step"})


def _floor(dtype: str) -> float:
    info = np.finfo(dtype)
    return 1000 * float(info.tiny) / float(info.eps)


def _overflows(y: Array, dtype: str) -> Array:
    """Where the result is so near the dtype's largest number that inf is as good an answer."""
    return np.asarray(np.abs(y) >= float(np.finfo(dtype).max) * (1 - 1e-6))


def activation_error(x: Array, kind: str, alpha: float, dtype: str) -> Array:
    """Error of ``f(x)`` for an exact x, in units of eps."""
    if kind in _EXACT:
        return np.zeros_like(x)
    y = np.abs(activate(x, kind, alpha))
    error = (10 if kind in ("selu", "scaled_tanh") else 8) * y + _floor(dtype)
    if kind == "gelu":  # x/2 (1 + erf) loses, for x << 0, the digits that 1 and erf share
        error = error + 4 * np.abs(x)
    if kind == "hard_sigmoid":  # as x/6 + 1/2 it is accurate absolutely, not relatively
        error = error + 2
    return np.where(_overflows(y, dtype), np.inf, error)


def fused_bound(ctx: Context, s: Array, bound: Array) -> Array:
    """Bound of ``f(s)`` where the sum s itself is within ``eps * bound``.

    The error of the sum is multiplied by the steepest slope of f near s.
    """
    kind, alpha = ctx["activation"], ctx["alpha"]
    assert ctx.out[0] is not None
    dtype = ctx.out[0].dtype
    steepest = {
        "gelu": 1.13,
        "silu": 1.1,
        "selu": SELU_SCALE * SELU_ALPHA,
        "scaled_tanh": TANH_SCALE * TANH_SLOPE,
    }
    slope: Any = steepest.get(kind, 1.0)
    if kind in ("leaky_relu", "elu"):
        slope = max(1.0, alpha)
    reach = float(np.finfo(dtype).eps) * bound
    with np.errstate(all="ignore"):
        if kind == "exponential":
            slope = np.exp(s + reach)
        if kind == "step":  # no bound where rounding may change the sign
            slope = np.where(np.abs(s) <= reach, np.inf, 0.0)
        return np.where(bound == 0, 0.0, slope * bound) + activation_error(s, kind, alpha, dtype)


def _forward(ctx: Context, x: Array) -> tuple[Array]:
    return (activate(x, ctx["activation"], ctx["alpha"]),)


def _forward_bound(ctx: Context, x: Array) -> tuple[Array]:
    assert ctx.out[0] is not None
    return (activation_error(x, ctx["activation"], ctx["alpha"], ctx.out[0].dtype),)


def _backward(ctx: Context, dy: Array, x: Array) -> tuple[Array]:
    return (dy * derivative_from_input(x, ctx["activation"], ctx["alpha"]),)


def _backward_bound(ctx: Context, dy: Array, x: Array) -> tuple[Array]:
    kind, alpha = ctx["activation"], ctx["alpha"]
    if kind in _EXACT:
        return (np.zeros_like(x),)
    d = np.abs(derivative_from_input(x, kind, alpha))
    s, ax = logistic(x), np.abs(x)
    match kind:
        case "sigmoid":  # s (1 - s): the 6 eps s of s stay where 1 - s is small
            error = 10 * s
        case "tanh":  # 1 - t^2: twice the 6 eps t of t, and the rounding of t^2
            error = 13 * np.tanh(x) ** 2 + 3 * d
        case "scaled_tanh":  # as tanh, of a rounded 2x/3, and times 1.14
            error = 20 * np.tanh(TANH_SLOPE * x) ** 2 + 5 * d
        case "gelu":  # the distribution function and x times the density, each of size 1
            error = np.full_like(x, 10.0)
        case "silu":  # s + x s (1 - s)
            error = 10 * s * (1 + ax)
        case "selu":
            error = 12 * d
        case _:
            error = 10 * d
    return (_derivative_bound(ctx, dy, d, error),)


def _backward_from_output(ctx: Context, dy: Array, y: Array) -> tuple[Array]:
    return (dy * derivative_from_output(y, ctx["activation"], ctx["alpha"]),)


def _backward_from_output_bound(ctx: Context, dy: Array, y: Array) -> tuple[Array]:
    return (from_output_bound(ctx, ctx["activation"], ctx["alpha"], dy, y),)


def from_output_bound(ctx: Context, kind: str, alpha: float, dy: Array, y: Array) -> Array:
    """Bound of ``dy f'``, the derivative given y, for a dy that is exact."""
    if kind in _EXACT:
        return np.zeros_like(y)
    d = np.abs(derivative_from_output(y, kind, alpha))
    match kind:
        case "tanh":  # 1 - y^2: y is exact, its square is rounded
            error = y * y + 3 * d
        case "scaled_tanh":  # (A - y)(A + y): A is rounded to the dtype
            error = 7 * d + np.abs(y) + TANH_SCALE
        case "elu":  # y + alpha: alpha is rounded to the dtype
            error = 3 * d + np.where(y > 0, 0.0, abs(alpha))
        case "selu":
            error = 3 * d + np.where(y > 0, 0.0, SELU_SCALE * SELU_ALPHA)
        case "softplus":  # 1 - exp(-y), by expm1
            error = 8 * d
        case _:  # a product or two
            error = 5 * d
    return _derivative_bound(ctx, dy, d, error)


def _derivative_bound(ctx: Context, dy: Array, d: Array, error: Array) -> Array:
    assert ctx.out[0] is not None
    dtype, size = ctx.out[0].dtype, np.abs(dy)
    with np.errstate(all="ignore"):
        bound = size * error + _floor(dtype) * (1 + size)
        return np.where(_overflows(d, dtype) | _overflows(dy * d, dtype), np.inf, bound)


def activation_gradient(tape: Tape, instruction: Any, dy: Any) -> Any:
    """Gradient before the activation that `instruction` applies to its first output.

    Parameters
    ----------
    tape : Tape
    instruction : Instruction
        Its parameters are those of `activation_params` and possibly more.
    dy : Value
        Gradient of its first output.

    Returns
    -------
    Value
        `dy` itself where the activation is linear.

    Raises
    ------
    ValueError
        If the activation's derivative needs its input, which a fused kernel does not keep, or is 0
        everywhere.
    """
    kind, alpha = instruction.params["activation"], instruction.params["alpha"]
    if kind == "linear":
        return dy
    refuse_without_derivative(instruction)
    y = instruction.outputs[0]
    params = {"activation": kind, "alpha": alpha}
    return tape.emit(
        "activation", "backward_from_output", [dy, y], params=params, out=[y.spec]
    )[0]  # fmt: skip


def refuse_without_derivative(instruction: Any) -> None:
    """Refuse a fused activation whose derivative its output does not give.

    Raises
    ------
    ValueError
        As `activation_gradient`.
    """
    _refuse_step(instruction)
    kind = instruction.params["activation"]
    if kind not in FROM_OUTPUT:
        raise ValueError(
            f"[{instruction.op}] {kind} cannot be fused where a gradient is wanted: its derivative "
            "needs its input; use a separate activation"
        )


def _refuse_step(instruction: Any) -> None:
    """A step passes no gradient back: what lies before it would silently stay as it is."""
    if instruction.params["activation"] == "step":
        raise ValueError(
            f"layer {instruction.layer!r}: step has the derivative 0 everywhere, so nothing before "
            "it can be trained by backpropagation; use sigmoid, or models.Perceptron, or set "
            "trainable=False on the layers up to the step"
        )


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    _refuse_step(instruction)
    (x,), (dy,) = instruction.inputs, gradients
    if instruction.params["activation"] in FROM_OUTPUT:
        return [activation_gradient(tape, instruction, dy)]
    return tape.emit(
        "activation", "backward", [dy, x], params=instruction.params, out=[x.spec], for_inputs=[0]
    )


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    first, second = specs[0], specs[-1]
    assert first is not None and second is not None
    if first.shape != second.shape:
        raise ValueError(
            f"[activation] dy has shape {first.shape}, expected that of the forward pass, "
            f"{second.shape}"
        )
    return [first]


def _flops(params: Params, inputs: Sequence[Spec | None], outputs: Sequence[Spec | None]) -> int:
    assert inputs[0] is not None
    return inputs[0].size


# fmt: off
OP = define(
    Op(
        "activation",
        (
            Pass("forward", ("x",), ("y",), _forward, _forward_bound,
                 infer=_infer, flops=_flops, inplace=(("y", "x"),)),
            Pass("backward", ("dy", "x"), ("dx",), _backward, _backward_bound,
                 infer=_infer, flops=_flops, inplace=(("dx", "dy"),)),
            Pass("backward_from_output", ("dy", "y"), ("dx",), _backward_from_output,
                 _backward_from_output_bound,
                 infer=_infer, flops=_flops, inplace=(("dx", "dy"),)),
        ),
        _gradient,
    )
)
# fmt: on


def activation(
    x: ArrayLike, kind: str, alpha: float | None = None, *, kernel: str | None = None
) -> Array:
    """Apply an activation, elementwise.

    Parameters
    ----------
    x : array_like of float32 or float64, any shape
    kind : str
        One of "linear", "relu", "leaky_relu", "sigmoid", "tanh", "scaled_tanh", "hardtanh",
        "hard_sigmoid", "elu", "selu", "softplus", "softsign", "gelu", "silu", "exponential",
        "step".
    alpha : float, optional
        leaky_relu: slope below 0 (0.2); elu: scale below 0 (1.0).
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("activation", "forward")``; by default one
        is chosen.

    Returns
    -------
    ndarray
        Shape and dtype of `x`.

    Raises
    ------
    TypeError
        If the dtype is neither float32 nor float64.
    ValueError
        If `kind` is unknown or `alpha` does not fit it.
    """
    params = activation_params(kind, alpha)
    xa = as_operand("activation", "x", x)
    y: Array = apply("activation", "forward", [xa], params, kernel=kernel)[0]
    return y


def activation_backward(
    dy: ArrayLike,
    x: ArrayLike,
    kind: str,
    alpha: float | None = None,
    *,
    kernel: str | None = None,
) -> Array:
    """Gradient with respect to the input: ``dy f'(x)``.

    At a kink the derivative is that of the side below: relu'(0) is 0.

    Parameters
    ----------
    dy, x : array_like of float32 or float64, of one shape
    kind, alpha, kernel
        As in `activation`.

    Returns
    -------
    ndarray
        Shape and dtype of `x`.

    Raises
    ------
    TypeError, ValueError
        As `activation`; ValueError also if the shapes differ.
    """
    params = activation_params(kind, alpha)
    dya, xa = as_operand("activation", "dy", dy), as_operand("activation", "x", x)
    same_dtype("activation", dy=dya, x=xa)
    dx: Array = apply("activation", "backward", [dya, xa], params, kernel=kernel)[0]
    return dx


def linear(x: ArrayLike, *, kernel: str | None = None) -> Array:
    """``x``; a copy."""
    return activation(x, "linear", kernel=kernel)


def relu(x: ArrayLike, *, kernel: str | None = None) -> Array:
    """``max(x, 0)``."""
    return activation(x, "relu", kernel=kernel)


def leaky_relu(x: ArrayLike, alpha: float = 0.2, *, kernel: str | None = None) -> Array:
    """``x`` above 0, ``alpha x`` below (Maas, Hannun and Ng, 2013)."""
    return activation(x, "leaky_relu", alpha, kernel=kernel)


def sigmoid(x: ArrayLike, *, kernel: str | None = None) -> Array:
    """``1 / (1 + exp(-x))``."""
    return activation(x, "sigmoid", kernel=kernel)


def tanh(x: ArrayLike, *, kernel: str | None = None) -> Array:
    """Hyperbolic tangent."""
    return activation(x, "tanh", kernel=kernel)


def scaled_tanh(x: ArrayLike, *, kernel: str | None = None) -> Array:
    """``1.7159 tanh(2x/3)``, which maps 1 to 1 and -1 to -1 (LeCun et al., 1998, appendix A)."""
    return activation(x, "scaled_tanh", kernel=kernel)


def hardtanh(x: ArrayLike, *, kernel: str | None = None) -> Array:
    """``x`` clipped to [-1, 1]."""
    return activation(x, "hardtanh", kernel=kernel)


def hard_sigmoid(x: ArrayLike, *, kernel: str | None = None) -> Array:
    """``(x + 3) / 6`` clipped to [0, 1]."""
    return activation(x, "hard_sigmoid", kernel=kernel)


def elu(x: ArrayLike, alpha: float = 1.0, *, kernel: str | None = None) -> Array:
    """``x`` above 0, ``alpha (exp(x) - 1)`` below (Clevert, Unterthiner and Hochreiter, 2016)."""
    return activation(x, "elu", alpha, kernel=kernel)


def selu(x: ArrayLike, *, kernel: str | None = None) -> Array:
    """Scaled elu that keeps mean 0 and variance 1 (Klambauer et al., 2017)."""
    return activation(x, "selu", kernel=kernel)


def softplus(x: ArrayLike, *, kernel: str | None = None) -> Array:
    """``log(1 + exp(x))``."""
    return activation(x, "softplus", kernel=kernel)


def softsign(x: ArrayLike, *, kernel: str | None = None) -> Array:
    """``x / (1 + |x|)``."""
    return activation(x, "softsign", kernel=kernel)


def gelu(x: ArrayLike, *, kernel: str | None = None) -> Array:
    """``x`` times the normal distribution function, exactly (Hendrycks and Gimpel, 2016)."""
    return activation(x, "gelu", kernel=kernel)


def silu(x: ArrayLike, *, kernel: str | None = None) -> Array:
    """``x sigmoid(x)``, also known as swish (Elfwing, Uchibe and Doya, 2018)."""
    return activation(x, "silu", kernel=kernel)


def exponential(x: ArrayLike, *, kernel: str | None = None) -> Array:
    """``exp(x)``."""
    return activation(x, "exponential", kernel=kernel)


def step(x: ArrayLike, *, kernel: str | None = None) -> Array:
    """1 above 0, else 0."""
    return activation(x, "step", kernel=kernel)
