"""Distances between points and what follows from them: Gaussian units and kernels."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.ops.rbf import rbf_distance
from convkit.ops.registry import Array

__all__ = ["gaussian", "median_distance", "squared_distances"]

_SAMPLE = 1000  # points that median_distance looks at


def squared_distances(x: Array, c: Array) -> Array:
    """``|x_i - c_j|^2``, exactly 0 between equal points: the op ``rbf``.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (N, C)
    c : ndarray, shape (M, C)
        Of the dtype of x.

    Returns
    -------
    ndarray, shape (N, M)
        Of their dtype.
    """
    return rbf_distance(x, c.T)


def gaussian(x: Array, c: Array, sigma: Any) -> Array:
    """``exp(-|x_i - c_j|^2 / (2 sigma_j^2))``, shape (N, M).

    Parameters
    ----------
    x : ndarray of float64, shape (N, C)
    c : ndarray of float64, shape (M, C)
    sigma : float or ndarray of shape (M,)
        With a square that is a number above 0, as `check_square` makes sure.
    """
    d = squared_distances(x, c)
    with np.errstate(over="ignore"):  # exp(-inf) is 0
        d *= -0.5 / np.square(sigma)
    return np.exp(d, out=d)


def median_distance(owner: str, x: Array) -> float:
    """Median of the distances between different samples, the usual width of a Gaussian kernel.

    Of more than 1,000 samples, 1,000 at even distances are looked at. (Gretton, Borgwardt, Rasch,
    Schölkopf and Smola, "A kernel two-sample test", 2012, section 8.)

    Parameters
    ----------
    owner : str
        Named in messages.
    x : ndarray of float64, shape (N, C)

    Raises
    ------
    ValueError
        If there is one sample only, or it is 0.
    """
    if len(x) < 2:
        raise ValueError(
            f'[{owner}] sigma="median" is a distance between samples, and x has one sample; pass '
            "a number"
        )
    if len(x) > _SAMPLE:
        x = x[np.linspace(0, len(x) - 1, _SAMPLE).astype(int)]
    d = np.sqrt(squared_distances(x, x)[np.triu_indices(len(x), 1)])
    median = float(np.median(d))
    if not median > 0:
        raise ValueError(
            f'[{owner}] sigma="median" is 0: half of the distances between samples or more are; '
            "pass a number"
        )
    return median
