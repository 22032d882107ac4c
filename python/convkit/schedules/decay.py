"""Learning rates that go down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convkit.checks import number
from convkit.schedules.base import LearningRateSchedule, Steps, check_steps


def _periods(step: Steps, decay_steps: float, staircase: bool) -> Any:
    periods = np.asarray(step, np.float64) / decay_steps
    return np.floor(periods) if staircase else periods


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
        owner = type(self).__name__
        self.initial_learning_rate = number(owner, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = number(owner, "decay_steps", decay_steps, above=0)
        self.decay_rate = number(owner, "decay_rate", decay_rate)
        self.staircase = bool(staircase)
        self.name = name

    def __call__(self, step: Steps) -> Any:
        periods = _periods(step, self.decay_steps, self.staircase)
        return self.initial_learning_rate * np.power(self.decay_rate, periods)


class StepDecay(LearningRateSchedule):
    """``initial_learning_rate * drop ** (step // step_size)``: Caffe's policy "step".

    Parameters
    ----------
    initial_learning_rate : float
    step_size : int
        Steps from one drop to the next.
    drop : float
        Factor of each drop.
    name : str
    """

    vectorised = True

    def __init__(
        self,
        initial_learning_rate: float,
        step_size: int,
        drop: float = 0.5,
        name: str = "StepDecay",
    ) -> None:
        owner = type(self).__name__
        self.initial_learning_rate = number(owner, "initial_learning_rate", initial_learning_rate)
        self.step_size = check_steps(owner, "step_size", step_size)
        self.drop = number(owner, "drop", drop)
        self.name = name

    def __call__(self, step: Steps) -> Any:
        return self.initial_learning_rate * np.power(
            self.drop, _periods(step, self.step_size, True)
        )


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
        owner = type(self).__name__
        self.initial_learning_rate = number(owner, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = number(owner, "decay_steps", decay_steps, above=0)
        self.decay_rate = number(owner, "decay_rate", decay_rate)
        self.staircase = bool(staircase)
        self.name = name

    def __call__(self, step: Steps) -> Any:
        periods = _periods(step, self.decay_steps, self.staircase)
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
        self.learning_rate = number("Inv", "learning_rate", learning_rate)
        self.gamma = number("Inv", "gamma", gamma)
        self.power = number("Inv", "power", power)

    def __call__(self, step: Steps) -> Any:
        steps = np.asarray(step, np.float64)
        return self.learning_rate * np.power(1 + self.gamma * steps, -self.power)


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[0]`` up to and including step ``boundaries[0]``, then ``values[1]``, ...

    Parameters
    ----------
    boundaries : sequence of int
        Ascending.
    values : sequence of float
        One more than there are boundaries.
    name : str
    """

    vectorised = True

    def __init__(
        self,
        boundaries: Sequence[float],
        values: Sequence[float],
        name: str = "PiecewiseConstantDecay",
    ) -> None:
        owner = type(self).__name__
        self.boundaries = [check_steps(owner, "boundaries", b, least=0) for b in boundaries]
        self.values = [number(owner, "values", value) for value in values]
        self.name = name
        if any(a >= b for a, b in zip(self.boundaries, self.boundaries[1:])):
            raise ValueError(f"{owner}: boundaries are {self.boundaries}, expected ascending steps")
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"{owner}: {len(self.boundaries)} boundaries need {len(self.boundaries) + 1} "
                f"values, got {len(self.values)}"
            )

    def __call__(self, step: Steps) -> Any:
        return np.asarray(self.values)[np.searchsorted(self.boundaries, step, side="left")]


class PolynomialDecay(LearningRateSchedule):
    """From the initial rate to the end rate in decay_steps steps, as a power of what is left.

    ``(initial - end) * (1 - step / decay_steps) ** power + end``, at the end rate from there on.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    end_learning_rate : float
    power : float
    cycle : bool
        Beyond decay_steps, go on with twice as many, then three times as many, ...
    name : str
    """

    vectorised = True

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ) -> None:
        owner = type(self).__name__
        self.initial_learning_rate = number(owner, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = number(owner, "decay_steps", decay_steps, above=0)
        self.end_learning_rate = number(owner, "end_learning_rate", end_learning_rate)
        self.power = number(owner, "power", power)
        self.cycle = bool(cycle)
        self.name = name

    def __call__(self, step: Steps) -> Any:
        steps = np.asarray(step, np.float64) / self.decay_steps
        rounds = np.maximum(np.ceil(steps), 1.0) if self.cycle else 1.0
        left = 1 - np.minimum(steps / rounds, 1.0)
        span = self.initial_learning_rate - self.end_learning_rate
        return span * np.power(left, self.power) + self.end_learning_rate
