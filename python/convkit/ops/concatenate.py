"""concatenate: joins arrays along one axis. Contract in csrc/ops/concatenate/concatenate.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_int, as_operand, same_dtype
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Tape, define

__all__ = ["OP", "concatenate", "concatenate_backward"]


def _forward(ctx: Context, *x: Array) -> tuple[Array]:
    return (np.concatenate(x, axis=ctx["axis"]),)


def _backward(ctx: Context, dy: Array) -> tuple[Array, ...]:
    axis = ctx["axis"]
    sizes = [spec.shape[axis] for spec in ctx.out if spec is not None]
    return tuple(np.split(dy, np.cumsum(sizes)[:-1], axis=axis))


def _bound(ctx: Context, *x: Array) -> tuple[Any, ...]:
    return (0.0,) * len(ctx.out)  # nothing is computed


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    axis = int(params["axis"])
    arrays = [spec for spec in specs if spec is not None]
    if not arrays:
        raise ValueError("[concatenate] got no arrays")
    first = arrays[0].shape
    if not 0 <= axis < len(first):
        raise ValueError(
            f"[concatenate] axis {axis} is outside 0..{len(first) - 1} (x1 is {first})"
        )
    for i, spec in enumerate(arrays):
        same = len(spec.shape) == len(first) and all(
            n == m for d, (n, m) in enumerate(zip(spec.shape, first, strict=True)) if d != axis
        )
        if not same:
            raise ValueError(
                f"[concatenate] x{i + 1} has shape {spec.shape}, x1 has {first}; they must "
                f"be equal outside axis {axis}"
            )
    joined = sum(spec.shape[axis] for spec in arrays)
    return [Spec((*first[:axis], joined, *first[axis + 1 :]), arrays[0].dtype)]


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    return tape.emit(
        "concatenate",
        "backward",
        [gradients[0]],
        params=instruction.params,
        out=[x.spec for x in instruction.inputs],
        for_inputs=list(range(len(instruction.inputs))),
    )


OP = define(
    Op(
        "concatenate",
        (
            Pass("forward", ("x*",), ("y",), _forward, _bound, infer=_infer),
            Pass("backward", ("dy",), ("dx*",), _backward, _bound),
        ),
        _gradient,
    )
)


def _positive_axis(axis: int, name: str, shape: tuple[int, ...]) -> int:
    axis, ndim = as_int("concatenate", "axis", axis), len(shape)
    if not -ndim <= axis < ndim:
        raise ValueError(
            f"[concatenate] axis {axis} is outside {-ndim}..{ndim - 1} ({name} is {shape})"
        )
    return axis % ndim


def concatenate(arrays: Sequence[ArrayLike], axis: int = -1, *, kernel: str | None = None) -> Array:
    """Join arrays along one axis.

    Parameters
    ----------
    arrays : sequence of array_like of float32 or float64
        Equal in dtype and in all other axes.
    axis : int
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("concatenate", "forward")``; by default one
        is chosen.

    Returns
    -------
    ndarray

    Raises
    ------
    TypeError
        If a dtype is neither float32 nor float64, the dtypes differ, or `axis` is not an int.
    ValueError
        If there are no arrays, or the shapes do not fit together.
    """
    operands = [as_operand("concatenate", f"x{i + 1}", x) for i, x in enumerate(arrays)]
    if not operands:
        raise ValueError("[concatenate] got no arrays")
    same_dtype("concatenate", **{f"x{i + 1}": x for i, x in enumerate(operands)})
    axis = _positive_axis(axis, "x1", operands[0].shape)
    y: Array = apply("concatenate", "forward", operands, {"axis": axis}, kernel=kernel)[0]
    return y


def concatenate_backward(
    dy: ArrayLike, sizes: Sequence[int], axis: int = -1, *, kernel: str | None = None
) -> list[Array]:
    """Gradients with respect to the arrays: the parts of dy.

    Parameters
    ----------
    dy : array_like of float32 or float64
    sizes : sequence of int
        The arrays' lengths along the axis.
    axis : int
    kernel : str, optional

    Returns
    -------
    list of ndarray

    Raises
    ------
    TypeError
        If dy is neither float32 nor float64, or `axis` or one of `sizes` is not an int.
    ValueError
        If the sizes do not add up to dy's length along the axis.
    """
    operand = as_operand("concatenate", "dy", dy)
    shape = operand.shape
    axis = _positive_axis(axis, "dy", shape)
    lengths = tuple(as_int("concatenate", "sizes", n, "a sequence of ints") for n in sizes)
    if not lengths or min(lengths) < 0 or sum(lengths) != shape[axis]:
        raise ValueError(
            f"[concatenate] sizes {lengths} do not add up to {shape[axis]}, the length of "
            f"axis {axis} (dy is {shape})"
        )
    out = [Spec((*shape[:axis], n, *shape[axis + 1 :]), operand.dtype.name) for n in lengths]
    params = {"axis": axis}
    return apply("concatenate", "backward", [operand], params, out=out, kernel=kernel)
