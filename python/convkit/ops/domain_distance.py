"""domain_distance: how far the features of two domains are apart.

Contract in csrc/ops/domain_distance/domain_distance.h.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit import _core
from convkit.errors import did_you_mean
from convkit.ops.apply import apply, as_int, as_operands
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, define

__all__ = [
    "DISTANCES", "OP", "domain_distance", "domain_distance_backward", "domain_distance_params",
]  # fmt: skip

DISTANCES: tuple[str, ...] = tuple(_core.choices("domain_distance", "kind"))


def _centred(x: Array) -> tuple[Array, Array]:
    """The rows around their mean, and their covariance; 0 of a single row."""
    z = x - x.mean(axis=0)
    return z, z.T @ z / max(len(x) - 1, 1)


def _coral(ctx: Context, a: Array, b: Array) -> tuple[float, Array, Array]:
    (za, ca), (zb, cb) = _centred(a), _centred(b)
    d, e = a.shape[1], ca - cb
    total = ctx["scale"] / (4 * d**2) * (e**2).sum()
    # dC/dx has both factors of a product, so 2 of the sum's 4 remain below.
    da, db = (z @ e * ctx["scale"] / (d**2 * max(len(z) - 1, 1)) for z in (za, zb))
    return total, da, -db


def _pairs(ctx: Context, z: Array) -> tuple[Array, Array, Array]:
    """Differences of all rows (P, P, D), and the kernel of their distances with its derivative."""
    differences = z[:, None] - z[None]
    squared = (differences**2).sum(axis=2)
    rows = len(z)
    s = ctx["width"] or squared.sum() / (rows * (rows - 1))
    if s == 0:
        return differences, np.ones((rows, rows)), np.zeros((rows, rows))
    half = (ctx["kernels"] - 1) // 2
    widths = [s * 2.0**q for q in range(-half, half + 1)]
    k = np.mean([np.exp(-squared / width) for width in widths], axis=0)
    slope = np.mean([-np.exp(-squared / width) / width for width in widths], axis=0)
    return differences, k, slope


def _shares(a: Array, b: Array) -> Array:
    return np.concatenate([np.full(len(a), 1 / len(a)), np.full(len(b), -1 / len(b))])


def _mmd(ctx: Context, a: Array, b: Array) -> tuple[float, Array, Array]:
    differences, k, slope = _pairs(ctx, np.concatenate([a, b]))
    c = _shares(a, b)
    pairs = c[:, None] * c * slope
    dz = 4 * ctx["scale"] * (pairs[:, :, None] * differences).sum(axis=1)
    return ctx["scale"] * (c @ k @ c), dz[: len(a)], dz[len(a) :]


def _backward(ctx: Context, a: Array, b: Array) -> tuple[Array, Array, Array]:
    with np.errstate(all="ignore"):  # NaN and inf follow the formulas
        total, da, db = {"coral": _coral, "mmd": _mmd}[ctx["kind"]](ctx, a, b)
    return np.array([total]), da, db


def _forward(ctx: Context, a: Array, b: Array) -> tuple[Array]:
    return (_backward(ctx, a, b)[0],)


# All is in double, whatever the working dtype: a sum of n terms is within n eps of double of the
# sum of their magnitudes (Higham 2002, section 4.2); only the gradients are rounded at the end. The
# narrowest Gaussian is the widest, squared q times, which multiplies its relative error by 2^q; as
# x exp(-x) < 1, an error of the exponent counts once.


def _backward_bound(ctx: Context, a: Array, b: Array) -> tuple[Any, Any, Any]:
    share = float(np.finfo(np.float64).eps / np.finfo(ctx.dtype).eps)
    d, rows = a.shape[1], len(a) + len(b)
    _, da, db = _backward(ctx, a, b)
    with np.errstate(all="ignore"):
        if ctx["kind"] == "coral":
            n = rows + d * d + 20
            za, zb = (np.abs(x) + np.abs(x).mean(axis=0) for x in (a, b))
            e = za.T @ za / max(len(a) - 1, 1) + zb.T @ zb / max(len(b) - 1, 1)
            total = ctx["scale"] / (2 * d**2) * (e**2).sum()
            size = [z @ e * ctx["scale"] / (d**2 * max(len(z) - 1, 1)) for z in (za, zb)]
        else:
            n = rows * rows + d + 20 + 2 ** (ctx["kernels"] + 3)
            differences, _, slope = _pairs(ctx, np.concatenate([a, b]))
            c = np.abs(_shares(a, b))
            pairs = c[:, None] * c * np.abs(slope)
            total = 8 * ctx["scale"]
            dz = 8 * ctx["scale"] * (pairs[:, :, None] * np.abs(differences)).sum(axis=1)
            size = [dz[: len(a)], dz[len(a) :]]
    small = share * 2 * n
    return small * total, *(small * m + 2 * np.abs(x) for m, x in zip(size, (da, db), strict=True))


def _forward_bound(ctx: Context, a: Array, b: Array) -> tuple[Any]:
    return (_backward_bound(ctx, a, b)[0],)


def _check(params: Params, specs: Sequence[Spec | None]) -> None:
    a, b = specs
    assert a is not None and b is not None
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[1] != b.shape[1] or not a.shape[1]:
        raise ValueError(
            f"[domain_distance] expected a (N, D) and b (M, D) of equal D, got {a.shape} and "
            f"{b.shape}; flatten them first"
        )
    if not a.shape[0] or not b.shape[0]:
        raise ValueError(f"[domain_distance] a domain has no rows: a is {a.shape}, b is {b.shape}")


def _infer(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    _check(params, specs)
    return [Spec((1,), "float64")]


def _infer_backward(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    return [*_infer(params, specs), *specs]


def _flops(params: Params, inputs: Sequence[Spec | None], outputs: Sequence[Spec | None]) -> int:
    a, b = inputs
    assert a is not None and b is not None
    d, rows = a.shape[1], a.shape[0] + b.shape[0]
    passes = 2 if len(outputs) > 1 else 1
    return passes * 2 * rows * d * (d if params["kind"] == "coral" else rows)


OP = define(
    Op(
        "domain_distance",
        (
            Pass(
                "forward", ("a", "b"), ("total",), _forward, _forward_bound, infer=_infer,
                flops=_flops,
            ),
            Pass(
                "backward", ("a", "b"), ("total", "da", "db"), _backward, _backward_bound,
                infer=_infer_backward, flops=_flops,
            ),
        ),
    )
)  # fmt: skip


def domain_distance_params(
    kind: str, width: float = 0.0, kernels: int = 5, scale: float = 1.0
) -> dict[str, int | float | str]:
    """Parameters of the op, checked.

    Raises
    ------
    TypeError, ValueError
        If one is not what `domain_distance` takes.
    """
    if kind not in DISTANCES:
        raise ValueError(f"[domain_distance] unknown kind {kind!r}{did_you_mean(kind, DISTANCES)}")
    kernels = as_int("domain_distance", "kernels", kernels)
    if not (1 <= kernels <= 31 and kernels % 2):
        raise ValueError(f"[domain_distance] kernels is {kernels}, expected an odd number up to 31")
    for name, value in (("width", width), ("scale", scale)):
        if not 0 <= value < np.inf:
            raise ValueError(
                f"[domain_distance] {name} is {value}, expected a number of at least 0"
            )
    return {"kind": kind, "kernels": kernels, "width": float(width), "scale": float(scale)}


def domain_distance(
    a: ArrayLike,
    b: ArrayLike,
    kind: str = "coral",
    *,
    width: float = 0.0,
    kernels: int = 5,
    scale: float = 1.0,
    kernel: str | None = None,
) -> float:
    """How far the features of two domains are apart.

    Parameters
    ----------
    a : array_like of float32 or float64, shape (N, D)
        Features of one domain.
    b : array_like, shape (M, D)
        Features of the other.
    kind : str
        "coral": the squared difference of the covariances, over 4 D^2 (Sun and Saenko 2016,
        equation 1). "mmd": the squared maximum mean discrepancy (Gretton et al. 2012, equation 5)
        for a mean of Gaussian kernels ``exp(-|x - y|^2 / (2^q s))``.
    width : float
        The s of "mmd"; 0 takes the mean squared distance of two different rows.
    kernels : int
        How many Gaussians "mmd" averages, an odd number: q runs from ``-(kernels - 1) / 2`` to
        ``(kernels - 1) / 2``.
    scale : float
        A factor of the result.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("domain_distance", "forward")``; by default one
        is chosen.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If a dtype is neither float32 nor float64, or the two differ.
    ValueError
        If the shapes do not fit together, a domain has no rows, or a parameter is out of range.
    """
    operands = as_operands("domain_distance", a=a, b=b)
    params = domain_distance_params(kind, width, kernels, scale)
    return float(apply("domain_distance", "forward", operands, params, kernel=kernel)[0][0])


def domain_distance_backward(
    a: ArrayLike,
    b: ArrayLike,
    kind: str = "coral",
    *,
    width: float = 0.0,
    kernels: int = 5,
    scale: float = 1.0,
    kernel: str | None = None,
) -> tuple[float, Array, Array]:
    """The distance and its gradients; to "mmd" a width found from the data is a constant.

    Parameters
    ----------
    a, b, kind, width, kernels, scale, kernel
        As `domain_distance`.

    Returns
    -------
    total : float
    da : ndarray, shape (N, D)
    db : ndarray, shape (M, D)

    Raises
    ------
    TypeError, ValueError
        As `domain_distance`.
    """
    operands = as_operands("domain_distance", a=a, b=b)
    params = domain_distance_params(kind, width, kernels, scale)
    total, da, db = apply("domain_distance", "backward", operands, params, kernel=kernel)
    return float(total[0]), da, db
