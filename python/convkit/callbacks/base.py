"""The base of the callbacks, and several as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from convkit.errors import did_you_mean
from convkit.saving.config import Configured

if TYPE_CHECKING:
    from convkit.models.trainer import Trainer


Logs = Mapping[str, float] | None


class Callback(Configured):
    """Base of the callbacks; every hook does nothing until overridden.

    Attributes
    ----------
    model : Model
        Call `stop`, or set ``model.stop_training = True``, to end training.
    params : dict
        "epochs", "steps" and "verbose" of the run.
    reports_only : bool
        Whether the callback only reports: then it sees the values of the testing part
        ("test_loss", ...) too, which nothing that has a part in training may see.
    """

    reports_only = False

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

    def stop(self, reason: str) -> None:
        """End training, and say why in ``History.stopped``."""
        self.model.stop_training = True
        self.model.stop_reason = f"{type(self).__name__}: {reason}"

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


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))


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
            if isinstance(callback, type) or not all(hasattr(callback, hook) for hook in HOOKS):
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

    def epoch_end(self, epoch: int, logs: dict[str, float], testing: dict[str, float]) -> None:
        """Call `on_epoch_end`; values of the testing part are for those that only report."""
        for callback in self.callbacks:
            seen = {**logs, **testing} if getattr(callback, "reports_only", False) else dict(logs)
            callback.on_epoch_end(epoch, seen)


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
            if name not in HOOKS:
                known = did_you_mean(name, HOOKS)
                raise TypeError(f"LambdaCallback got an unexpected argument {name!r}{known}")
            if function is not None:
                setattr(self, name, function)
