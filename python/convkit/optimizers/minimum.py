"""The optimizers that take all the data for each step, on any function of a vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from convkit.optimizers.full_batch import FullBatch
from convkit.optimizers.levenberg_marquardt import LevenbergMarquardt
from convkit.optimizers.line import Array, Evaluations, Objective
from convkit.optimizers.names import get
from convkit.schedules.base import check_steps

__all__ = ["Minimum", "minimize"]


class Minimum(NamedTuple):
    """What `minimize` found.

    Attributes
    ----------
    weights : ndarray, shape (n,)
    loss, gradient_norm : float
    iterations, evaluations : int
    reason : str
        Why it ended.
    losses : list of float
        At the start and after each iteration.
    """

    weights: Array
    loss: float
    gradient_norm: float
    iterations: int
    evaluations: int
    reason: str
    losses: list[float]


def _called(function: Callable[..., Any], weights: Array, first: str, second: str) -> Any:
    """The two that a function returns; what it does to its argument changes nothing."""
    found = function(weights.copy())
    if not (isinstance(found, tuple | list) and len(found) == 2):
        raise TypeError(
            f"minimize: the function must return two things, {first} and {second}, not "
            f"{type(found).__name__}"
        )
    return found


class _Function:
    """The objective of a function that returns loss and gradient."""

    def __init__(self, function: Callable[[Array], Any]) -> None:
        self._function = function

    def __call__(self, weights: Array) -> tuple[float, Array]:
        loss, gradient = _called(self._function, weights, "loss", "gradient")
        gradient = np.array(gradient, np.float64)  # the function may use its array again
        if np.shape(loss) or gradient.shape != weights.shape:
            raise ValueError(
                "minimize: the function must return a number and a gradient of shape "
                f"{weights.shape}, not shapes {np.shape(loss)} and {gradient.shape}"
            )
        return float(loss), gradient


class _SumOfSquares:
    """The objective of a function that returns residuals r and their Jacobian J: r . r."""

    def __init__(self, function: Callable[[Array], Any]) -> None:
        self._function = function

    def _parts(self, weights: Array) -> tuple[Array, Array]:
        found = _called(self._function, weights, "residuals", "jacobian")
        residuals, jacobian = (np.asarray(part, np.float64) for part in found)
        if residuals.ndim != 1 or jacobian.shape != (residuals.size, weights.size):
            raise ValueError(
                f"minimize: the function must return residuals of shape (m,) and a jacobian of "
                f"shape (m, {weights.size}), not shapes {residuals.shape} and {jacobian.shape}"
            )
        return residuals, jacobian

    def __call__(self, weights: Array) -> tuple[float, Array]:
        residuals, jacobian = self._parts(weights)
        return float(residuals @ residuals), 2 * jacobian.T @ residuals

    def loss(self, weights: Array) -> float:
        residuals, _ = self._parts(weights)
        return float(residuals @ residuals)

    def gauss_newton(self, weights: Array) -> Array:
        _, jacobian = self._parts(weights)
        matrix: Array = 2 * jacobian.T @ jacobian
        return matrix


def minimize(
    function: Objective | Callable[[Array], tuple[Any, Array]],
    start: ArrayLike,
    optimizer: Any = "lbfgs",
    iterations: int = 1000,
) -> Minimum:
    """Minimise a function of a vector, without a network.

    Parameters
    ----------
    function : callable
        ``function(w) -> (loss, gradient)``; for Levenberg-Marquardt ``(residuals, jacobian)`` of
        shapes (m,) and (m, n), and the loss is the sum of the squared residuals.
    start : array_like, shape (n,)
    optimizer : str or FullBatch
    iterations : int
        At most.

    Returns
    -------
    Minimum

    Raises
    ------
    TypeError
        If the optimizer does not take all the data for each step.
    TypeError, ValueError
        If the function returns something else, or what is not finite at the start.
    """
    method = get(optimizer)
    if not isinstance(method, FullBatch):
        raise TypeError(
            f"minimize: {type(method).__name__} takes batches of data; use one that takes all of "
            'it, such as "lbfgs"'
        )
    iterations = int(check_steps("minimize", "iterations", iterations, least=0))
    weights = np.array(start, method.dtype, ndmin=1)
    if weights.ndim > 1:
        raise ValueError(f"minimize: start must be a vector, not of shape {weights.shape}")
    method.check_size(weights.size)
    objective: Any = function
    if isinstance(method, LevenbergMarquardt):
        if not hasattr(function, "gauss_newton"):
            objective = _SumOfSquares(objective)
    elif not hasattr(function, "loss"):
        objective = _Function(objective)
    evaluations = Evaluations(objective)
    point, memory = evaluations.point(weights), method.memory
    if not np.isfinite(point.loss):
        raise ValueError("minimize: the loss or its gradient is not finite at the start")
    losses, reason, done = [point.loss], method.converged(point), 0
    while not reason and done < iterations:
        point, memory, _, reason = method.iterate(evaluations, point, memory)
        losses.append(point.loss)
        done += 1
    return Minimum(
        point.weights, point.loss, point.norm, done, evaluations.count,
        reason or f"all {iterations} iterations done", losses,
    )  # fmt: skip
