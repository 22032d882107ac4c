"""The base of the optimizers that take all the data for each step.

One epoch is one iteration: a direction from the gradient of the whole data set, and a step along
it that does not raise the loss. The algorithms know nothing of networks: they work on a vector of
weights and a function that returns loss and gradient, and `optimizers.minimize` runs them on any
such function. `convkit.models.full_batch` makes that function of a model and its data.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from convkit.checks import number
from convkit.errors import did_you_mean
from convkit.optimizers.base import Optimizer
from convkit.optimizers.line import Array, Evaluations, Line, Point
from convkit.optimizers.line_search import LineSearch, get

__all__ = ["Descent", "FullBatch", "Iteration", "check_matrix"]

Memory = Mapping[str, Any]  # numbers, arrays, and tuples of arrays of one shape
STUCK = "no step along the direction lowers the loss"
_DECAY = "use regularizers, such as kernel_regularizer=, which belong to the loss"
_CLIP = "a step finds its own length"
_REFUSED = {
    "weight_decay": _DECAY,
    "exclude_from_weight_decay": _DECAY,
    "decay": _CLIP,
    "clipnorm": _CLIP,
    "clipvalue": _CLIP,
    "global_clipnorm": _CLIP,
    "maximize": "minimise a loss of the other sign",
}


def check_matrix(owner: str, what: str, size: int, max_bytes: int) -> None:
    """Refuse a method whose matrix of n x n float64 numbers, for n weights, would be too large.

    Raises
    ------
    ValueError
    """
    needed = 8 * size * size
    if needed > max_bytes:
        raise ValueError(
            f"{owner}: the {what} of {size} weights takes {needed:,} bytes, more than "
            f'max_bytes={max_bytes:,}; use "lbfgs", or raise max_bytes'
        )


class Iteration(NamedTuple):
    """What one iteration came to.

    Attributes
    ----------
    point : Point
        Where it ended; the loss is not above that of the point where it began.
    memory : mapping
        For the next iteration.
    logs : dict of str to float
        "step_size" and the like.
    reason : str
        Why another iteration would not help; empty where it might.
    """

    point: Point
    memory: Memory
    logs: dict[str, float]
    reason: str = ""


class FullBatch(Optimizer):
    """Base of the optimizers that take all the data for each step.

    An iteration is a pure function: from a point and a memory it makes others. What the object
    holds changes once the iteration is done, so that an interrupted one leaves no trace.

    Attributes
    ----------
    learning_rate : float
        Length of the first move that is tried, where nothing better is known.
    tolerance : float
        Training ends where the 2-norm of the gradient is not above it.
    dtype : str
        "float64", in which a loss is exact enough to be compared with its neighbours, or
        "float32".
    """

    memory_keys: tuple[str, ...] = ()

    def __init__(
        self,
        learning_rate: float,
        tolerance: float,
        dtype: str,
        name: str,
        options: dict[str, Any],
    ) -> None:
        owner = type(self).__name__
        for key, way in _REFUSED.items():
            if options.get(key):
                raise TypeError(f"{owner}: {key} is not supported: {way}")
        options = {k: v for k, v in options.items() if k not in _REFUSED}
        super().__init__(learning_rate, None, True, name, options)
        if dtype not in ("float32", "float64"):
            known = did_you_mean(str(dtype), ("float32", "float64"))
            raise ValueError(f"{owner}: unknown dtype {dtype!r}{known}")
        self.tolerance = number(owner, "tolerance", tolerance)
        self.dtype = dtype
        self._memory: Memory = {}
        self._weights: Array | None = None
        self._restored: int | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse what a line search has no use for."""
        owner = type(self).__name__
        if name in _REFUSED and value:
            raise TypeError(f"{owner}: {name} is not supported: {_REFUSED[name]}")
        if name == "learning_rate" and (callable(value) or not value):
            raise TypeError(
                f"{owner}: learning_rate is the length of the first move that is tried, a number "
                f"above 0, not {value!r}: the steps find their own length"
            )
        super().__setattr__(name, value)

    def iterate(self, evaluations: Evaluations, point: Point, memory: Memory) -> Iteration:
        """One step of the algorithm."""
        raise NotImplementedError(f"{type(self).__name__} does not define iterate()")

    def check_size(self, size: int) -> None:
        """Refuse problems of more weights than there is memory for."""

    def held(self, size: int) -> int:
        """Bytes that an iteration holds at most, for so many weights.

        Beside the model and what the loss takes: the points where it begins and where it tries,
        each with its gradient, the direction, and what is remembered; in float64, whatever `dtype`
        is.
        """
        return 8 * size * self._vectors()

    def _vectors(self) -> int:
        return 5  # two points and the direction between them

    def converged(self, point: Point) -> str:
        """Why no further iteration is needed at a point, or an empty string."""
        if point.norm <= self.tolerance:
            return f"gradient norm {point.norm:.3g} is not above {self.tolerance:g}"
        return ""

    # What belongs to a model in training.

    @property
    def weights(self) -> Array | None:
        """All trainable weights, as exact as they are computed, after the last iteration."""
        return self._weights

    @property
    def memory(self) -> Memory:
        """What the algorithm knows of the iterations before."""
        return self._memory

    def keep(self, weights: Array, memory: Memory) -> None:
        """Take over what an iteration came to; arrays are kept, not copied."""
        self._weights, self._memory = weights, memory

    def forget(self) -> None:
        """Begin anew: the weights are others than those of the last iteration."""
        self._weights, self._memory = None, {}

    def resume(self) -> None:
        """Go on counting where a state that was set left off."""
        if self._restored is not None:
            self.iterations, self._restored = self._restored, None

    def get_state(self) -> dict[str, Any]:
        """Everything that the next iteration depends on, beside the data.

        Returns
        -------
        dict of str to int, float or ndarray
            "iterations", "weights" (absent before the first iteration), and the memory.
        """
        state: dict[str, Any] = {"iterations": self.iterations}
        if self._weights is not None:
            state["weights"] = self._weights.copy()
        for key, value in self._memory.items():
            if isinstance(value, tuple):
                value = np.stack(value)
            state[key] = value.copy() if isinstance(value, np.ndarray) else value
        return state

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `get_state` of an optimizer of the same class returned.

        The weights count where they are, but for rounding, those of the model; otherwise the next
        iteration begins anew from the model's.

        Raises
        ------
        ValueError
            If it is the state of another optimizer.
        """
        known = ("iterations", "weights", *self.memory_keys)
        for key in state:
            if key not in known:
                raise ValueError(
                    f"{type(self).__name__}: {key!r} does not belong to its state"
                    f"{did_you_mean(key, known)}"
                )
        self.iterations = self._restored = int(state["iterations"])
        weights = state.get("weights")
        self._weights = None if weights is None else np.array(weights, self.dtype)
        self._memory = {
            key: np.array(value) if isinstance(value, np.ndarray) else value
            for key, value in state.items()
            if key in self.memory_keys
        }

    def emit(self, *operands: Any) -> None:
        """Nothing: the weights change between the passes over the data, not in a program."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.dtype}>"


class Descent(FullBatch):
    """Base of the methods that go along a direction as far as a line search says.

    A subclass defines `direction` and, if it remembers anything, `learn`. Where no step along the
    direction lowers the loss, what was remembered is dropped and the negative gradient tried.

    Attributes
    ----------
    line_search : LineSearch
    """

    def __init__(
        self,
        line_search: str | LineSearch,
        learning_rate: float,
        tolerance: float,
        dtype: str,
        name: str,
        options: dict[str, Any],
    ) -> None:
        super().__init__(learning_rate, tolerance, dtype, name, options)
        self.line_search = get(line_search)

    def direction(self, point: Point, memory: Memory) -> Array:
        """Where to go from a point; with an empty memory along the negative gradient."""
        raise NotImplementedError(f"{type(self).__name__} does not define direction()")

    def _vectors(self) -> int:
        return super()._vectors() + 4 * self.line_search.slopes  # the lowest point and the last

    def first_step(self, line: Line, memory: Memory) -> float:
        """The step to try first; with an empty memory no move longer than `learning_rate`."""
        return self._short(line)

    def _short(self, line: Line) -> float:
        rate = float(self.rates(self.iterations, 1)[0])
        return rate / max(1.0, float(np.linalg.norm(line.direction)))

    def learn(self, memory: Memory, line: Line, step: float, new: Point) -> Memory:
        """The memory after a step."""
        return memory

    def iterate(self, evaluations: Evaluations, point: Point, memory: Memory) -> Iteration:
        before = evaluations.count
        reason = self.converged(point)
        tries: list[Memory] = [memory, {}] if memory else [{}]
        for kept in tries if not reason else ():
            line = Line(evaluations, point, self.direction(point, kept))
            if not -np.inf < line.slope0 < 0:
                continue
            step = self.line_search(line, self.first_step(line, kept))
            if not step > 0:
                continue
            new = line.point(step)
            # Where losses are equal to the last bit, the gradient still tells better from worse.
            if new.loss < point.loss or (new.loss == point.loss and new.norm < point.norm):
                logs = _logs(new, step, evaluations.count - before)
                return Iteration(new, self.learn(kept, line, step, new), logs, self.converged(new))
        logs = _logs(point, 0.0, evaluations.count - before)
        return Iteration(point, {}, logs, reason or STUCK)


def _logs(point: Point, step: float, evaluations: int) -> dict[str, float]:
    return {
        "step_size": float(step),
        "evaluations": float(evaluations),
        "gradient_norm": point.norm,
    }
