"""Steepest descent and conjugate gradients, with line minimisation."""

from __future__ import annotations

from typing import Any

from convkit.checks import whole
from convkit.errors import did_you_mean
from convkit.optimizers.full_batch import Descent, Memory
from convkit.optimizers.line import Array, Line, Point
from convkit.optimizers.line_search import LineSearch, StrongWolfe

__all__ = ["ConjugateGradient", "SteepestDescent"]

LONGEST = 10.0  # times the step before
SLANTED = 0.2  # Powell's bound, from which on two gradients are not orthogonal


class SteepestDescent(Descent):
    """Gradient descent over all the data, each step as long as a line search says.

    The loss never rises. What Keras calls a learning rate is found anew in each epoch; the History
    has it as "step_size".

    Parameters
    ----------
    line_search : str or LineSearch
        "brent", "golden_section", "armijo" or "wolfe"; see `convkit.optimizers.line_search`.
    learning_rate : float
        Length of the first move that is tried.
    tolerance : float
        Training ends where the 2-norm of the gradient is not above it.
    dtype : {"float64", "float32"}
        To compute in.
    name : str
    """

    memory_keys = ("step",)

    def __init__(
        self,
        line_search: str | LineSearch = "brent",
        learning_rate: float = 1.0,
        *,
        tolerance: float = 1e-8,
        dtype: str = "float64",
        name: str = "steepest_descent",
        **options: Any,
    ) -> None:
        super().__init__(line_search, learning_rate, tolerance, dtype, name, options)
        self._seal(SteepestDescent)

    def direction(self, point: Point, memory: Memory) -> Array:
        return -point.gradient

    def first_step(self, line: Line, memory: Memory) -> float:
        if not memory:
            return self._short(line)
        return self.line_search.growth * float(memory["step"])

    def learn(self, memory: Memory, line: Line, step: float, new: Point) -> Memory:
        return {"step": step}


class ConjugateGradient(Descent):
    """Nonlinear conjugate gradients (Nocedal and Wright 2006, algorithm 5.4).

    The direction is ``p = -g + beta p_before``. On a quadratic function of n weights it reaches
    the minimum in n steps, but for rounding, if the line searches are exact.

    Parameters
    ----------
    beta : {"polak_ribiere", "fletcher_reeves", "hestenes_stiefel"}
        Polak and Ribiere 1969 and Hestenes and Stiefel 1952, not below zero (equations 5.44 to
        5.46), or Fletcher and Reeves 1964 (5.41), which begins anew where a gradient is far from
        orthogonal to the one before (Powell 1977; 5.52).
    restart_every : int, optional
        Iterations after which the negative gradient is taken; by default as many as weights.
    line_search : str or LineSearch
        By default strong Wolfe with a curvature of 0.001: nearly exact.
    learning_rate, tolerance, dtype, name
        As in `SteepestDescent`.
    """

    memory_keys = ("direction", "gradient", "slope", "step", "count")

    def __init__(
        self,
        beta: str = "polak_ribiere",
        restart_every: int | None = None,
        line_search: str | LineSearch | None = None,
        learning_rate: float = 1.0,
        *,
        tolerance: float = 1e-8,
        dtype: str = "float64",
        name: str = "conjugate_gradient",
        **options: Any,
    ) -> None:
        search = StrongWolfe(curvature=1e-3) if line_search is None else line_search
        super().__init__(search, learning_rate, tolerance, dtype, name, options)
        known = ("polak_ribiere", "fletcher_reeves", "hestenes_stiefel")
        if beta not in known:
            raise ValueError(f"ConjugateGradient: unknown beta {beta!r}{did_you_mean(beta, known)}")
        self.beta = beta
        self.restart_every = restart_every
        if restart_every is not None:
            self.restart_every = whole("ConjugateGradient", "restart_every", restart_every, 1)
        self._seal(ConjugateGradient)

    def _vectors(self) -> int:
        return super()._vectors() + 2  # direction and gradient of the iteration before

    def direction(self, point: Point, memory: Memory) -> Array:
        g = point.gradient
        if not memory or memory["count"] >= (self.restart_every or g.size):
            return -g
        before, p = memory["gradient"], memory["direction"]
        y = g - before
        if self.beta == "fletcher_reeves":
            slanted = abs(g @ before) >= SLANTED * (g @ g)
            beta = 0.0 if slanted else (g @ g) / (before @ before)
        elif self.beta == "hestenes_stiefel":
            bottom = y @ p
            beta = max(0.0, (g @ y) / bottom) if bottom > 0 else 0.0
        else:
            beta = max(0.0, (g @ y) / (before @ before))
        direction: Array = beta * p - g
        return direction if direction @ g < 0 else -g

    def first_step(self, line: Line, memory: Memory) -> float:
        if not memory:
            return self._short(line)
        # As if the loss changed to first order by as much as before (page 59).
        ratio = memory["slope"] / line.slope0
        return float(memory["step"]) * min(float(ratio), LONGEST)

    def learn(self, memory: Memory, line: Line, step: float, new: Point) -> Memory:
        g = line.start.gradient
        anew = not memory or bool((line.direction == -g).all())
        return {
            "direction": line.direction,
            "gradient": g,
            "slope": line.slope0,
            "step": step,
            "count": 1 if anew else int(memory["count"]) + 1,
        }
