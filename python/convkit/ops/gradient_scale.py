"""gradient_scale: a value passes on as it is, its gradient scaled.

Contract in csrc/ops/gradient_scale/gradient_scale.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_operand
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Step, Tape, define

__all__ = ["OP", "gradient_scale_backward", "gradient_scale_params"]


def _forward(ctx: Context, x: Array) -> tuple[Array]:
    return (x.copy(),)


def _factor(ctx: Context) -> float:
    """The factor in this step."""
    if not ctx["ramp"]:
        return float(ctx["factor"])
    progress = min(ctx.step.step / ctx["ramp"], 1)
    return float(ctx["factor"] * (2 / (1 + np.exp(-10 * progress)) - 1))


def _backward(ctx: Context, dy: Array) -> tuple[Array]:
    return (_factor(ctx) * dy,)


def _forward_bound(ctx: Context, x: Array) -> tuple[Any]:
    return (0.0,)


def _backward_bound(ctx: Context, dy: Array) -> tuple[Any]:
    return (2 * np.abs(_factor(ctx) * dy),)  # the factor in the working dtype, and the product


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    return [specs[0]]


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    return tape.emit(
        "gradient_scale", "backward", [gradients[0]], params=instruction.params,
        out=[instruction.inputs[0].spec], for_inputs=[0],
    )  # fmt: skip


OP = define(
    Op(
        "gradient_scale",
        (
            Pass(
                "forward", ("x",), ("y",), _forward, _forward_bound, infer=_infer,
                inplace=(("y", "x"),),
            ),
            Pass(
                "backward", ("dy",), ("dx",), _backward, _backward_bound, infer=_infer,
                inplace=(("dx", "dy"),),
            ),
        ),
        _gradient,
    )
)  # fmt: skip


def gradient_scale_params(factor: float, ramp: float = 0.0) -> dict[str, int | float | str]:
    """Parameters of the op, checked.

    Raises
    ------
    ValueError
        If one is not finite, or the ramp is negative.
    """
    if not np.isfinite(factor):
        raise ValueError(f"[gradient_scale] factor is {factor}, expected a finite number")
    if not 0 <= ramp < np.inf:
        raise ValueError(f"[gradient_scale] ramp is {ramp}, expected a number of steps, or 0")
    return {"factor": float(factor), "ramp": float(ramp)}


def gradient_scale_backward(
    dy: ArrayLike, factor: float, *, ramp: float = 0.0, step: int = 0, kernel: str | None = None
) -> Array:
    """Gradient of a value that passes on as it is: ``factor * dy``.

    Parameters
    ----------
    dy : array_like of float32 or float64
    factor : float
        -1 reverses the gradient (Ganin et al. 2016).
    ramp : float
        Steps over which the factor rises from 0, ``2 / (1 + exp(-10 step / ramp)) - 1`` of it
        (section 5.2.2); 0: none.
    step : int
        Steps done so far.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("gradient_scale", "backward")``; by default one
        is chosen.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError
        If the dtype is neither float32 nor float64.
    ValueError
        If the factor is not finite.
    """
    operand = as_operand("gradient_scale", "dy", dy)
    params, now = gradient_scale_params(factor, ramp), Step(step=step)
    dx: Array = apply("gradient_scale", "backward", [operand], params, kernel=kernel, step=now)[0]
    return dx
