"""confusion: which class was taken for which. Contract in csrc/ops/confusion/confusion.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, define
from convkit.ops.targets import as_predictions, as_targets, as_weight, check_targets

__all__ = ["OP", "confusion"]


def _classes(ctx: Context, p: Array, t: Array) -> tuple[Array, Array, int]:
    """True and predicted class of each row, and the number of classes."""
    k = p.shape[-1]
    p = p.reshape(-1, k)
    if k == 1:
        return (t.reshape(-1) > 0).astype(int), (p[:, 0] > ctx["threshold"]).astype(int), 2
    actual = t.reshape(-1) if t.dtype.kind == "i" else t.reshape(-1, k).argmax(axis=1)
    return actual, p.argmax(axis=1), k


def _forward(ctx: Context, p: Array, t: Array, weight: Array | None = None) -> tuple[Array]:
    actual, predicted, classes = _classes(ctx, p, t)
    weight = np.ones(len(actual)) if weight is None else weight.reshape(-1)
    counts = np.zeros((classes, classes))
    np.add.at(counts, (actual, predicted), weight)
    return (counts,)


# Whole numbers add up exactly in float64; fractions lose one rounding per term.
def _bound(ctx: Context, p: Array, t: Array, weight: Array | None = None) -> tuple[Any]:
    actual, predicted, classes = _classes(ctx, p, t)
    terms = np.ones(len(actual)) if weight is None else np.abs(weight.reshape(-1))
    if (terms == np.rint(terms)).all():
        return (0,)
    sums = np.zeros((classes, classes))
    np.add.at(sums, (actual, predicted), terms)
    return (len(terms) * sums,)


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    p, t, weight = specs
    assert p is not None and t is not None
    check_targets("confusion", p, t, weight, labels=p.shape[-1:] != (1,))
    classes = max(p.shape[-1], 2)
    return [Spec((classes, classes), "float64")]


OP = define(
    Op(
        "confusion",
        (Pass("forward", ("p", "t", "weight?"), ("counts",), _forward, _bound, infer=_infer),),
    )
)


def confusion(
    p: ArrayLike,
    t: ArrayLike,
    weight: ArrayLike | None = None,
    threshold: float = 0.5,
    *,
    kernel: str | None = None,
) -> Array:
    """How often each class was taken for each other one.

    Parameters
    ----------
    p : array_like of float32 or float64, shape (..., K)
        Predictions; the class of the largest value is the predicted one, the first of equal ones.
        With K = 1 there are two classes, and values above the threshold mean the second.
    t : array_like
        Integer labels of shape (...,) or (..., 1), or values of p's shape: the largest value is at
        the true class. With K = 1 values of p's shape, or without its last axis: those above 0 mean
        the second class.
    weight : array_like, shape (...,), optional
        What each row counts.
    threshold : float
        For K = 1.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("confusion")``; by default one is chosen.

    Returns
    -------
    ndarray of float64, shape (K, K), or (2, 2) for K = 1
        Rows are true classes, columns predicted ones.

    Raises
    ------
    TypeError
        If p is neither float32 nor float64, or t or weight have another floating dtype.
    ValueError
        If the shapes do not fit together or a label is outside 0..K-1.
    """
    pa = as_predictions("confusion", p)
    ta = as_targets("confusion", t, pa, labels=pa.shape[-1] > 1, values=True)
    wa = as_weight("confusion", weight, pa)
    # Kernels compare in p's dtype; so does the reference, which sees p in float64.
    params = {"threshold": float(pa.dtype.type(threshold))}
    (counts,) = apply("confusion", "forward", [pa, ta, wa], params, kernel=kernel)
    return np.asarray(counts)
