"""The base of the callbacks, and several as one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from convkit.errors import NonFiniteError, did_you_mean
from convkit.saving.config import Configured

if TYPE_CHECKING:
    from convkit.models.trainer import Trainer

__all__ = ["HOOKS", "Callback", "CallbackList", "LambdaCallback", "Logs"]

Logs = Mapping[str, float] | None


class Callback(Configured):
    """Base of the callbacks; every hook does nothing until overridden.

    What a callback carries from hook to hook and needs to go on with a resumed run goes through
    `get_state` and `set_state`.

    Attributes
    ----------
    model : Model
        `stop`, or ``model.stop_training = True``, ends training.
    params : dict
        "epochs", "steps" and "verbose" of the run; where data are held back, "parts" too: how the
        logs of these begin, "val_" and "test_".
    reports_only : bool
        Whether the callback only reports: then it sees the values of the testing part
        ("test_loss", ...) too, which nothing that has a part in training may see.
    batch_interval : int or None
        The hooks of training batches are called after every so many steps, counted on from epoch
        to epoch; None: never. Only with 1, and if they are overridden, does training come back to
        Python after each step. With more, `on_train_batch_end` alone is called.
    needs_gradients : bool
        Whether the callback reads gradients, ``model.store.gradient(layer.kernel)``: `fit` keeps
        them all then, as ``compile(keep_grads=True)`` does.
    lasting : bool
        Whether a resumed run stays stopped where this callback has stopped it. If not, an epoch
        that it cuts short is left as it is, for a resumed run to go on with: it is not over, and
        no file is written.
    """

    reports_only = False
    batch_interval: int | None = 1
    needs_gradients: bool = False
    lasting = True

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
        """End training after this step or epoch, and say why in ``History.stopped``.

        Of several reasons the first one is given; one that lasts counts more than one that does
        not.
        """
        model, before = self.model, getattr(self.model, "stopped_by", None)
        lasts = self.lasting and before is not None and not before.lasting
        if not model.stop_training or not model.stop_reason or lasts:
            model.stop_reason = f"{type(self).__name__}: {reason}"
            model.stopped_by = self
        model.stop_training = True

    def get_state(self) -> dict[str, Any]:
        """What a resumed run needs: numbers, strings, arrays, and lists and dicts of them."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what `get_state` returned, after `on_train_begin` of a resumed run."""

    def checkpoint(self, save: Callable[[Any], Any]) -> None:
        """Save, if it is time to.

        Called after the hooks of all callbacks at the end of an epoch and of the steps in which a
        batch hook was due: the state of the run is whole then.

        Parameters
        ----------
        save : callable
            ``save(path)`` writes a file for ``fit(resume=path)``.
        """

    def between_steps(self) -> None:
        """Look around, and perhaps `stop`.

        Called whenever training is back in Python between two steps: at least every 100 ms, if a
        step is no longer than that.
        """

    def non_finite(self, error: NonFiniteError) -> bool:
        """Whether training ends in order, without the error, as the loss became NaN or infinite."""
        return False

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Before an epoch; not called again where a run is resumed in the middle of one."""

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
    needs_gradients : bool
        Whether one of them reads gradients.
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
        self._batch: list[tuple[Any, int]] = []  # those with hooks of batches, and every how many
        for callback in self.callbacks:
            every = getattr(callback, "batch_interval", 1)
            if every is not None and _overrides(callback, _TRAIN_BATCH):
                self._batch.append((callback, every))
        self.per_train_batch = any(every == 1 for _, every in self._batch)
        self.needs_gradients = any(getattr(c, "needs_gradients", False) for c in self.callbacks)
        self.per_test_batch = any(_overrides(c, _TEST_BATCH) for c in self.callbacks)
        self.per_predict_batch = any(_overrides(c, _PREDICT_BATCH) for c in self.callbacks)

    def call(self, hook: str, *arguments: Any) -> None:
        """Call a hook of all callbacks."""
        for callback in self.callbacks:
            getattr(callback, hook)(*arguments)

    def epoch_end(self, epoch: int, logs: dict[str, float], testing: dict[str, float]) -> None:
        """Call `on_epoch_end`; values of the testing part are for those that only report.

        What one of the others adds to the logs, such as the learning rate, those after it see.
        """
        for callback in self.callbacks:
            reports = getattr(callback, "reports_only", False)
            callback.on_epoch_end(epoch, {**logs, **testing} if reports else logs)

    def _own(self) -> list[Callback]:
        """The callbacks that have more than Keras's hooks."""
        return [callback for callback in self.callbacks if isinstance(callback, Callback)]

    def between_steps(self) -> None:
        """Let the callbacks look around."""
        for callback in self._own():
            callback.between_steps()

    def non_finite(self, error: NonFiniteError) -> bool:
        """Whether a callback takes over where the loss became NaN or infinite."""
        return any([callback.non_finite(error) for callback in self._own()])

    def steps_left(self, steps: int) -> int | None:
        """Training steps from this count on until a hook of batches is due; None: never."""
        return min((every - steps % every for _, every in self._batch), default=None)

    def begin_batch(self, batch: int) -> None:
        """Call the hooks before a single training step."""
        for callback, every in self._batch:
            if every == 1:
                callback.on_train_batch_begin(batch, None)

    def end_batch(self, steps: int, batch: int, logs: Callable[[], dict[str, float]]) -> bool:
        """Call the hooks that are due after so many training steps; whether there are any."""
        due = [callback for callback, every in self._batch if steps % every == 0]
        values = logs() if due else {}
        for callback in due:
            callback.on_train_batch_end(batch, values)
        return bool(due)

    def checkpoint(self, save: Callable[[Any], Any]) -> None:
        """Let the callbacks save the state of the run."""
        for callback in self._own():
            callback.checkpoint(save)


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
