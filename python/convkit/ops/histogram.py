"""histogram: scores of positives and negatives. Contract in csrc/ops/histogram/histogram.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_int
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, define
from convkit.ops.targets import as_predictions, as_targets, as_weight, check_targets

__all__ = ["OP", "histogram", "histogram_params"]


def _places(
    ctx: Context, p: Array, t: Array, thresholds: Array, weight: Array | None
) -> tuple[Array, Array, Array, Array]:
    """Group, bin, sign and weight of each value that counts."""
    k = p.shape[-1]
    p = p.reshape(-1, k)
    if t.dtype.kind == "i":
        positive = t.reshape(-1, 1) == np.arange(k)
    else:
        positive = t.reshape(-1, k) > 0
    bins = (thresholds < p[:, :, None]).sum(axis=2)
    if ctx["top_k"]:
        value, other = p[:, :, None], p[:, None, :]
        before = np.arange(k) < np.arange(k)[:, None]
        ahead = ((other > value) | ((other == value) & before)).sum(axis=2)
        bins[ahead >= ctx["top_k"]] = 0
    weights = np.ones(len(p)) if weight is None else weight.reshape(-1)
    group = np.broadcast_to(np.arange(k) if ctx["per_class"] else 0, p.shape)
    weights = np.broadcast_to(weights[:, None], p.shape)
    if ctx["column"] >= 0:
        one = slice(ctx["column"], ctx["column"] + 1)
        bins, positive, weights, group = (a[:, one] for a in (bins, positive, weights, 0 * group))
    return group, bins, positive.astype(int), weights


def _forward(
    ctx: Context, p: Array, t: Array, thresholds: Array, weight: Array | None = None
) -> tuple[Array]:
    assert ctx.out[0] is not None
    counts = np.zeros(ctx.out[0].shape)
    group, bins, positive, weights = _places(ctx, p, t, thresholds, weight)
    np.add.at(counts, (group, bins, positive), weights)
    return (counts,)


# Whole numbers add up exactly in float64; fractions lose one rounding per term.
def _bound(
    ctx: Context, p: Array, t: Array, thresholds: Array, weight: Array | None = None
) -> tuple[Any]:
    assert ctx.out[0] is not None
    if weight is None or (weight == np.rint(weight)).all():
        return (0,)
    sums = np.zeros(ctx.out[0].shape)
    group, bins, positive, weights = _places(ctx, p, t, thresholds, np.abs(weight))
    np.add.at(sums, (group, bins, positive), weights)
    return (bins.size * sums,)


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    p, t, thresholds, weight = specs
    assert p is not None and t is not None and thresholds is not None
    check_targets("histogram", p, t, weight, labels=p.shape[-1:] != (1,))
    if len(thresholds.shape) != 1 or thresholds.dtype != p.dtype:
        raise ValueError(
            f"[histogram] thresholds are {thresholds.dtype}{thresholds.shape}, expected one axis "
            f"of {p.dtype}"
        )
    classes, column = p.shape[-1], int(params["column"])
    if not -1 <= column < classes:
        raise ValueError(
            f"[histogram] column {column} is outside 0..{classes - 1} (p is {p.shape})"
        )
    groups = classes if params["per_class"] and column < 0 else 1
    return [Spec((groups, thresholds.size + 1, 2), "float64")]


OP = define(
    Op(
        "histogram",
        (
            Pass(
                "forward",
                ("p", "t", "thresholds", "weight?"),
                ("counts",),
                _forward,
                _bound,
                infer=_infer,
            ),
        ),
    )
)


def histogram_params(
    per_class: bool = False, column: int | None = None, top_k: int | None = None
) -> dict[str, int | float | str]:
    """Parameters of the op, checked.

    Raises
    ------
    TypeError
        If column or top_k is not an int.
    ValueError
        If one of them is too small.
    """
    column = -1 if column is None else as_int("histogram", "column", column)
    if column < -1:
        raise ValueError(f"[histogram] column is {column}, expected 0..K-1")
    top_k = 0 if top_k is None else as_int("histogram", "top_k", top_k)
    if top_k < 0:
        raise ValueError(f"[histogram] top_k is {top_k}, expected at least 1")
    return {"per_class": int(bool(per_class)), "column": column, "top_k": top_k}


def histogram(
    p: ArrayLike,
    t: ArrayLike,
    thresholds: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    per_class: bool = False,
    column: int | None = None,
    top_k: int | None = None,
    kernel: str | None = None,
) -> Array:
    """How scores of positives and of negatives lie between thresholds.

    Parameters
    ----------
    p : array_like of float32 or float64, shape (..., K)
        Scores.
    t : array_like
        Values of p's shape, or without its last axis for K = 1, positive where above 0; for K > 1
        also integer labels of shape (...,) or (..., 1): of a row the score at its label is
        positive, the others are negative.
    thresholds : array_like, shape (T,)
        Rising; compared in p's dtype.
    weight : array_like, shape (...,), optional
        What the values of each row count.
    per_class : bool
        Whether each column is counted apart.
    column : int, optional
        Count this column only.
    top_k : int, optional
        Scores that are not among so many largest ones of their row, of equal ones the first, count
        as below all thresholds.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("histogram")``; by default one is chosen.

    Returns
    -------
    ndarray of float64, shape (G, T + 1, 2)
        ``[g, b, c]``: weight of the negative (c = 0) or positive (c = 1) scores that exceed exactly
        b thresholds; G is K with `per_class`, else 1. A NaN exceeds none.

    Raises
    ------
    TypeError
        If p is neither float32 nor float64, or t or weight have another floating dtype.
    ValueError
        If the shapes do not fit together, thresholds fall, or a label is outside 0..K-1.
    """
    params = histogram_params(per_class, column, top_k)
    pa = as_predictions("histogram", p)
    ta = as_targets("histogram", t, pa, labels=pa.shape[-1] > 1, values=True)
    wa = as_weight("histogram", weight, pa)
    edges = np.atleast_1d(np.asarray(thresholds, np.float64)).astype(pa.dtype)
    if edges.ndim != 1 or not (edges[:-1] <= edges[1:]).all() or np.isnan(edges).any():
        raise ValueError("[histogram] thresholds must be one row of rising numbers")
    (counts,) = apply("histogram", "forward", [pa, ta, edges, wa], params, kernel=kernel)
    return np.asarray(counts)
