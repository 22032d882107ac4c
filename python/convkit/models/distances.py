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
    """
    d = squared_distances(x, c)
    d *= -0.5 / np.square(sigma)
    return np.exp(d, out=d)


def median_distance(x: Array) -> float:
    """Median of the distances between different samples, the usual width of a Gaussian kernel.

    Of more than 1,000 samples, 1,000 at even distances are looked at. (Gretton, Borgwardt, Rasch,
    Schölkopf and Smola, "A kernel two-sample test", 2012, section 8.)

    Raises
    ------
    ValueError
        If it is 0.
    """
    if len(x) > _SAMPLE:
        x = x[np.linspace(0, len(x) - 1, _SAMPLE).astype(int)]
    d = np.sqrt(squared_distances(x, x)[np.triu_indices(len(x), 1)])
    median = float(np.median(d)) if d.size else 0.0
    if not median > 0:
        raise ValueError(
            '[sigma="median"] half of the samples or more are the same point; pass a number'
        )
    return median
