"""accuracy: how many rows a prediction gets right. Contract in csrc/ops/accuracy/accuracy.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit import _core
from convkit.errors import did_you_mean
from convkit.ops.apply import apply, as_int
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, define
from convkit.ops.targets import as_predictions, as_targets, as_weight, check_targets

__all__ = ["ACCURACIES", "OP", "SPARSE_ACCURACIES", "accuracy", "accuracy_params", "matches"]

ACCURACIES: tuple[str, ...] = tuple(_core.choices("accuracy", "kind"))


# Those whose targets are integer labels; the others' are values of the prediction's shape.
SPARSE_ACCURACIES = frozenset({"sparse", "sparse_top_k"})


def matches(kind: str, p: Array, t: Array, threshold: float = 0.5, top_k: int = 1) -> Array:
    """How far each row is right, from 0 to 1: of p (..., K) and t as in `accuracy`."""
    k = p.shape[-1]
    p = p.reshape(-1, k)
    if kind in SPARSE_ACCURACIES:
        label = t.reshape(-1)
    else:
        t = t.reshape(-1, k)
        label = t.argmax(axis=1)
    if kind.endswith("top_k"):
        at_label = np.take_along_axis(p, label[:, None], axis=1)
        larger = p > np.where(np.isnan(at_label), -np.inf, at_label)
        hits = larger.sum(axis=1) < top_k
    elif kind == "binary":
        hits = ((p > threshold) == (t > threshold)).mean(axis=1)
    elif kind == "equal":
        hits = (p == t).mean(axis=1)
    else:
        hits = p.argmax(axis=1) == label
    return np.asarray(hits, np.float64)


def _matches(ctx: Context, p: Array, t: Array) -> Array:
    return matches(ctx["kind"], p, t, ctx["threshold"], ctx["top_k"])


def _forward(ctx: Context, p: Array, t: Array, weight: Array | None = None) -> tuple[Array]:
    hits = _matches(ctx, p, t)
    weight = np.ones(len(hits)) if weight is None else weight.reshape(-1)
    return (np.array([(weight * hits).sum(), weight.sum()]),)


# Whole numbers add up exactly in float64; fractions lose one rounding per term.
def _bound(ctx: Context, p: Array, t: Array, weight: Array | None = None) -> tuple[Any]:
    hits = _matches(ctx, p, t)
    weight = np.ones(len(hits)) if weight is None else np.abs(weight.reshape(-1))
    terms = np.array([weight * hits, weight])
    whole = (terms == np.rint(terms)).all(axis=1)
    return (np.where(whole, 0, (len(hits) + 2) * terms.sum(axis=1)),)


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    p, t, weight = specs
    assert p is not None and t is not None
    if params["kind"] not in ACCURACIES:
        known = did_you_mean(params["kind"], ACCURACIES)
        raise ValueError(f"[accuracy] unknown kind {params['kind']!r}{known}")
    sparse = params["kind"] in SPARSE_ACCURACIES
    check_targets("accuracy", p, t, weight, labels=sparse)
    if sparse and t.dtype != "int32":
        kind = params["kind"]
        raise ValueError(f"[accuracy] {kind} expects int32 labels, got t {t.dtype}{t.shape}")
    return [Spec((2,), "float64")]


OP = define(
    Op(
        "accuracy",
        (Pass("forward", ("p", "t", "weight?"), ("result",), _forward, _bound, infer=_infer),),
    )
)


def accuracy_params(
    kind: str, threshold: float = 0.5, top_k: int | None = None
) -> dict[str, int | float | str]:
    """Parameters of the op, checked; `top_k` is 5 where it counts and nothing is said.

    Raises
    ------
    ValueError
        If the kind is unknown, or top_k is less than 1 or goes with another kind.
    """
    if kind not in ACCURACIES:
        raise ValueError(f"[accuracy] unknown kind {kind!r}{did_you_mean(kind, ACCURACIES)}")
    if not kind.endswith("top_k"):
        if top_k is not None:
            raise ValueError(f"[accuracy] {kind} takes no top_k; 'sparse_top_k' does")
        return {"kind": kind, "threshold": float(threshold), "top_k": 0}
    top_k = 5 if top_k is None else as_int("accuracy", "top_k", top_k)
    if top_k < 1:
        raise ValueError(f"[accuracy] top_k is {top_k}, expected at least 1")
    return {"kind": kind, "threshold": float(threshold), "top_k": top_k}


def accuracy(
    p: ArrayLike,
    t: ArrayLike,
    kind: str,
    weight: ArrayLike | None = None,
    threshold: float = 0.5,
    *,
    top_k: int | None = None,
    kernel: str | None = None,
) -> tuple[float, float]:
    """How many rows are right, of how many; the accuracy is their ratio.

    Sums, unlike ratios, add up over batches.

    Parameters
    ----------
    p : array_like of float32 or float64, shape (..., K)
        Predictions.
    t : array_like
        For the kinds with ``"sparse"`` integer labels of shape (...,) or (..., 1), else values of
        p's shape.
    kind : str
        When a row is right. ``"sparse"``: where p's largest value is at the label;
        ``"categorical"``: where it is at t's largest value; ``"binary"``: to the share of values
        that lie on the same side of the threshold as t's; ``"equal"``: to the share of values that
        equal t's; ``"sparse_top_k"`` and ``"categorical_top_k"``: where fewer than `top_k` values
        are larger than that at the label, or at t's largest value.
    weight : array_like, shape (...,), optional
        What each row counts.
    threshold : float
    top_k : int, optional
        By default 5.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("accuracy")``; by default one is chosen.

    Returns
    -------
    right, all : float

    Raises
    ------
    TypeError
        If p is neither float32 nor float64, or t or weight have another floating dtype.
    ValueError
        If the shapes do not fit together, the kind is unknown, or a label is outside 0..K-1.
    """
    params = accuracy_params(kind, threshold, top_k)
    pa = as_predictions("accuracy", p)
    # Kernels compare in p's dtype; so does the reference, which sees p in float64.
    params["threshold"] = float(pa.dtype.type(threshold))
    sparse = kind in SPARSE_ACCURACIES
    ta = as_targets("accuracy", t, pa, labels=sparse, values=not sparse)
    wa = as_weight("accuracy", weight, pa)
    (result,) = apply("accuracy", "forward", [pa, ta, wa], params, kernel=kernel)
    return float(result[0]), float(result[1])
