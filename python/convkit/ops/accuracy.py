"""accuracy: how many rows a prediction gets right. Contract in csrc/ops/accuracy/accuracy.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit import _core
from convkit.errors import did_you_mean
from convkit.ops.apply import apply
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, define
from convkit.ops.targets import as_predictions, as_targets, as_weight, check_targets

__all__ = ["ACCURACIES", "OP", "accuracy", "accuracy_params"]

ACCURACIES: tuple[str, ...] = tuple(_core.choices("accuracy", "kind"))


def _matches(ctx: Context, p: Array, t: Array) -> Array:
    k = p.shape[-1]
    p = p.reshape(-1, k)
    if ctx["kind"] == "sparse":
        return np.asarray(p.argmax(axis=1) == t.reshape(-1), np.float64)
    t = t.reshape(-1, k)
    if ctx["kind"] == "categorical":
        return np.asarray(p.argmax(axis=1) == t.argmax(axis=1), np.float64)
    hits = (p > ctx["threshold"]) == (t > ctx["threshold"])
    mean: Array = hits.mean(axis=1)
    return mean


def _forward(ctx: Context, p: Array, t: Array, weight: Array | None = None) -> tuple[Array]:
    matches = _matches(ctx, p, t)
    weight = np.ones(len(matches)) if weight is None else weight.reshape(-1)
    return (np.array([(weight * matches).sum(), weight.sum()]),)


# Whole numbers add up exactly in float64; fractions lose one rounding per term.
def _bound(ctx: Context, p: Array, t: Array, weight: Array | None = None) -> tuple[Any]:
    matches = _matches(ctx, p, t)
    weight = np.ones(len(matches)) if weight is None else np.abs(weight.reshape(-1))
    terms = np.array([weight * matches, weight])
    whole = (terms == np.rint(terms)).all(axis=1)
    return (np.where(whole, 0, (len(matches) + 2) * terms.sum(axis=1)),)


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    p, t, weight = specs
    assert p is not None and t is not None
    if params["kind"] not in ACCURACIES:
        known = did_you_mean(params["kind"], ACCURACIES)
        raise ValueError(f"[accuracy] unknown kind {params['kind']!r}{known}")
    check_targets("accuracy", p, t, weight, labels=params["kind"] == "sparse")
    if params["kind"] == "sparse" and t.dtype != "int32":
        raise ValueError(f"[accuracy] sparse expects int32 labels, got t {t.dtype}{t.shape}")
    return [Spec((2,), "float64")]


OP = define(
    Op(
        "accuracy",
        (Pass("forward", ("p", "t", "weight?"), ("result",), _forward, _bound, infer=_infer),),
    )
)


def accuracy_params(kind: str, threshold: float = 0.5) -> dict[str, int | float | str]:
    """Parameters of the op, checked.

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    if kind not in ACCURACIES:
        raise ValueError(f"[accuracy] unknown kind {kind!r}{did_you_mean(kind, ACCURACIES)}")
    return {"kind": kind, "threshold": float(threshold)}


def accuracy(
    p: ArrayLike,
    t: ArrayLike,
    kind: str,
    weight: ArrayLike | None = None,
    threshold: float = 0.5,
    *,
    kernel: str | None = None,
) -> tuple[float, float]:
    """How many rows are right, of how many; the accuracy is their ratio.

    Sums, unlike ratios, add up over batches.

    Parameters
    ----------
    p : array_like of float32 or float64, shape (..., K)
        Predictions.
    t : array_like
        For ``"sparse"`` integer labels of shape (...,) or (..., 1), else values of p's shape.
    kind : {"sparse", "categorical", "binary"}
        Whether a row is right where p's largest value is at the label, where it is at t's largest
        value, or to the share of values that lie on the same side of the threshold as t's.
    weight : array_like, shape (...,), optional
        What each row counts.
    threshold : float
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("accuracy")``; by default the first that fits.

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
    params = accuracy_params(kind, threshold)
    pa = as_predictions("accuracy", p)
    # Kernels compare in p's dtype; so does the reference, which sees p in float64.
    params["threshold"] = float(pa.dtype.type(threshold))
    sparse = kind == "sparse"
    ta = as_targets("accuracy", t, pa, labels=sparse, values=not sparse)
    wa = as_weight("accuracy", weight, pa)
    (result,) = apply("accuracy", "forward", [pa, ta, wa], params, kernel=kernel)
    return float(result[0]), float(result[1])
