"""Learning rates that change between epochs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convkit.callbacks.base import Callback, Logs
from convkit.callbacks.monitor import Monitor
from convkit.checks import as_number, number, whole

__all__ = ["LearningRateScheduler", "ReduceLROnPlateau"]


def _report(logs: Logs, rate: float) -> None:
    """Let the History and other callbacks have the rate, as in Keras."""
    if isinstance(logs, dict):
        logs["learning_rate"] = rate


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch.

    The rate is among the logs as "learning_rate".

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, learning_rate) -> learning rate``, or of the epoch alone.
    verbose : int

    Raises
    ------
    TypeError, ValueError
        If `schedule` is no function; in `fit`, if it returns no number, or one below 0.
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        if not callable(schedule):
            raise TypeError(
                "LearningRateScheduler: schedule must be a function of the epoch and the learning "
                f"rate, not {schedule!r}"
            )
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        optimizer = self.model.optimizer
        try:
            rate = self.schedule(epoch, float(optimizer.rates(optimizer.iterations, 1)[0]))
        except TypeError:  # a schedule of the epoch alone
            rate = self.schedule(epoch)
        rate = as_number("LearningRateScheduler", f"the learning rate of epoch {epoch}", rate)
        optimizer.learning_rate = rate
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {rate:g}")

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        _report(logs, float(self.model.optimizer.learning_rate))


class ReduceLROnPlateau(Callback):
    """Lowers the learning rate when a monitored value no longer improves.

    The rate is among the logs as "learning_rate".

    Parameters
    ----------
    monitor : str
        Key in the logs.
    factor : float
        The new rate is the old one times this, below 1.
    patience : int
        Epochs without improvement before the rate is lowered.
    verbose : int
    mode : {"auto", "min", "max"}
        "auto": "max" for accuracies, "min" for losses.
    min_delta : float
        Smaller changes are no improvement.
    cooldown : int
        Epochs after a reduction that do not count.
    min_lr : float
        The rate is not lowered below this one.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these; in `fit`, if the optimizer's learning rate is a schedule.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__()
        owner = "ReduceLROnPlateau"
        self.monitor = monitor
        self.factor = number(owner, "factor", factor)
        if self.factor >= 1:
            raise ValueError(f"{owner}: factor is {factor}, expected a number below 1")
        self.patience = whole(owner, "patience", patience)
        self.verbose = verbose
        self.mode = mode
        self.min_delta = number(owner, "min_delta", min_delta)
        self.cooldown = whole(owner, "cooldown", cooldown)
        self.min_lr = number(owner, "min_lr", min_lr)
        self._watched = Monitor(owner, monitor, mode, self.min_delta)
        self._reset()

    def _reset(self) -> None:
        self._watched.settle(self.model)
        self.best = self._watched.worst
        self.wait = 0
        self.cooldown_counter = 0

    def get_state(self) -> dict[str, Any]:
        return {n: getattr(self, n) for n in ("best", "wait", "cooldown_counter")}

    def set_state(self, state: dict[str, Any]) -> None:
        for name in self.get_state():
            setattr(self, name, state[name])

    def on_train_begin(self, logs: Logs = None) -> None:
        rate = self.model.optimizer.learning_rate
        if callable(rate):
            raise TypeError(
                f"ReduceLROnPlateau: the optimizer's learning rate follows {rate!r}; give the "
                "optimizer a number, or leave ReduceLROnPlateau out"
            )
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        optimizer = self.model.optimizer
        rate = float(optimizer.learning_rate)
        value = self._watched.value(logs)
        _report(logs, rate)
        if value is None:
            return
        if self.cooldown_counter:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._watched.improved(value, self.best):
            self.best = value
            self.wait = 0
        elif not self.cooldown_counter:
            self.wait += 1
            if self.wait >= self.patience and rate > self.min_lr:
                optimizer.learning_rate = max(rate * self.factor, self.min_lr)
                self.cooldown_counter = self.cooldown
                self.wait = 0
                if self.verbose:
                    print(f"Epoch {epoch + 1}: learning rate {optimizer.learning_rate:g}")
