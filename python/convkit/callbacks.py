"""Callbacks: Keras's hooks into training."""

from __future__ import annotations

import csv
import io
import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from convkit.errors import did_you_mean

if TYPE_CHECKING:
    from convkit.models.trainer import Trainer

__all__ = [
    "CSVLogger",
    "Callback",
    "CallbackList",
    "EarlyStopping",
    "History",
    "LambdaCallback",
    "LearningRateScheduler",
]

Logs = Mapping[str, float] | None


class Callback:
    """Base of the callbacks; every hook does nothing until overridden.

    Attributes
    ----------
    model : Model
        Set ``model.stop_training = True`` to end training.
    params : dict
        "epochs", "steps" and "verbose" of the run.
    """

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self._model: Any = None

    @property
    def model(self) -> Any:
        return getattr(self, "_model", None)

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params

    def set_model(self, model: Trainer) -> None:
        self._model = model

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Before an epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """After an epoch and its validation; logs hold its loss and metrics."""

    def on_train_begin(self, logs: Logs = None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs: Logs = None) -> None:
        """After the last epoch; also when the user interrupts."""

    def on_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Alias of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Logs = None) -> None:
        """Alias of `on_train_batch_end`."""

    def on_train_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before a training step."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After a training step; logs hold the epoch's means so far."""
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs: Logs = None) -> None:
        """Before an evaluation."""

    def on_test_end(self, logs: Logs = None) -> None:
        """After an evaluation."""

    def on_test_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After a batch of an evaluation."""

    def on_predict_begin(self, logs: Logs = None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs: Logs = None) -> None:
        """After a prediction."""

    def on_predict_batch_begin(self, batch: int, logs: Logs = None) -> None:
        """Before a batch of a prediction."""

    def on_predict_batch_end(self, batch: int, logs: Logs = None) -> None:
        """After a batch of a prediction."""


_TRAIN_BATCH = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")
_TEST_BATCH = ("on_test_batch_begin", "on_test_batch_end")
_PREDICT_BATCH = ("on_predict_batch_begin", "on_predict_batch_end")
_HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))


def _overrides(callback: object, hooks: Iterable[str]) -> bool:
    """Whether a callback does anything in one of these hooks."""
    return any(
        getattr(getattr(callback, hook), "__func__", None) is not getattr(Callback, hook)
        for hook in hooks
    )


class CallbackList:
    """Several callbacks as one, in order; used by ``fit`` and its like.

    Parameters
    ----------
    callbacks : Callback, sequence of Callback or None
    model : Model
    params : dict

    Attributes
    ----------
    per_train_batch, per_test_batch, per_predict_batch : bool
        Whether a hook of a single batch is overridden: only then does training return to Python
        after each step.
    """

    def __init__(self, callbacks: Any, model: Trainer, params: dict[str, Any]) -> None:
        if callbacks is None:
            callbacks = []
        if not isinstance(callbacks, list | tuple):
            callbacks = [callbacks]
        for callback in callbacks:
            if isinstance(callback, type) or not all(hasattr(callback, hook) for hook in _HOOKS):
                raise TypeError(
                    f"{callback!r} is not a callback; pass an object of a subclass of "
                    "ck.callbacks.Callback"
                )
        self.callbacks: list[Any] = list(callbacks)
        for callback in self.callbacks:
            callback.set_params(params)
            callback.set_model(model)
        self.per_train_batch = any(_overrides(c, _TRAIN_BATCH) for c in self.callbacks)
        self.per_test_batch = any(_overrides(c, _TEST_BATCH) for c in self.callbacks)
        self.per_predict_batch = any(_overrides(c, _PREDICT_BATCH) for c in self.callbacks)

    def call(self, hook: str, *arguments: Any) -> None:
        """Call a hook of all callbacks."""
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)


class History(Callback):
    """What ``fit`` returns.

    Attributes
    ----------
    history : dict of str to list of float
        "loss", the metrics, and the same with "val_" in front, one value per epoch.
    epoch : list of int
    params : dict
    """

    def __init__(self) -> None:
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []

    def on_train_begin(self, logs: Logs = None) -> None:
        self.epoch = []

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        self.epoch.append(epoch)
        for key, value in (logs or {}).items():
            self.history.setdefault(key, []).append(value)


class CSVLogger(Callback):
    """Writes one line per epoch to a file.

    Parameters
    ----------
    filename : str or path
    separator : str
    append : bool
        Whether to go on in an existing file.
    """

    def __init__(
        self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False
    ) -> None:
        super().__init__()
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self._file: io.TextIOWrapper | None = None
        self._keys: list[str] | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        self._keys = None
        if self.append and os.path.exists(self.filename):
            with open(self.filename, newline="") as file:
                header = next(csv.reader(file, delimiter=self.separator), None)
            self._keys = header[1:] if header else None
        self._file = open(self.filename, "a" if self.append else "w", newline="")  # noqa: SIM115

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        assert self._file is not None
        logs = logs or {}
        writer = csv.writer(self._file, delimiter=self.separator, lineterminator="\n")
        if self._keys is None:
            self._keys = sorted(logs)
            writer.writerow(["epoch", *self._keys])
        writer.writerow([epoch, *(logs.get(key, "NA") for key in self._keys)])
        self._file.flush()

    def on_train_end(self, logs: Logs = None) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


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
            self.model.stop_training = True

    def on_train_end(self, logs: Logs = None) -> None:
        if self.verbose and self.stopped_epoch:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                print(f"Restoring model weights from the end of epoch {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)


class LambdaCallback(Callback):
    """A callback from functions: ``LambdaCallback(on_epoch_end=lambda epoch, logs: ...)``.

    Parameters
    ----------
    **hooks : callable
        By hook name.
    """

    def __init__(self, **hooks: Callable[..., Any] | None) -> None:
        super().__init__()
        for name, function in hooks.items():
            if name not in _HOOKS:
                known = did_you_mean(name, _HOOKS)
                raise TypeError(f"LambdaCallback got an unexpected argument {name!r}{known}")
            if function is not None:
                setattr(self, name, function)


class LearningRateScheduler(Callback):
    """Sets the learning rate before each epoch.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, learning_rate) -> learning rate``, or of the epoch alone.
    verbose : int
    """

    def __init__(self, schedule: Callable[..., float], verbose: int = 0) -> None:
        super().__init__()
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        optimizer = self.model.optimizer
        try:
            rate = self.schedule(epoch, float(optimizer.rates(optimizer.iterations, 1)[0]))
        except TypeError:  # a schedule of the epoch alone
            rate = self.schedule(epoch)
        optimizer.learning_rate = float(rate)
        if self.verbose:
            print(f"Epoch {epoch + 1}: learning rate {float(rate):g}")
