"""When to stop: a value no longer improves, or has reached its goal."""

from __future__ import annotations

from typing import Any

from convkit.callbacks.base import Callback, Logs
from convkit.callbacks.monitor import Monitor
from convkit.checks import number, whole

__all__ = ["EarlyStopping", "StopAt"]


class EarlyStopping(Callback):
    """Stops when a monitored value no longer improves.

    Parameters
    ----------
    monitor : str
        Key in the logs.
    min_delta : float
        Smaller changes are no improvement; the sign does not count.
    patience : int
        Epochs without improvement before training stops.
    verbose : int
    mode : {"auto", "min", "max"}
        "auto": "max" for accuracies, "min" for losses.
    baseline : float, optional
        Value to beat.
    restore_best_weights : bool
        Whether the model ends with the weights of the best epoch.
    start_from_epoch : int
        Epochs to wait before monitoring.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these, or if `monitor` is of the part of the data for testing.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0.0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ) -> None:
        super().__init__()
        self.monitor = monitor
        self.min_delta = number("EarlyStopping", "min_delta", abs(min_delta))
        self.patience = whole("EarlyStopping", "patience", patience)
        self.verbose = verbose
        self.mode = mode
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = whole("EarlyStopping", "start_from_epoch", start_from_epoch)
        self._watched = Monitor("EarlyStopping", monitor, mode, self.min_delta)
        self._reset()

    def _reset(self) -> None:
        self._watched.settle(self.model)
        self.wait = 0
        self.stopped_epoch = 0
        self.best = self._watched.worst
        self.best_weights: Any = None
        self.best_epoch = 0

    @property
    def maximise(self) -> bool:
        """Whether more is better."""
        return self._watched.maximise

    def get_state(self) -> dict[str, Any]:
        names = ("wait", "stopped_epoch", "best", "best_weights", "best_epoch")
        return {name: getattr(self, name) for name in names}

    def set_state(self, state: dict[str, Any]) -> None:
        for name in self.get_state():
            setattr(self, name, state[name])

    def on_train_begin(self, logs: Logs = None) -> None:
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        value = self._watched.value(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights = self.model.get_weights()
            self.best_epoch = epoch
        self.wait += 1
        if self._watched.improved(value, self.best):
            self.best = value
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self._watched.improved(value, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.stop(
                f"{self.monitor} has not improved on {self.best:.6g} for {self.wait} "
                f"epoch{'s' * (self.wait != 1)}"
            )

    def on_train_end(self, logs: Logs = None) -> None:
        if self.verbose and self.stopped_epoch:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                print(f"Restoring model weights from the end of epoch {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class StopAt(Callback):
    """Stops at a goal: after the first epoch in which a value is as good as asked for.

    Parameters
    ----------
    monitor : str
        Key in the logs, such as "loss" or "val_accuracy".
    value : float
        The goal: losses stop at or below it, accuracies (mode "max") at or above it.
    mode : {"auto", "min", "max"}
        "auto": "max" for accuracies, "min" for losses.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these, or if `monitor` is of the part of the data for testing.

    Examples
    --------
    >>> import convkit as ck
    >>> goal = ck.callbacks.StopAt("loss", 0.01)
    """

    def __init__(self, monitor: str, value: float, mode: str = "auto") -> None:
        super().__init__()
        self.monitor = monitor
        self.value = number("StopAt", "value", value, least=-float("inf"))
        self.mode = mode
        self._watched = Monitor("StopAt", monitor, mode)

    def on_train_begin(self, logs: Logs = None) -> None:
        self._watched.settle(self.model)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        value = self._watched.value(logs)
        if value is not None and not self._watched.improved(self.value, value):
            self.stop(f"{self.monitor} is {value:.6g}, and the goal was {self.value:.6g}")
