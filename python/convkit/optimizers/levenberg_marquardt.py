"""Levenberg-Marquardt, for small networks and squared errors."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.checks import number, whole
from convkit.optimizers.full_batch import STUCK, FullBatch, Iteration, Memory, check_matrix
from convkit.optimizers.line import Array, Evaluations, Point

__all__ = ["LevenbergMarquardt"]


class LevenbergMarquardt(FullBatch):
    """Damped Gauss-Newton steps (Marquardt 1963; for networks Hagan and Menhaj 1994).

    For the loss F, a sum of squares with the Jacobian J of what is squared, a step h solves
    ``(2 J^T J + mu I) h = -grad F``. A step that raises the loss is not taken, but tried again
    with more damping mu; one that keeps what the quadratic model promises lowers it (Nielsen 1999;
    Madsen, Nielsen and Tingleff 2004, algorithm 3.16). An epoch is one step that was taken.

    Only for squared errors and small networks: the matrix has n x n numbers for n weights. The
    History has "damping" for each epoch.

    Parameters
    ----------
    damping : float
        First mu, relative to the largest element of the diagonal of 2 J^T J. Small values suit
        problems that are nearly linear, or a start near the minimum.
    max_bytes : int
        Of the matrix, beyond which training is refused.
    max_evaluations : int
        Of the loss, in one epoch.
    tolerance : float
        Training ends where the 2-norm of the gradient is not above it.
    dtype : {"float64", "float32"}
        To compute in.
    name : str
    """

    memory_keys = ("damping", "factor")

    def __init__(
        self,
        damping: float = 1e-3,
        max_bytes: int = 1 << 30,
        max_evaluations: int = 60,
        *,
        tolerance: float = 1e-8,
        dtype: str = "float64",
        name: str = "levenberg_marquardt",
        **options: Any,
    ) -> None:
        super().__init__(1.0, tolerance, dtype, name, options)
        self.damping = number("LevenbergMarquardt", "damping", damping, above=0)
        self.max_bytes = int(max_bytes)
        self.max_evaluations = whole("LevenbergMarquardt", "max_evaluations", max_evaluations, 1)
        self._seal(LevenbergMarquardt)

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse what the damping takes the place of."""
        if name == "learning_rate" and value != getattr(self, "_learning_rate", value):
            raise TypeError(
                "LevenbergMarquardt has no learning_rate: the damping finds the length of the "
                "step; leave out what changes it"
            )
        super().__setattr__(name, value)

    def check_size(self, size: int) -> None:
        check_matrix("LevenbergMarquardt", "matrix", size, self.max_bytes)

    def held(self, size: int) -> int:
        # The matrix, the damped one and what LAPACK factorises in place.
        return super().held(size) + 3 * 8 * size * size

    def iterate(self, evaluations: Evaluations, point: Point, memory: Memory) -> Iteration:
        before = evaluations.count
        reason = self.converged(point)
        taken, mu, factor = None, 0.0, 2.0
        if not reason:
            matrix = evaluations.gauss_newton(point.weights)
            mu = float(memory.get("damping", self.damping * matrix.diagonal().max()))
            factor = float(memory.get("factor", 2.0))
            mu = max(mu, np.finfo(np.float64).tiny)
        for _ in range(self.max_evaluations if not reason else 0):
            h = _solve(matrix, mu, point.gradient)
            if h is not None:
                new = (point.weights + h).astype(point.weights.dtype, copy=False)
                if not (new != point.weights).any():
                    break
                loss = evaluations.loss(new)
                if loss < point.loss:
                    taken = evaluations.point(new)
                    # Equations 2.18 and 3.14: the share of the promised decrease that came true.
                    promised = 0.5 * float(h @ (mu * h - point.gradient))
                    share = (point.loss - loss) / promised if promised > 0 else 1.0
                    mu, factor = mu * max(1 / 3, 1 - (2 * share - 1) ** 3), 2.0
                    break
            mu, factor = mu * factor, 2 * factor
            if not mu < 1e300:
                break
        end = point if taken is None else taken
        logs = {
            "damping": mu,
            "evaluations": float(evaluations.count - before),
            "gradient_norm": end.norm,
        }
        if taken is None or not taken.loss < point.loss:
            return Iteration(point, memory, logs, reason or STUCK)
        return Iteration(end, {"damping": mu, "factor": factor}, logs, self.converged(end))


def _solve(matrix: Array, mu: float, gradient: Array) -> Array | None:
    """The step h; None where rounding has left the damped matrix without a way down."""
    damped = matrix.copy()
    damped.flat[:: len(damped) + 1] += mu
    try:
        step: Array = np.linalg.solve(damped, -gradient)
    except np.linalg.LinAlgError:
        return None
    return step if np.isfinite(step).all() and float(step @ gradient) < 0 else None
