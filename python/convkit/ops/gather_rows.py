"""gather_rows: assembles and scales a batch. Contract in csrc/ops/gather_rows/gather_rows.h."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_int, as_operand
from convkit.ops.registry import Array, Context, Op, Pass, Spec, Step, define

__all__ = ["OP", "as_index", "gather_rows"]

SOURCES = ("uint8", "int32", "int64", "float32", "float64")
TARGETS = ("float32", "float64", "int32")


def _gather(ctx: Context, source: Array, index: Array | None) -> Array:
    y = ctx.out[0]
    assert y is not None
    positions = ctx.step.sample + np.arange(y.shape[0])
    return source[positions if index is None else index[positions]]


def _forward(ctx: Context, source: Array, index: Array | None = None) -> tuple[Array]:
    y = _gather(ctx, source, index)
    if ctx.out[0] is not None and ctx.out[0].dtype == "int32":
        return (y,)
    return (y * ctx["scale"] + ctx["offset"],)


# Roundings: source and scale to y's dtype, their product, offset to y's dtype, the sum.
def _bound(ctx: Context, source: Array, index: Array | None = None) -> tuple[Any]:
    y = ctx.out[0]
    assert y is not None
    s, scale, offset = _gather(ctx, source, index), ctx["scale"], ctx["offset"]
    if y.dtype == "int32":
        return (0.0,)
    if scale == 1 and offset == 0:
        with np.errstate(over="ignore"):
            exact = s.astype(y.dtype).astype(np.float64) == s
        return (np.where(exact, 0, np.abs(s.astype(np.float64))),)
    return (4 * (np.abs(s * scale) + abs(offset)),)


OP = define(Op("gather_rows", (Pass("forward", ("source", "index?"), ("y",), _forward, _bound),)))


def as_index(op: str, index: ArrayLike, rows: int) -> Array:
    """`index` as contiguous int64, every value checked against 0..rows-1.

    Parameters
    ----------
    op : str
        Named in the error messages.
    index : array_like of int, shape (L,)
    rows : int

    Returns
    -------
    ndarray of int64

    Raises
    ------
    TypeError
        If it does not hold integers.
    ValueError
        If it has not one axis.
    IndexError
        If a value is out of range; negative ones are.
    """
    array = np.asarray(index)
    if array.dtype.kind not in "iu" and array.size:
        raise TypeError(f"[{op}] index has dtype {array.dtype}, expected integers")
    if array.ndim != 1:
        raise ValueError(f"[{op}] index has shape {array.shape}, expected one axis")
    wrong = np.flatnonzero((array < 0) | (array >= rows))
    if wrong.size:
        at = int(wrong[0])
        raise IndexError(
            f"[{op}] index[{at}] is {array[at]}, expected 0 <= index < {rows}, the number of rows"
        )
    return np.ascontiguousarray(array, dtype=np.int64)


def _check_labels(source: Array, scale: float, offset: float) -> None:
    if source.dtype.kind not in "iu":
        raise TypeError(
            f"[gather_rows] source has dtype {source.dtype}, int32 rows need an integer source; "
            "convert it with source.astype('int32')"
        )
    if scale != 1 or offset != 0:
        raise ValueError(
            f"[gather_rows] int32 rows are not scaled, got scale {scale} and offset {offset}"
        )
    limits = np.iinfo(np.int32)
    if source.size and not (limits.min <= source.min() and source.max() <= limits.max):
        raise ValueError(
            f"[gather_rows] source has values from {source.min()} to {source.max()}, which do not "
            "fit into int32"
        )


def gather_rows(
    source: ArrayLike,
    index: ArrayLike | None = None,
    *,
    count: int | None = None,
    sample: int = 0,
    scale: float = 1.0,
    offset: float = 0.0,
    dtype: str = "float32",
    kernel: str | None = None,
) -> Array:
    """Take rows of a data set and scale them: ``source[index[sample + i]] * scale + offset``.

    Parameters
    ----------
    source : array_like of uint8, int32, int64, float32 or float64, shape (M, ...)
    index : array_like of int, shape (L,), optional
        The rows to take; by default all, in order. Negative values are refused.
    count : int, optional
        Number of rows to take; by default all from `sample` on.
    sample : int
        Position in `index` of the first one.
    scale, offset : float
    dtype : {"float32", "float64", "int32"}
        Type of the result; int32 is for labels.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("gather_rows")``; by default one is chosen.

    Returns
    -------
    ndarray, shape (count, ...)

    Raises
    ------
    TypeError
        If a dtype is not one of those above, or `count` or `sample` is not an int.
    ValueError
        If a shape or a number does not fit.
    IndexError
        If an index, or the range of rows, is out of range.
    """
    if isinstance(source, np.ndarray | np.generic):
        sa = as_operand("gather_rows", "source", source, SOURCES)
    else:
        sa = as_operand("gather_rows", "source", np.asarray(source), SOURCES)
    if sa.ndim < 1:
        raise ValueError("[gather_rows] source has no axes, expected (M, ...)")
    dtype = np.dtype(dtype).name
    if dtype not in TARGETS:
        raise TypeError(f"[gather_rows] dtype is {dtype}, expected {' or '.join(TARGETS)}")
    if dtype == "int32":
        _check_labels(sa, scale, offset)
    ia = None if index is None else as_index("gather_rows", index, sa.shape[0])
    sample = as_int("gather_rows", "sample", sample)
    available = sa.shape[0] if ia is None else len(ia)
    n = max(available - sample, 0) if count is None else as_int("gather_rows", "count", count)
    if sample < 0 or n < 0 or sample + n > available:
        raise IndexError(
            f"[gather_rows] rows {sample} to {sample + n} are outside the {available} available"
        )
    y: Array = apply(
        "gather_rows",
        "forward",
        [sa, ia],
        {"scale": float(scale), "offset": float(offset)},
        out=[Spec((n, *sa.shape[1:]), dtype)],
        kernel=kernel,
        step=Step(sample=sample),
    )[0]
    return y
