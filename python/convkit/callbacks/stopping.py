"""Callbacks that end training."""

from __future__ import annotations

import math
import warnings
from typing import Any

from convkit.callbacks.base import Callback, Logs
from convkit.errors import did_you_mean


class EarlyStopping(Callback):
    """Stops when a monitored value no longer improves.

    Parameters
    ----------
    monitor : str
        Key in the logs.
    min_delta : float
        Smaller changes are no improvement.
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
        if mode not in ("auto", "min", "max"):
            known = did_you_mean(mode, ("auto", "min", "max"))
            raise ValueError(f"EarlyStopping: unknown mode {mode!r}{known}")
        self.monitor = monitor
        self.min_delta = abs(min_delta)
        self.patience = patience
        self.verbose = verbose
        self.mode = mode
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        name = self.monitor.removeprefix("val_")
        metrics = {m.name: m for m in getattr(self.model, "metrics", ())}
        rises = name.endswith("acc") or getattr(metrics.get(name), "rises", "accuracy" in name)
        self.maximise = self.mode == "max" or (self.mode == "auto" and rises)
        self.best = -math.inf if self.maximise else math.inf
        self.best_weights: Any = None
        self.best_epoch = 0

    def _improved(self, value: float, reference: float) -> bool:
        if self.maximise:
            return value - self.min_delta > reference
        return value + self.min_delta < reference

    def on_train_begin(self, logs: Logs = None) -> None:
        self._reset()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        logs = logs or {}
        if self.monitor not in logs:
            warnings.warn(
                f"EarlyStopping: {self.monitor!r} is not in the logs"
                f"{did_you_mean(self.monitor, logs)}",
                stacklevel=2,
            )
            return
        if epoch < self.start_from_epoch:
            return
        value = logs[self.monitor]
        if self.restore_best_weights and self.best_weights is None:
            self.best_weights = self.model.get_weights()
            self.best_epoch = epoch
        self.wait += 1
        if self._improved(value, self.best):
            self.best = value
            self.best_epoch = epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self._improved(value, self.baseline):
                self.wait = 0
            return
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.stop(f"{self.monitor} has not improved on {self.best:g} for {self.wait} epochs")

    def on_train_end(self, logs: Logs = None) -> None:
        if self.verbose and self.stopped_epoch:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                print(f"Restoring model weights from the end of epoch {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)
