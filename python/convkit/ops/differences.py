"""Derivatives by central differences, with an eye on kinks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from convkit.ops.registry import Array


def central(
    loss: Callable[[], float], flat: Array, at: int, h: float, middle: float
) -> tuple[float, float]:
    """Central difference with one Richardson extrapolation, and how far the loss is from smooth.

    The error of the difference is O(h^4) where the loss is smooth. Its slopes on the two sides
    differ by ``h f'' + O(h^3)`` there, so by half as much at half the step; the second number is
    what is left of that, and at a kink it is of the size of the jump in the slope.

    Parameters
    ----------
    loss : callable
        Without arguments: the loss at the present values of `flat`.
    flat : ndarray of float64, shape (n,)
        What the loss depends on; changed and put back.
    at : int
        The entry to vary.
    h : float
        The step.
    middle : float
        The loss as it is.
    """
    value = flat[at]

    def sides(step: float) -> tuple[float, float]:
        flat[at] = value + step
        up = loss()
        flat[at] = value - step
        down = loss()
        flat[at] = value
        return (up - down) / (2 * step), (up - 2 * middle + down) / step

    (coarse, bend), (fine, half) = sides(h), sides(h / 2)
    return (4 * fine - coarse) / 3, abs(bend - 2 * half)


def compare_entry(
    loss: Callable[[], float],
    flat: Array,
    at: int,
    gradient: float,
    middle: float,
    tolerance: float,
    step: float = 1e-3,
    rounding: float = 0.0,
) -> tuple[float, float, bool]:
    """Compare one entry of a gradient with central differences.

    Parameters
    ----------
    loss, flat, at, middle
        As in `central`.
    gradient : float
    tolerance : float
        On ``|gradient - difference| / max(1e-3, |gradient|, |difference|)``.
    step : float
        Step of the differences, relative to max(1, |value|).
    rounding : float
        Of the loss; what it may add to a difference is no error.

    Returns
    -------
    error, difference : float
        The relative error, and the difference that comes nearest.
    smooth : bool
        Whether the loss has no kink within one of the steps tried.
    """
    h = step * max(1.0, abs(float(flat[at])))
    error, nearest, smooth = np.inf, np.nan, False
    # Smaller steps see less of a kink nearby, until rounding takes over.
    for finer in (h, h / 16, h / 256):
        difference, kink = central(loss, flat, at, finer, middle)
        apart = _relative(gradient, difference, 16 * rounding / finer)
        if apart <= tolerance or kink <= tolerance * max(1e-3, abs(difference)):
            smooth = True
            if apart < error or np.isnan(nearest):
                error, nearest = apart, difference
        if error <= tolerance:
            break
    return error, nearest, smooth


def _relative(a: float, b: float, allowed: float) -> float:
    error = max(abs(a - b) - allowed, 0.0) / max(1e-3, abs(a), abs(b))
    return error if np.isfinite(error) else np.inf
