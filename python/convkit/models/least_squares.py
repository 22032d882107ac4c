"""Linear least squares: the output weights of a radial basis function network, kernel ridge."""

from __future__ import annotations

import math

import numpy as np

from convkit.ops.registry import Array

__all__ = ["RULES", "least_squares", "select_columns", "solve_positive"]

RULES = ("ols", "worst_error")

_BLOCK = 64
_DEPENDENT = 1e-10  # relative norm of what a column adds to the others, below which it adds nothing
_ROUNDING = 16 * float(np.finfo(np.float64).eps)  # relative error that no further column lowers


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


def select_columns(
    units: Array, values: Array, goal: float, most: int, rule: str
) -> tuple[list[int], list[float]]:
    """Choose columns one by one for a least-squares fit of `values`, by either of `RULES`.

    The columns are kept orthogonal to those chosen (Gram and Schmidt), and the residual too; so the
    error falls by ``(p_j . r)^2 / p_j . p_j`` if column j is next (Chen, Cowan and Grant 1991).

    Parameters
    ----------
    units : ndarray of float64, shape (N, N)
        Column j belongs to sample j.
    values : ndarray of float64, shape (N, K)
        To be fitted by the chosen columns and a constant.
    goal : float
        Mean squared error at which it ends.
    most : int
        Columns to choose at most. It ends earlier where no column is independent of the others.
    rule : str
        "ols": the column that lowers the error most. "worst_error": that of the sample with the
        largest error.

    Returns
    -------
    selected : list of int
    errors : list of float
        Mean squared error with 0, 1, 2, ... columns.
    """
    n = len(units)
    basis = np.full((n, 1), 1 / math.sqrt(n))  # the bias
    p = units - basis @ (basis.T @ units)
    r = values - basis @ (basis.T @ values)
    size = np.square(units).sum(0)
    free = np.ones(n, bool)
    selected: list[int] = []
    errors = [float(np.mean(r**2))]
    goal = max(goal, _ROUNDING**2 * float(np.mean(values**2)))
    while errors[-1] > goal and len(selected) < most:
        left = np.square(p).sum(0)
        free &= left > _DEPENDENT**2 * size
        if not free.any():
            break
        if rule == "ols":
            gain = np.square(p.T @ r).sum(1) / np.where(free, left, 1)
        else:
            gain = np.square(r).sum(1)
        best = int(np.argmax(np.where(free, gain, -1.0)))
        q = p[:, best : best + 1]
        q = q - basis @ (basis.T @ q)  # once more, for what rounding has left
        q = q / math.sqrt(float(np.square(q).sum()))
        p -= q @ (q.T @ p)
        r = r - q @ (q.T @ r)
        basis = np.column_stack([basis, q])
        free[best] = False
        selected.append(best)
        errors.append(float(np.mean(r**2)))
    return selected, errors
