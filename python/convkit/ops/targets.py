"""Targets and weights of the row-wise ops (loss, accuracy), checked at the edge."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import as_operand
from convkit.ops.registry import Array, Spec

__all__ = ["as_predictions", "as_targets", "as_weight", "check_targets"]


def rows(p: Spec) -> int:
    """Number of rows of p (..., K)."""
    return math.prod(p.shape[:-1])


def _label_shapes(p: tuple[int, ...]) -> set[tuple[int, ...]]:
    """Shapes in which labels for p may come: one value per row."""
    n = math.prod(p[:-1])
    return {p[:-1], (*p[:-1], 1), (n,), (n, 1)}


def as_predictions(op: str, p: ArrayLike) -> Array:
    """Return p as a floating operand with at least one value per row."""
    array = as_operand(op, "p", p)
    if array.ndim < 1 or array.shape[-1] < 1:
        raise ValueError(f"[{op}] p has shape {array.shape}, expected (..., K) with K >= 1")
    return array


def as_targets(op: str, t: ArrayLike, p: Array, *, labels: bool, values: bool) -> Array:
    """Return t as int32 labels (R,) or as values of p's shape and dtype.

    Raises
    ------
    TypeError
        If t's dtype fits neither.
    ValueError
        If t's shape does not fit, or a label is outside 0..K-1.
    """
    array = np.asarray(t)
    integer = array.dtype.kind in "iu" or array.size == 0
    if labels and integer and (array.shape != p.shape or not values):
        if array.shape in _label_shapes(p.shape):
            return _as_labels(op, array.reshape(-1), p.shape[-1])
    elif values:
        if p.shape[-1] == 1 and array.shape == p.shape[:-1]:
            array = array.reshape(p.shape)
        if array.shape == p.shape:
            if array.dtype.kind in "iub":
                array = array.astype(p.dtype)
            elif not isinstance(t, np.ndarray | np.generic):
                return as_operand(op, "t", t, (p.dtype.name,)).reshape(p.shape)
            return as_operand(op, "t", array, (p.dtype.name,))
    expected = []
    if labels:
        expected.append(f"integer labels of shape {p.shape[:-1]}")
    if values:
        expected.append(f"values of shape {p.shape}")
    raise ValueError(
        f"[{op}] t is {array.dtype} of shape {array.shape}, expected {' or '.join(expected)} "
        f"(p is {p.shape})"
    )


def _as_labels(op: str, t: Array, classes: int) -> Array:
    wrong = np.flatnonzero((t < 0) | (t >= classes))
    if wrong.size:
        row = int(wrong[0])
        raise ValueError(f"[{op}] label {t[row]} at row {row} is outside 0..{classes - 1}")
    return np.ascontiguousarray(t, dtype=np.int32)


def as_weight(op: str, weight: ArrayLike | None, p: Array) -> Array | None:
    """The weight of each row (R,) in p's dtype."""
    if weight is None:
        return None
    array = np.asarray(weight)
    if array.dtype.kind in "iub" or not isinstance(weight, np.ndarray | np.generic):
        array = array.astype(p.dtype)
    array = as_operand(op, "weight", array, (p.dtype.name,))
    if array.shape not in _label_shapes(p.shape):
        raise ValueError(
            f"[{op}] weight has shape {array.shape}, expected {p.shape[:-1]} (p is {p.shape})"
        )
    return array.reshape(-1)


def check_targets(op: str, p: Spec, t: Spec, weight: Spec | None, labels: bool) -> None:
    """Shape rule shared by loss and accuracy: what a kernel may be given.

    Parameters
    ----------
    op : str
    p, t, weight : Spec
    labels : bool
        Whether t may hold integer labels.
    """
    if len(p.shape) < 1 or p.shape[-1] < 1:
        raise ValueError(f"[{op}] p has shape {p.shape}, expected (..., K) with K >= 1")
    if t.dtype == "int32":
        if not labels:
            raise ValueError(f"[{op}] expected values of shape {p.shape}, got integer labels")
        if t.shape not in _label_shapes(p.shape):
            raise ValueError(
                f"[{op}] labels have shape {t.shape}, expected {p.shape[:-1]} (p is {p.shape})"
            )
    elif t.shape != p.shape or t.dtype != p.dtype:
        raise ValueError(
            f"[{op}] t is {t.dtype}{t.shape}, p is {p.dtype}{p.shape}; they must be alike"
        )
    if weight is not None and (weight.size != rows(p) or weight.dtype != p.dtype):
        raise ValueError(
            f"[{op}] weight is {weight.dtype}{weight.shape}, expected {p.dtype} of shape "
            f"{p.shape[:-1]}"
        )
