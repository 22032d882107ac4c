"""transpose: axes in another order. Contract in csrc/ops/transpose/transpose.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import MAX_RANK, apply, as_int, as_operand
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Tape, define

__all__ = ["OP", "transpose", "transpose_params"]


def _axes(params: Params, rank: int) -> tuple[int, ...]:
    return tuple(int(params[f"axis{k}"]) for k in range(rank))


def _forward(ctx: Context, x: Array) -> tuple[Array]:
    return (x.transpose(_axes(ctx.params, x.ndim)),)


def _bound(ctx: Context, x: Array) -> tuple[Any]:
    return (0.0,)  # nothing is computed


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x = specs[0]
    assert x is not None
    axes = _axes(params, len(x.shape))
    if sorted(axes) != list(range(len(x.shape))):
        raise ValueError(
            f"[transpose] axes {axes} are no permutation of the {len(x.shape)} axes of x "
            f"{x.shape}; name each of 0 to {len(x.shape) - 1} once"
        )
    return [Spec(tuple(x.shape[a] for a in axes), x.dtype)]


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    inverse = np.argsort(_axes(instruction.params, MAX_RANK)).tolist()
    params = transpose_params(inverse)
    return tape.emit("transpose", "forward", [gradients[0]], params=params, for_inputs=[0])


OP = define(
    Op(
        "transpose",
        (Pass("forward", ("x",), ("y",), _forward, _bound, infer=_infer),),
        _gradient,
    )
)


def transpose_params(axes: Sequence[int]) -> dict[str, int]:
    """Parameters of the op: the axes of x in the order of those of y, and the rest in theirs."""
    every = [*axes, *range(len(axes), MAX_RANK)]
    return {f"axis{k}": int(axis) for k, axis in enumerate(every)}


def transpose(
    x: ArrayLike, axes: Sequence[int] | None = None, *, kernel: str | None = None
) -> Array:
    """Put the axes of an array into another order.

    Its gradient is `transpose` of dy with the inverse permutation, ``np.argsort(axes)``.

    Parameters
    ----------
    x : array_like of float32 or float64
        Of up to 6 dimensions.
    axes : sequence of int, optional
        Axis k of the result is axis ``axes[k]`` of x; by default they are reversed.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("transpose")``; by default one is chosen.

    Returns
    -------
    ndarray
        Contiguous, unlike NumPy's.

    Raises
    ------
    TypeError
        If the dtype is neither float32 nor float64, or an axis is not an int.
    ValueError
        If `axes` is no permutation of x's axes.
    """
    xa = as_operand("transpose", "x", x)
    if axes is None:
        axes = range(xa.ndim)[::-1]
    order = [as_int("transpose", "axes", a, "a sequence of ints") for a in axes]
    if len(order) != xa.ndim or any(not -xa.ndim <= a < xa.ndim for a in order):
        raise ValueError(
            f"[transpose] axes {tuple(order)} are no permutation of the {xa.ndim} axes of x "
            f"{xa.shape}; name each of 0 to {xa.ndim - 1} once"
        )
    params = transpose_params([a % xa.ndim for a in order])
    y: Array = apply("transpose", "forward", [xa], params, kernel=kernel)[0]
    return y
