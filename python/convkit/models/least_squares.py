"""Linear least squares: the output weights of a radial basis function network, kernel ridge."""

from __future__ import annotations

import numpy as np

from convkit.ops.registry import Array

__all__ = ["least_squares", "solve_positive"]

_BLOCK = 64


def solve_positive(owner: str, a: Array, b: Array, way: str) -> Array:
    """Solve ``a x = b`` for a symmetric positive definite matrix, by Cholesky's method.

    Parameters
    ----------
    owner : str
        Named in messages.
    a : ndarray of float64, shape (N, N)
    b : ndarray of float64, shape (N, K)
    way : str
        What to do if a is singular.

    Returns
    -------
    ndarray, shape (N, K)

    Raises
    ------
    ValueError
        If a is not positive definite to rounding.
    """
    try:
        lower = np.linalg.cholesky(a)
    except np.linalg.LinAlgError:
        raise ValueError(
            f"[{owner}] the {len(a)} x {len(a)} system of equations is singular; {way}"
        ) from None
    y = _forward(lower, b)
    # The transpose, read backwards, is lower triangular too.
    return _forward(lower.T[::-1, ::-1], y[::-1])[::-1]


def _forward(lower: Array, b: Array) -> Array:
    """Solve a lower triangular system, block by block."""
    x = np.array(b, np.float64)
    for at in range(0, len(x), _BLOCK):
        rows = slice(at, at + _BLOCK)
        x[rows] -= lower[rows, :at] @ x[:at]
        x[rows] = np.linalg.solve(lower[rows, rows], x[rows])
    return x


def least_squares(a: Array, b: Array) -> Array:
    """The x of smallest norm that minimises ``|a x - b|^2``."""
    x: Array = np.linalg.lstsq(a, b, rcond=None)[0]
    return x
