"""When to stop: the time is used up, or the numbers are no longer finite."""

from __future__ import annotations

import time
from typing import Any

from convkit.callbacks.base import Callback, Logs
from convkit.checks import number
from convkit.errors import NonFiniteError

__all__ = ["TerminateOnNaN", "TimeLimit"]


class TimeLimit(Callback):
    """Stops when training has taken a given time.

    The time is looked at whenever training is back in Python between two steps, at least every
    100 ms, and after each epoch; so the last step begins no later than 0.1 s after the limit. An
    epoch that is cut short has no validation and is not in the History. Where a run is resumed
    (``fit(resume=...)``) the time of what it goes on from counts too; with a higher limit it goes
    on to the same bits as if there had been no limit.

    Parameters
    ----------
    seconds : float
        By the clock on the wall.

    Raises
    ------
    TypeError, ValueError
        If `seconds` is no number of at least 0.
    """

    lasting = False

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = number("TimeLimit", "seconds", seconds)
        self._before = 0.0  # seconds of earlier runs
        self._start: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds of training so far."""
        return self._before + (0.0 if self._start is None else time.monotonic() - self._start)

    def get_state(self) -> dict[str, Any]:
        return {"seconds": self.elapsed}

    def set_state(self, state: dict[str, Any]) -> None:
        self._before = state["seconds"]
        self._check()

    def _check(self) -> None:
        if self.elapsed >= self.seconds:
            self.stop(f"the time of {self.seconds:g} s is used up")

    def on_train_begin(self, logs: Logs = None) -> None:
        self._before, self._start = 0.0, time.monotonic()

    def between_steps(self) -> None:
        self._check()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self._check()

    def on_train_end(self, logs: Logs = None) -> None:
        self._before, self._start = self.elapsed, None


class TerminateOnNaN(Callback):
    """Ends training in order where the loss or a gradient becomes NaN or infinite.

    Without it ``fit`` raises `NonFiniteError` there. In either case the step is not taken: the
    weights are those from before it. The epoch that was cut short is not in the History.
    """

    def non_finite(self, error: NonFiniteError) -> bool:
        self.stop(str(error))
        return True
