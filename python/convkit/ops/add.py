"""add: ``y = a + b`` of equal shapes. Contract in csrc/ops/add/add.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_operand, same_dtype
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Tape, define

__all__ = ["OP", "add"]


def _forward(ctx: Context, a: Array, b: Array) -> tuple[Array]:
    with np.errstate(invalid="ignore"):  # inf - inf
        return (a + b,)


def _bound(ctx: Context, a: Array, b: Array) -> tuple[Any]:
    with np.errstate(invalid="ignore"):
        return (np.abs(a + b),)


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    a, b = specs
    assert a is not None and b is not None
    if a.shape != b.shape:
        raise ValueError(f"[add] a has shape {a.shape}, b has {b.shape}; they must be equal")
    return [a]


def _flops(params: Params, inputs: Sequence[Spec | None], outputs: Sequence[Spec | None]) -> int:
    return 0 if inputs[0] is None else inputs[0].size


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    return [gradients[0], gradients[0]]


OP = define(
    Op(
        "add",
        (
            Pass(
                "forward",
                ("a", "b"),
                ("y",),
                _forward,
                _bound,
                infer=_infer,
                flops=_flops,
                inplace=(("y", "a"), ("y", "b")),
            ),
        ),
        _gradient,
    )
)


def add(a: ArrayLike, b: ArrayLike, *, kernel: str | None = None) -> Array:
    """Sum of two arrays of one shape; nothing is broadcast.

    Parameters
    ----------
    a, b : array_like of float32 or float64
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("add")``; by default one is chosen.

    Returns
    -------
    ndarray of the same shape

    Raises
    ------
    TypeError
        If a dtype is neither float32 nor float64, or the dtypes differ.
    ValueError
        If the shapes differ.
    """
    aa, ba = as_operand("add", "a", a), as_operand("add", "b", b)
    same_dtype("add", a=aa, b=ba)
    y: Array = apply("add", "forward", [aa, ba], kernel=kernel)[0]
    return y
