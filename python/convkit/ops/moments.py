"""moments: the sums behind means, variances and errors. Contract in csrc/ops/moments/moments.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, define
from convkit.ops.targets import as_predictions, as_targets, as_weight, check_targets

__all__ = ["OP", "moments"]


def _terms(p: Array, t: Array | None, weight: Array | None) -> Array:
    """What is summed, (6, R, K)."""
    k = p.shape[-1]
    p = p.reshape(-1, k)
    t = np.zeros_like(p) if t is None else t.reshape(-1, k)
    w = np.ones((len(p), 1)) if weight is None else weight.reshape(-1, 1)
    w = np.broadcast_to(w, p.shape)
    terms = np.stack([w, w * t, w * t**2, w * (p - t), w * (p - t) ** 2, w * np.abs(p - t)])
    return np.where(w == 0, 0.0, terms)


def _forward(
    ctx: Context, p: Array, t: Array | None = None, weight: Array | None = None
) -> tuple[Array]:
    with np.errstate(all="ignore"):  # NaN and inf follow the formulas
        return (_terms(p, t, weight).sum(axis=1),)


# Three roundings for a term, one for each addition; whole numbers are exact.
def _bound(
    ctx: Context, p: Array, t: Array | None = None, weight: Array | None = None
) -> tuple[Any]:
    with np.errstate(all="ignore"):
        terms = _terms(p, t, weight)
        sums = np.abs(terms).sum(axis=1)
        whole = (terms == np.rint(terms)).all(axis=1) & (sums < 2.0**53)
        return (np.where(whole, 0.0, (terms.shape[1] + 4) * sums),)


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    p, t, weight = specs
    assert p is not None
    check_targets("moments", p, p if t is None else t, weight, labels=False)
    return [Spec((6, p.shape[-1]), "float64")]


OP = define(
    Op(
        "moments",
        (Pass("forward", ("p", "t?", "weight?"), ("sums",), _forward, _bound, infer=_infer),),
    )
)


def moments(
    p: ArrayLike,
    t: ArrayLike | None = None,
    weight: ArrayLike | None = None,
    *,
    kernel: str | None = None,
) -> Array:
    """Sums over rows from which means, variances and errors follow; they add up over batches.

    Parameters
    ----------
    p : array_like of float32 or float64, shape (..., K)
    t : array_like, shape (..., K), optional
        By default 0.
    weight : array_like, shape (...,), optional
        A row of weight 0 is left out, whatever it holds.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("moments")``; by default one is chosen.

    Returns
    -------
    ndarray of float64, shape (6, K)
        The sums of w, w t, w t**2, w (p - t), w (p - t)**2 and w abs(p - t).

    Raises
    ------
    TypeError
        If p is neither float32 nor float64, or t or weight have another floating dtype.
    ValueError
        If the shapes do not fit together.
    """
    pa = as_predictions("moments", p)
    ta = None if t is None else as_targets("moments", t, pa, labels=False, values=True)
    wa = as_weight("moments", weight, pa)
    (sums,) = apply("moments", "forward", [pa, ta, wa], kernel=kernel)
    return np.asarray(sums)
