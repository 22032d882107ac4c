"""What the optimizers of all the data work on: a function of the weights, and a ray through it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Evaluations", "Line", "Objective", "Point"]

Array = NDArray[Any]


class Point(NamedTuple):
    """A place on the loss surface.

    Attributes
    ----------
    weights : ndarray, shape (n,)
    loss : float
        Infinite where it, or an element of the gradient, is not a number.
    gradient : ndarray of float64, shape (n,)
    """

    weights: Array
    loss: float
    gradient: Array

    @property
    def norm(self) -> float:
        """2-norm of the gradient."""
        return float(np.linalg.norm(self.gradient))


class Objective(Protocol):
    """What is minimised. A plain function that returns loss and gradient is one, too."""

    def __call__(self, weights: Array) -> tuple[float, Array]:
        """Loss and gradient."""

    def loss(self, weights: Array) -> float:
        """The same loss to the last bit, without the gradient."""

    def gauss_newton(self, weights: Array) -> Array:
        """Of a sum of squares: 2 J^T J, with the Jacobian of what is squared; shape (n, n)."""


class Evaluations:
    """An objective that counts how often it is asked, and makes what is not finite infinite.

    Attributes
    ----------
    count : int
        Passes over the data.
    """

    def __init__(self, objective: Objective | Callable[[Array], tuple[float, Array]]) -> None:
        self.objective = objective
        self.count = 0

    def point(self, weights: Array) -> Point:
        """Loss and gradient at these weights."""
        self.count += 1
        with np.errstate(over="ignore", invalid="ignore"):
            loss, gradient = self.objective(weights)
        gradient = np.asarray(gradient, np.float64)
        finite = math.isfinite(loss) and bool(np.isfinite(gradient).all())
        return Point(weights, float(loss) if finite else math.inf, gradient)

    def loss(self, weights: Array) -> float:
        """The loss alone, which costs less."""
        alone = getattr(self.objective, "loss", None)
        if alone is None:
            return self.point(weights).loss
        self.count += 1
        with np.errstate(over="ignore", invalid="ignore"):
            loss = float(alone(weights))
        return loss if math.isfinite(loss) else math.inf

    def gauss_newton(self, weights: Array) -> Array:
        """The curvature of a sum of squares; counted like a pass over the data."""
        alone = getattr(self.objective, "gauss_newton", None)
        if alone is None:
            raise TypeError("Levenberg-Marquardt needs an objective that has gauss_newton()")
        self.count += 1
        matrix: Array = np.asarray(alone(weights), np.float64)
        return matrix


class Line:
    """The loss along a ray, phi(t) = f(w + t p).

    Parameters
    ----------
    evaluations : Evaluations
    start : Point
    direction : ndarray of float64, shape (n,)

    Attributes
    ----------
    loss0, slope0 : float
        phi(0) and phi'(0).
    """

    def __init__(self, evaluations: Evaluations, start: Point, direction: Array) -> None:
        self._evaluations = evaluations
        self.start = start
        self.direction = direction
        self.loss0 = start.loss
        self.slope0 = float(start.gradient @ direction)
        # Of the steps that were tried with the gradient: the last one, and the lowest.
        self._last: tuple[float, Point] | None = None
        self._lowest: tuple[float, Point] | None = None

    def weights(self, t: float) -> Array:
        """Where a step of this length leads, in the dtype of the start."""
        with np.errstate(over="ignore", invalid="ignore"):
            end: Array = self.start.weights + t * self.direction
            return end.astype(self.start.weights.dtype, copy=False)

    def moves(self, t: float) -> bool:
        """Whether a step changes any weight, rather than being lost in rounding."""
        return bool((self.weights(t) != self.start.weights).any())

    def loss(self, t: float) -> float:
        """phi(t), infinite where it is no number."""
        return self._evaluations.loss(self.weights(t))

    def slope(self, t: float) -> tuple[float, float]:
        """phi(t) and phi'(t)."""
        point = self._evaluations.point(self.weights(t))
        self._last = (t, point)
        if self._lowest is None or point.loss <= self._lowest[1].loss:
            self._lowest = self._last
        with np.errstate(over="ignore", invalid="ignore"):
            return point.loss, float(point.gradient @ self.direction)

    def point(self, t: float) -> Point:
        """Weights, loss and gradient at t; what was computed before is not computed again."""
        for tried in (self._last, self._lowest):
            if tried is not None and tried[0] == t:
                return tried[1]
        return self._evaluations.point(self.weights(t))
