"""Learning rates along a cosine, and those that go up first."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.checks import number
from convkit.errors import did_you_mean
from convkit.schedules.base import LearningRateSchedule, Steps, check_steps


def _half_cosine(done: Any) -> Any:
    """From 1 to 0 as `done` goes from 0 to 1."""
    return 0.5 * (1 + np.cos(np.pi * done))


class CosineDecay(LearningRateSchedule):
    """Half a cosine (Loshchilov and Hutter 2017, equation 5), after a linear warm-up if asked for.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Of the cosine, after the warm-up.
    alpha : float
        The last rate, as a share of the one that the cosine begins with.
    name : str
    warmup_target : float, optional
        Rate at the end of the warm-up, which begins at initial_learning_rate; without one there is
        no warm-up.
    warmup_steps : int
    """

    vectorised = True

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: int,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ) -> None:
        owner = type(self).__name__
        self.initial_learning_rate = number(owner, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = number(owner, "decay_steps", decay_steps, above=0)
        self.alpha = number(owner, "alpha", alpha)
        self.warmup_steps = check_steps(owner, "warmup_steps", warmup_steps, least=0)
        self.warmup_target = (
            None if warmup_target is None else number(owner, "warmup_target", warmup_target)
        )
        if warmup_target is None and warmup_steps:
            raise ValueError(
                f"{owner}: warmup_steps={warmup_steps} needs a warmup_target, the rate to reach"
            )
        self.name = name

    def __call__(self, step: Steps) -> Any:
        steps, first, warm = np.asarray(step, np.float64), self.initial_learning_rate, 0.0
        top = first
        if self.warmup_target is not None:
            top, warm = self.warmup_target, float(self.warmup_steps)
        done = np.clip((steps - warm) / self.decay_steps, 0, 1)
        rate = top * ((1 - self.alpha) * _half_cosine(done) + self.alpha)
        return np.where(steps < warm, first + (top - first) * steps / max(warm, 1.0), rate)


class CosineDecayRestarts(LearningRateSchedule):
    """Cosines one after the other (SGDR; Loshchilov and Hutter 2017).

    Parameters
    ----------
    initial_learning_rate : float
    first_decay_steps : int
        Length of the first one.
    t_mul : float
        Each is so many times as long as the one before; at least 1.
    m_mul : float
        Each begins with so many times the rate of the one before.
    alpha : float
        The last rate, as a share of the initial one.
    name : str
    """

    vectorised = True

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "CosineDecayRestarts",
    ) -> None:
        owner = type(self).__name__
        self.initial_learning_rate = number(owner, "initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = number(owner, "first_decay_steps", first_decay_steps, above=0)
        self.t_mul = number(owner, "t_mul", t_mul, least=1)
        self.m_mul = number(owner, "m_mul", m_mul)
        self.alpha = number(owner, "alpha", alpha)
        self.name = name

    def _begin(self, restart: Any) -> Any:
        """Where a cosine begins, in lengths of the first."""
        if self.t_mul == 1:
            return restart
        return (np.power(self.t_mul, restart) - 1) / (self.t_mul - 1)

    def __call__(self, step: Steps) -> Any:
        steps = np.asarray(step, np.float64) / self.first_decay_steps
        if self.t_mul == 1:
            restart = np.floor(steps)
        else:
            restart = np.floor(np.log1p(steps * (self.t_mul - 1)) / np.log(self.t_mul))
            # At a restart the logarithm may be rounded to either side.
            restart = restart + (steps >= self._begin(restart + 1))
            restart = restart - (steps < self._begin(restart))
        done = (steps - self._begin(restart)) / np.power(self.t_mul, restart)
        cosine = np.power(self.m_mul, restart) * _half_cosine(done)
        return self.initial_learning_rate * ((1 - self.alpha) * cosine + self.alpha)


ANNEALS = ("cos", "linear")


class OneCycle(LearningRateSchedule):
    """Up to the largest rate and down to next to nothing (Smith and Topin 2018).

    The first step has ``max_learning_rate / div_factor``, step ``pct_start * total_steps - 1`` the
    largest rate, and step ``total_steps - 1`` and all after it the first rate divided by
    final_div_factor. These are PyTorch's numbers; the momentum stays as it is.

    Parameters
    ----------
    max_learning_rate : float
    total_steps : int
    pct_start : float
        Share of the steps that go up.
    div_factor, final_div_factor : float
    anneal : "cos" or "linear"
    name : str
    """

    vectorised = True

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        pct_start: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        anneal: str = "cos",
        name: str = "OneCycle",
    ) -> None:
        owner = type(self).__name__
        self.max_learning_rate = number(owner, "max_learning_rate", max_learning_rate)
        self.total_steps = check_steps(owner, "total_steps", total_steps)
        self.pct_start = number(owner, "pct_start", pct_start, most=1)
        self.div_factor = number(owner, "div_factor", div_factor, above=0)
        self.final_div_factor = number(owner, "final_div_factor", final_div_factor, above=0)
        if anneal not in ANNEALS:
            raise ValueError(f"{owner}: anneal is {anneal!r}{did_you_mean(anneal, ANNEALS)}")
        self.anneal = anneal
        self.name = name

    def __call__(self, step: Steps) -> Any:
        steps, top = np.asarray(step, np.float64), self.max_learning_rate
        first = top / self.div_factor
        last = first / self.final_div_factor
        peak, end = self.pct_start * self.total_steps - 1, self.total_steps - 1.0
        up = np.clip(steps / peak, 0, 1) if peak > 0 else np.ones_like(steps)
        down = np.clip((steps - peak) / (end - peak), 0, 1) if end > peak else np.zeros_like(steps)
        if self.anneal == "cos":
            up, down = 1 - _half_cosine(up), 1 - _half_cosine(down)
        return np.where(steps <= peak, first + (top - first) * up, top + (last - top) * down)


class Warmup(LearningRateSchedule):
    """A line up to the first rate of another schedule, which begins after it.

    Parameters
    ----------
    schedule : float, LearningRateSchedule or callable
        Its step 0 is step warmup_steps.
    warmup_steps : int
    start : float
        Rate of the first step.
    name : str
    """

    def __init__(
        self, schedule: Any, warmup_steps: int, start: float = 0.0, name: str = "Warmup"
    ) -> None:
        owner = type(self).__name__
        self.schedule = schedule if callable(schedule) else number(owner, "schedule", schedule)
        self.warmup_steps = check_steps(owner, "warmup_steps", warmup_steps)
        self.start = number(owner, "start", start)
        self.name = name

    @property
    def vectorised(self) -> bool:  # type: ignore[override]
        return getattr(self.schedule, "vectorised", not callable(self.schedule))

    def __call__(self, step: Steps) -> Any:
        after = np.maximum(np.asarray(step) - self.warmup_steps, 0)
        rate = self.schedule
        if callable(rate):
            rate = rate(after if self.vectorised else int(after))
        done = np.minimum(np.asarray(step) / self.warmup_steps, 1.0)
        return np.where(done < 1, self.start + (rate - self.start) * done, rate)
