"""dropout: keeps an element with probability 1 - rate. Contract in csrc/ops/dropout/dropout.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_operand, as_unsigned, random_step
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Tape, define
from convkit.random import uniform24

__all__ = ["OP", "dropout", "dropout_backward", "dropout_params"]


def _apply_mask(ctx: Context, x: Array) -> tuple[Array]:
    u = uniform24(ctx.step.seed, ctx["stream"], ctx.step.step, x.size)
    # u has 24 bits and the rate stays a double, so that every dtype draws one mask. (NumPy would
    # round the rate to float32 beside a float32 array.)
    keep = (u.astype(np.float64) >= ctx["rate"]).reshape(x.shape)
    return (np.where(keep, x / (1 - ctx["rate"]), 0),)


# x times 1/(1 - rate): two roundings, one more if rate, rounded to the dtype, is subtracted from 1,
# which multiplies its error by rate/(1 - rate).
def _bound(ctx: Context, x: Array) -> tuple[Any]:
    rate = ctx["rate"]
    if rate == 0:
        return (0.0,)
    return ((3 + rate / (1 - rate)) * np.abs(x) / (1 - rate),)


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    _check_rate(float(params["rate"]))
    return [specs[0]]


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    return tape.emit(
        "dropout", "backward", [gradients[0]], params=instruction.params, for_inputs=[0]
    )


OP = define(
    Op(
        "dropout",
        (
            Pass(
                "forward", ("x",), ("y",), _apply_mask, _bound, infer=_infer, inplace=(("y", "x"),)
            ),
            Pass(
                "backward",
                ("dy",),
                ("dx",),
                _apply_mask,
                _bound,
                infer=_infer,
                inplace=(("dx", "dy"),),
            ),
        ),
        _gradient,
    )
)


def _check_rate(rate: float) -> None:
    if not 0 <= rate < 1:
        raise ValueError(f"[dropout] rate is {rate}, expected 0 <= rate < 1")


def dropout_params(rate: float, stream: int = 0) -> dict[str, int | float | str]:
    """Parameters of the op, checked.

    Raises
    ------
    TypeError
        If the stream is not an int.
    ValueError
        If the rate is not in [0, 1) or the stream is not an unsigned 32-bit number.
    """
    _check_rate(rate)
    return {"rate": float(rate), "stream": as_unsigned("dropout", "stream", stream, 32)}


def dropout(
    x: ArrayLike,
    rate: float,
    *,
    seed: int,
    step: int = 0,
    stream: int = 0,
    kernel: str | None = None,
) -> Array:
    """Set elements to 0 with probability `rate` and divide the others by ``1 - rate``.

    The mask is a function of the numbers given: the same ones give the same mask, on every device.

    Parameters
    ----------
    x : array_like of float32 or float64
    rate : float
        0 <= rate < 1.
    seed : int
        Key of the generator, an unsigned 64-bit number.
    step : int
        Training step.
    stream : int
        Number of the layer: different streams draw independent masks.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("dropout", "forward")``; by default one is chosen.

    Returns
    -------
    ndarray of x's shape

    Raises
    ------
    TypeError
        If x is neither float32 nor float64, or `seed`, `step` or `stream` is not an int.
    ValueError
        If a number is out of its range.
    """
    params = dropout_params(rate, stream)
    operand = as_operand("dropout", "x", x)
    block = random_step("dropout", seed, step)
    y: Array = apply("dropout", "forward", [operand], params, kernel=kernel, step=block)[0]
    return y


def dropout_backward(
    dy: ArrayLike,
    rate: float,
    *,
    seed: int,
    step: int = 0,
    stream: int = 0,
    kernel: str | None = None,
) -> Array:
    """Gradient with respect to the input: dy under the mask of the forward pass.

    Parameters
    ----------
    dy : array_like of float32 or float64
    rate, seed, step, stream
        As in the forward pass.
    kernel : str, optional

    Returns
    -------
    ndarray of dy's shape

    Raises
    ------
    TypeError, ValueError
        As `dropout`.
    """
    params = dropout_params(rate, stream)
    operand = as_operand("dropout", "dy", dy)
    block = random_step("dropout", seed, step)
    dx: Array = apply("dropout", "backward", [operand], params, kernel=kernel, step=block)[0]
    return dx
