"""Quasi-Newton methods: BFGS with a dense matrix, and L-BFGS with a few pairs of vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.checks import whole
from convkit.optimizers.full_batch import Descent, Memory, check_matrix
from convkit.optimizers.line import Array, Line, Point
from convkit.optimizers.line_search import LineSearch

__all__ = ["BFGS", "LBFGS"]

FLAT = 1e-10  # cosine between s and y below which a pair says nothing of the curvature


def _pair(line: Line, new: Point) -> tuple[Array, Array] | None:
    """How weights and gradient changed, s and y; None where the curvature is not positive."""
    s = np.asarray(new.weights, np.float64) - line.start.weights
    y = new.gradient - line.start.gradient
    if s @ y <= FLAT * np.linalg.norm(s) * np.linalg.norm(y):
        return None
    return s, y


class BFGS(Descent):
    """The method of Broyden, Fletcher, Goldfarb and Shanno (Nocedal and Wright 2006, alg. 6.1).

    It keeps an approximation H of the inverse Hessian, n x n numbers, and is for small networks.

    Parameters
    ----------
    line_search : str or LineSearch
    learning_rate : float
        Length of the first move that is tried.
    max_bytes : int
        Of H, beyond which training is refused.
    tolerance, dtype, name
        As in `convkit.optimizers.SteepestDescent`.
    """

    memory_keys = ("inverse_hessian",)

    def __init__(
        self,
        line_search: str | LineSearch = "wolfe",
        learning_rate: float = 1.0,
        max_bytes: int = 1 << 30,
        *,
        tolerance: float = 1e-8,
        dtype: str = "float64",
        name: str = "bfgs",
        **options: Any,
    ) -> None:
        super().__init__(line_search, learning_rate, tolerance, dtype, name, options)
        self.max_bytes = int(max_bytes)
        self._seal(BFGS)

    def check_size(self, size: int) -> None:
        check_matrix("BFGS", "inverse Hessian", size, self.max_bytes)

    def held(self, size: int) -> int:
        return super().held(size) + 4 * 8 * size * size  # H, the next one, and two products

    def direction(self, point: Point, memory: Memory) -> Array:
        if not memory:
            return -point.gradient
        direction: Array = -(memory["inverse_hessian"] @ point.gradient)
        return direction

    def first_step(self, line: Line, memory: Memory) -> float:
        return 1.0 if memory else self._short(line)

    def learn(self, memory: Memory, line: Line, step: float, new: Point) -> Memory:
        pair = _pair(line, new)
        if pair is None:
            return memory
        s, y = pair
        sy = s @ y
        if memory:
            h = memory["inverse_hessian"]
            hy = h @ y
        else:  # equation 6.20
            h = np.eye(s.size) * (sy / (y @ y))
            hy = y * (sy / (y @ y))
        # Equation 6.17, multiplied out.
        cross = np.outer(s, hy / sy)
        h = h - cross - cross.T
        h += np.outer(s, s * ((1 + y @ hy / sy) / sy))
        return {"inverse_hessian": h}


class LBFGS(Descent):
    """Limited-memory BFGS (Liu and Nocedal 1989; Nocedal and Wright 2006, algorithm 7.5).

    It keeps the last `memory_size` changes of weights and gradient, and forms the product of the
    inverse Hessian and the gradient from them. A pair without positive curvature is left out.

    Parameters
    ----------
    memory_size : int
    line_search : str or LineSearch
    learning_rate : float
        Length of the first move that is tried.
    tolerance, dtype, name
        As in `convkit.optimizers.SteepestDescent`.
    """

    memory_keys = ("weight_changes", "gradient_changes")

    def __init__(
        self,
        memory_size: int = 10,
        line_search: str | LineSearch = "wolfe",
        learning_rate: float = 1.0,
        *,
        tolerance: float = 1e-8,
        dtype: str = "float64",
        name: str = "lbfgs",
        **options: Any,
    ) -> None:
        super().__init__(line_search, learning_rate, tolerance, dtype, name, options)
        self.memory_size = whole("LBFGS", "memory_size", memory_size, 1)
        self._seal(LBFGS)

    def _vectors(self) -> int:
        return super()._vectors() + 2 * self.memory_size

    def direction(self, point: Point, memory: Memory) -> Array:
        """The two-loop recursion (algorithm 7.4)."""
        pairs = list(
            zip(memory.get("weight_changes", ()), memory.get("gradient_changes", ()), strict=True)
        )
        q = -point.gradient
        if not pairs:
            return q
        alphas = []
        for s, y in reversed(pairs):
            alphas.append((s @ q) / (s @ y))
            q -= alphas[-1] * y
        s, y = pairs[-1]
        q *= (s @ y) / (y @ y)  # equation 7.20
        for (s, y), alpha in zip(pairs, reversed(alphas), strict=True):
            q += (alpha - (y @ q) / (s @ y)) * s
        return q

    def first_step(self, line: Line, memory: Memory) -> float:
        return 1.0 if memory else self._short(line)

    def learn(self, memory: Memory, line: Line, step: float, new: Point) -> Memory:
        pair = _pair(line, new)
        if pair is None:
            return memory
        kept = 1 - self.memory_size or None  # the last ones but one
        changes = zip(("weight_changes", "gradient_changes"), pair, strict=True)
        if self.memory_size == 1:
            return {key: (change,) for key, change in changes}
        return {key: (*memory.get(key, ())[kept:], change) for key, change in changes}

    def set_state(self, state: Any) -> None:
        super().set_state(state)
        self._memory = {key: tuple(value) for key, value in self._memory.items()}
