"""embedding: rows of a table by their numbers. Contract in csrc/ops/embedding/embedding.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_int, as_operand
from convkit.ops.registry import DTYPES, Array, Context, Op, Params, Pass, Spec, Tape, define

__all__ = ["OP", "embedding", "embedding_backward"]

_MOST_AXES = 5  # of an index: the result has one more


def _rows(index: Array, v: int) -> tuple[Array, Array]:
    """Which indices mean a row of a table of v rows, and the rows (0 where none is meant)."""
    with np.errstate(invalid="ignore"):
        valid = (index >= 0) & (index < v) & (index == np.floor(index))
    return valid, np.where(valid, index, 0).astype(np.int64)


def one_hot(index: Array, v: int) -> Array:
    """Rows of v numbers: 1 at the place of the index; NaN where the index means no place."""
    valid, rows = _rows(index, v)
    return np.where(valid[..., None], np.eye(v)[rows], np.nan)


def _forward(ctx: Context, index: Array, table: Array) -> tuple[Array]:
    valid, rows = _rows(index, len(table))
    return (np.where(valid[..., None], table[rows], np.nan),)


def _backward(ctx: Context, index: Array, dy: Array) -> tuple[Array]:
    assert ctx.out[0] is not None
    dtable = np.zeros(ctx.out[0].shape)
    valid, rows = _rows(index, len(dtable))
    np.add.at(dtable, rows[valid], dy[valid])
    return (dtable,)


def _forward_bound(ctx: Context, index: Array, table: Array) -> tuple[Any]:
    return (0.0,)  # copies


# A sum of n terms has n - 1 roundings, in the kernel and in the reference.
def _backward_bound(ctx: Context, index: Array, dy: Array) -> tuple[Any]:
    terms = _backward(ctx, index, np.ones_like(dy))[0]
    return (2 * np.maximum(terms - 1, 0) * _backward(ctx, index, np.abs(dy))[0],)


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    index, table = specs
    assert index is not None and table is not None
    if len(table.shape) != 2 or 0 in table.shape:
        raise ValueError(f"[embedding] table must be (V, E) with a row at least, got {table.shape}")
    if len(index.shape) > _MOST_AXES:
        raise ValueError(
            f"[embedding] index has {len(index.shape)} dimensions (it is {index.shape}), at most "
            f"{_MOST_AXES} are supported beside a table {table.shape}; reshape it"
        )
    return [Spec((*index.shape, table.shape[1]), table.dtype)]


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    index, table = instruction.inputs
    dtable = tape.emit(
        "embedding", "backward", [index, gradients[0]], out=[table.spec], for_inputs=[1]
    )
    return [None, *dtable]


OP = define(
    Op(
        "embedding",
        (
            Pass("forward", ("index", "table"), ("y",), _forward, _forward_bound, infer=_infer),
            Pass("backward", ("index", "dy"), ("dtable",), _backward, _backward_bound),
        ),
        _gradient,
    )
)


def _index(index: ArrayLike) -> Array:
    array = np.asarray(index)
    if array.size == 0 and not isinstance(index, np.ndarray):
        array = array.astype(np.int64)  # a list of nothing
    return as_operand("embedding", "index", array, DTYPES)


def embedding(index: ArrayLike, table: ArrayLike, *, kernel: str | None = None) -> Array:
    """Rows of a table by their numbers: ``table[index]``.

    Parameters
    ----------
    index : array_like of uint8, int32, int64, float32 or float64, shape (...,)
        Whole numbers from 0 to V - 1. Where it holds anything else the result is NaN.
    table : array_like of float32 or float64, shape (V, E)
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("embedding", "forward")``; by default one is chosen.

    Returns
    -------
    ndarray, shape (..., E)

    Raises
    ------
    TypeError
        If a dtype is none of those above.
    ValueError
        If the table is not a matrix, or has no row or no column.
    """
    operands = [_index(index), as_operand("embedding", "table", table)]
    y: Array = apply("embedding", "forward", operands, kernel=kernel)[0]
    return y


def embedding_backward(
    index: ArrayLike, dy: ArrayLike, rows: int, *, kernel: str | None = None
) -> Array:
    """Gradient with respect to the table: for each row the sum of dy where the index means it.

    Parameters
    ----------
    index : array_like, shape (...,)
        As in `embedding`; what means no row is passed over.
    dy : array_like of float32 or float64, shape (..., E)
    rows : int
        V, which does not follow from the arrays.
    kernel : str, optional

    Returns
    -------
    ndarray, shape (V, E)
        Added up in the order of the positions, whatever the number of threads.

    Raises
    ------
    TypeError, ValueError
        As `embedding`; also if `dy` has not the shape of its result.
    """
    ia, dya = _index(index), as_operand("embedding", "dy", dy)
    v = as_int("embedding", "rows", rows)
    if dya.shape[:-1] != ia.shape or dya.ndim != ia.ndim + 1:
        raise ValueError(
            f"[embedding] dy has shape {dya.shape}, expected (..., E) with the index's axes "
            f"{ia.shape} in front"
        )
    out = Spec((v, dya.shape[-1]), dya.dtype.name)
    _infer({}, [Spec(ia.shape, ia.dtype.name), out])
    dtable: Array = apply("embedding", "backward", [ia, dya], out=[out], kernel=kernel)[0]
    return dtable
