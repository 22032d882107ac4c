"""The base of the schedules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit.checks import as_number, number
from convkit.saving.config import Configured

Steps = Any  # int, or float64 array of step numbers


class LearningRateSchedule(Configured):
    """Base of the schedules: subclass it and define ``__call__(step) -> learning rate``.

    A subclass whose ``__call__`` also takes an array of steps says so with ``vectorised = True``;
    otherwise it is called once for each step.
    """

    vectorised = False

    def __repr__(self) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in vars(self).items() if k[0] != "_")
        return f"{type(self).__name__}({options})"

    def __call__(self, step: Steps) -> Any:
        """Learning rate of a step, counted from 0."""
        raise NotImplementedError(f"{type(self).__name__} does not define __call__(step)")

    def rates(self, first: int, count: int) -> NDArray[np.float64]:
        """Learning rates of `count` steps from `first` on.

        Parameters
        ----------
        first, count : int

        Returns
        -------
        ndarray of float64, shape (count,)
            Shorter if a step after the first raises an error: it comes up when its turn has come.
        """
        if self.vectorised:
            steps = np.arange(first, first + count, dtype=np.float64)
            with np.errstate(all="ignore"):
                return np.broadcast_to(np.asarray(self(steps), np.float64), (count,)).copy()
        rates: list[float] = []
        for step in range(first, first + count):
            try:
                rates.append(_rate(self, step))
            except Exception:
                if not rates:
                    raise
                break
        return np.array(rates, np.float64)


class FromFunction(LearningRateSchedule):
    """A function of the step's number, as a schedule.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[[int], Any]) -> None:
        self.function = function

    def __call__(self, step: Steps) -> Any:
        return self.function(step)


def _rate(schedule: LearningRateSchedule, step: int) -> float:
    """What a schedule says of one step, as a float."""
    rate = schedule(step)
    source = schedule.function if isinstance(schedule, FromFunction) else type(schedule)
    owner = getattr(source, "__name__", type(source).__name__)
    return as_number(owner, f"the learning rate of step {step}", rate)


def check_steps(owner: str, name: str, value: Any, *, least: int = 1) -> float | int:
    """Return a number of steps: an int where it is a whole number."""
    found = number(owner, name, value, least=least)
    return int(found) if found.is_integer() else found
