"""Winograd's convolution with six points: its matrices and its errors.

A correlation of R taps g, M results at a time, M + R = 7, from 6 values d:
``y = A^T ((G g) . (B^T d))``, in two dimensions ``Y = A^T ((G g G^T) . (B^T d B)) A``
(Lavin and Gray 2016, arXiv:1509.09308). The points are those of
``csrc/ops/conv2d/conv2d_winograd_matrices.h``.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from convkit.ops.registry import Array, Params, Spec

__all__ = ["A", "B", "Matrices", "correlation_terms", "magnitude", "matrices", "wide_enough"]

A, B = Fraction(5, 8), Fraction(3, 2)
_POINTS = (Fraction(0), A, -A, B, -B)  # and infinity
_SIDES = (("top", "bottom"), ("left", "right"))


class Matrices(NamedTuple):
    """Of F(M, R).

    Attributes
    ----------
    at : ndarray of float64, shape (M, 6)
        A^T, of the results: the powers of the points.
    g : ndarray of float64, shape (6, R)
        G, of the taps: powers, divided by the product of the differences from the other points.
    bt : ndarray of float64, shape (6, 6)
        B^T, of the input, the same for all M and R: the polynomials that are 0 at the other points.
    """

    at: Array
    g: Array
    bt: Array


def exact_matrices(m: int, r: int) -> tuple[list[list[Fraction]], ...]:
    """A^T, G and B^T of F(m, r) in fractions, by Cook and Toom."""

    def from_roots(roots: list[Fraction]) -> list[Fraction]:
        """Coefficients of the product of all x - root, of x^0 first."""
        coefficients = [Fraction(1)]
        for root in roots:
            shifted = [Fraction(0), *coefficients]
            coefficients = [
                s - root * c for s, c in zip(shifted, [*coefficients, Fraction(0)], strict=True)
            ]
        return coefficients

    at, g, bt = [[p**i for p in _POINTS] for i in range(m)], [], []
    for i, powers in enumerate(at):
        powers.append(Fraction(int(i == m - 1)))
    for p in _POINTS:
        others = [q for q in _POINTS if q != p]
        f = Fraction(1)
        for q in others:
            f *= p - q
        g.append([p**i / f for i in range(r)])
        bt.append([*from_roots(others), Fraction(0)])
    g.append([Fraction(int(i == r - 1)) for i in range(r)])
    bt.append(from_roots(list(_POINTS)))
    return at, g, bt


@cache
def matrices(m: int, r: int) -> Matrices:
    """The matrices of F(m, r), rounded to float64.

    Parameters
    ----------
    m, r : int
        Results and taps, ``m + r == 7``.

    Returns
    -------
    Matrices

    Raises
    ------
    ValueError
        If they are not of six points.
    """
    if m + r != 7 or m < 2 or r < 2:
        raise ValueError(f"six points make m results of r taps with m + r = 7, got {m} and {r}")
    return Matrices(*(np.array(a, np.float64) for a in exact_matrices(m, r)))


def correlation_terms(r: int, channels: int) -> int:
    """How many roundings a result passes through at most.

    Each operation errs by a factor within eps, the unit roundoff, of 1, and a product of n of these
    is within n eps of 1, to first order (Higham 2002, lemma 3.1). All coefficients are exact
    but those of the filters. Without a fused multiply-add, a value of the image passes, in each of
    the two directions, a product and a sum twice (B^T): 8. A filter does so, with 5 taps three
    times, and is divided once, by a rounded divisor (G): 4 r' + 2, r' = 2 or 3. Then comes one
    product and a sum over channels, and sums and products of the results (A^T), 4 in each
    direction. One more for the bias, one for what is of second order.

    Parameters
    ----------
    r : int
        Taps in each direction, 3 or 5.
    channels : int
        Of a group.

    Returns
    -------
    int
    """
    filters = 4 * (3 if r == 5 else 2) + 2
    return 8 + filters + (channels + 1) + 8 + 2


def magnitude(x: Array, w: Array, params: Params) -> Array:
    """The sum of all magnitudes that make a result: ``|A^T| ((|G||w||G^T|) . (|B^T||x||B|)) |A|``.

    Times `correlation_terms` it bounds the error, elementwise, in units of the unit roundoff: by
    the lemma each of the terms of which the exact result is the sum has a relative error of so
    many roundings.

    Parameters
    ----------
    x : ndarray of float64, shape (N, H, W, C)
    w : ndarray of float64, shape (R, R, C/groups, K)
    params : mapping
        The padding, which may be negative, and groups.

    Returns
    -------
    ndarray of float64, shape (N, P, Q, K)
    """
    r, groups = w.shape[0], int(params["groups"])
    m = 7 - r
    at, g, bt = (np.abs(a) for a in matrices(m, r))
    sides = [(int(params[f"pad_{a}"]), int(params[f"pad_{b}"])) for a, b in _SIDES]
    p, q = (x.shape[1 + i] + sum(side) - r + 1 for i, side in enumerate(sides))
    rows, columns = -(-p // m), -(-q // m)
    image = np.zeros((x.shape[0], rows * m + r - 1, columns * m + r - 1, x.shape[3]))
    (to_h, from_h), (to_w, from_w) = (
        _overlap(x.shape[1 + i], side[0], image.shape[1 + i]) for i, side in enumerate(sides)
    )
    image[:, to_h, to_w] = np.abs(x[:, from_h, from_w])
    tiles = sliding_window_view(image, (6, 6), axis=(1, 2))[:, ::m, ::m]
    inputs = _planes(bt @ tiles @ bt.T)
    filters = _planes(g @ np.abs(w).transpose(2, 3, 0, 1) @ g.T)
    c, k = w.shape[2], w.shape[3] // groups
    c, k = w.shape[2], w.shape[3] // groups

    def group(i: int) -> Array:
        of_group = inputs[..., i * c : (i + 1) * c].reshape(6, 6, -1, c)
        result: Array = of_group @ filters[..., i * k : (i + 1) * k]
        return result

    products = np.concatenate([group(i) for i in range(groups)], axis=-1)
    results = at @ products.transpose(2, 3, 0, 1) @ at.T
    grid = results.reshape(x.shape[0], rows, columns, w.shape[3], m, m)
    whole = grid.transpose(0, 1, 4, 2, 5, 3).reshape(x.shape[0], rows * m, columns * m, w.shape[3])
    return np.ascontiguousarray(whole[:, :p, :q])


def _planes(a: Array) -> Array:
    """(..., 6, 6) as (6, 6, ...)."""
    return np.moveaxis(a, (-2, -1), (0, 1))


def _overlap(size: int, before: int, room: int) -> tuple[slice, slice]:
    """Where an axis goes that is padded in front, and what of it does."""
    begin, end = max(before, 0), min(before + size, room)
    return slice(begin, max(end, begin)), slice(begin - before, max(end, begin) - before)


def wide_enough(params: Params, w: Spec | None) -> bool:
    """Whether a group has enough channels and filters for the method to be considered.

    Each value of the image and of the result passes a transform, for which the products that are
    saved have to pay. With fewer than a vector of either the method never does, and costs
    accuracy; from there on the cost model decides (`convkit.ops.choosing`).

    Parameters
    ----------
    params : mapping
    w : Spec
        Of the filters, (KH, KW, C/groups, K).

    Returns
    -------
    bool
    """
    return w is not None and w.shape[2] >= 16 and w.shape[3] // int(params["groups"]) >= 16
