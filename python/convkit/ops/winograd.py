"""Winograd's convolution with six points: its matrices, exactly, and the errors that follow.

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

from convkit.ops.registry import Array

__all__ = ["A", "B", "Matrices", "matrices"]

A, B = Fraction(5, 8), Fraction(3, 2)
_POINTS = (Fraction(0), A, -A, B, -B)  # and infinity


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
    for i, row in enumerate(at):
        row.append(Fraction(int(i == m - 1)))
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
