"""Learning rates that follow from the number of steps done."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit.saving.config import Configured

__all__ = ["ExponentialDecay", "Inv", "InverseTimeDecay", "LearningRateSchedule"]

Steps = Any  # int, or float64 array of step numbers


class LearningRateSchedule(Configured):
    """Base of the schedules: subclass it and define ``__call__(step) -> learning rate``.

    A subclass whose ``__call__`` also takes an array of steps says so with ``vectorised = True``;
    otherwise it is called once for each step.
    """

    vectorised = False

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
        """
        if self.vectorised:
            steps = np.arange(first, first + count, dtype=np.float64)
            return np.broadcast_to(np.asarray(self(steps), np.float64), (count,)).copy()
        return np.array([float(self(step)) for step in range(first, first + count)], np.float64)

    def _periods(self, step: Steps, decay_steps: float, staircase: bool) -> Any:
        periods = np.asarray(step, np.float64) / decay_steps
        return np.floor(periods) if staircase else periods


def _positive(owner: str, **values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise ValueError(f"{owner}: {name} is {value}, expected a positive number")


class ExponentialDecay(LearningRateSchedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    decay_rate : float
    staircase : bool
        Whether step / decay_steps is rounded down.
    name : str
    """

    vectorised = True

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ) -> None:
        _positive("ExponentialDecay", decay_steps=decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: Steps) -> Any:
        periods = self._periods(step, self.decay_steps, self.staircase)
        return self.initial_learning_rate * np.power(float(self.decay_rate), periods)


class InverseTimeDecay(LearningRateSchedule):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    decay_rate : float
    staircase : bool
        Whether step / decay_steps is rounded down.
    name : str
    """

    vectorised = True

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        decay_rate: float,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ) -> None:
        _positive("InverseTimeDecay", decay_steps=decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: Steps) -> Any:
        periods = self._periods(step, self.decay_steps, self.staircase)
        return self.initial_learning_rate / (1 + self.decay_rate * periods)


class Inv(LearningRateSchedule):
    """``learning_rate * (1 + gamma * step) ** -power``: Caffe's policy "inv".

    Caffe's LeNet uses learning_rate 0.01, gamma 0.0001 and power 0.75.

    Parameters
    ----------
    learning_rate, gamma, power : float
    """

    vectorised = True

    def __init__(
        self, learning_rate: float = 0.01, gamma: float = 0.0001, power: float = 0.75
    ) -> None:
        self.learning_rate = learning_rate
        self.gamma = gamma
        self.power = power

    def __call__(self, step: Steps) -> Any:
        steps = np.asarray(step, np.float64)
        return self.learning_rate * np.power(1 + self.gamma * steps, -float(self.power))
