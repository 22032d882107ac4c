"""Epochs: training and evaluation over feeds, with callbacks and progress."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit.callbacks import CallbackList, History
from convkit.errors import NonFiniteError
from convkit.models import resume
from convkit.models.arguments import validates
from convkit.models.compiled import Compiled, Totals
from convkit.models.diagnose import diagnose
from convkit.models.feeds import Feed, Segment
from convkit.models.full_batch import FullBatchTraining
from convkit.models.loop import Loop
from convkit.models.parts import carried_states_kept
from convkit.models.progress import Progress
from convkit.ops.registry import Step
from convkit.optimizers import FullBatch
from convkit.run.executor import Executor

__all__ = ["Fit", "Part", "evaluate_feed"]


@dataclass
class Part:
    """What has been done of an epoch.

    Attributes
    ----------
    path : tuple of int
        Names the epoch for the shuffle.
    feed : dict
        State of the feed when the epoch began.
    totals : Totals
    done : int
        Steps.
    logs : dict of str to float, optional
        Of an optimizer that takes all the data for its step, in place of the totals.
    """

    path: tuple[int, ...]
    feed: dict[str, Any]
    totals: Totals
    done: int = 0
    logs: dict[str, float] | None = None


class Fit:
    """A run of ``fit``: epochs over a feed, which can be saved between any two steps.

    Parameters
    ----------
    loop : Loop
    feed : Feed
    compiled : Compiled
    validation : Feed or None
    frequency : int or list of int
        Of validation.
    epochs : range
        Those to run.
    callbacks : Callback or list of Callback or None
    verbose : "auto", 0, 1 or 2
    testing : Feed, optional
        The testing part: evaluated when validation is, and seen by nothing but reports.
    parts : mapping of str to ndarray, optional
        Which samples are in which part, for the History.

    Attributes
    ----------
    epoch : int
        That is under way or comes next, counted from 0.
    part : Part or None
        What has been done of it; None before it has begun.
    steps : int
        Done in all epochs.
    trained : list of bool
        Which of the model's weights were trainable when it began.
    """

    def __init__(
        self,
        loop: Loop,
        feed: Feed,
        compiled: Compiled,
        validation: Feed | None,
        frequency: Any,
        epochs: range,
        callbacks: Any,
        verbose: Any,
        testing: Feed | None = None,
        parts: Mapping[str, NDArray[np.int64]] | None = None,
    ) -> None:
        self.loop = loop
        self.model = loop.model
        self.feed = feed
        self.compiled = compiled
        self.validation = validation
        self.testing = testing
        self.frequency = frequency
        self.epoch, self.last = epochs.start, epochs.stop
        self.trained = [p.trainable for p in self.model.parameters]
        self.part: Part | None = None
        self.steps = 0
        self.progress = Progress(verbose)
        self.history = self.model.history = History()
        self.history.parts = dict(parts or {})
        listed = [] if callbacks is None else callbacks
        listed = list(listed) if isinstance(listed, list | tuple) else [listed]
        self.full: FullBatchTraining | None = None
        if isinstance(compiled.optimizer, FullBatch):
            self.full = FullBatchTraining(loop, feed, compiled, len(epochs))
        params = {"verbose": verbose, "epochs": self.last, "steps": self.steps_of_epoch}
        if held_back := [p for p, f in (("val_", validation), ("test_", testing)) if f is not None]:
            params["parts"] = held_back
        self.hooks = CallbackList([*listed, self.history], self.model, params)

    def run(self, saved: resume.Saved | None = None) -> History:
        """Run the epochs, all or from a saved state on."""
        model, history, hooks = self.model, self.history, self.hooks
        if saved is not None:
            if self.epoch:
                raise ValueError(
                    f"{saved.title} says with which epoch to go on; leave initial_epoch out"
                )
            resume.check(self, saved)
            if self.progress.lines:
                print(f"Going on from {saved}")
        model.stop_training, model.stop_reason, model.stopped_by = False, "", None
        self.loop.keep_grads = hooks.needs_gradients
        hooks.call("on_train_begin", None)
        if saved is not None:
            resume.restore(self, saved)
        logs: dict[str, float] = {}
        try:
            history.stopped, history.complete = "", False
            reason, complete = f"all {self.last} epochs done", True
            while self.epoch < self.last and not self._stopped():
                logs = self._one_epoch()
                if getattr(self.feed, "ended", False) and not model.stop_training:
                    reason = f"the data ran out in epoch {self.epoch} of {self.last}"
                    if self.feed.steps is None and self.epoch < self.last:
                        _warn_ended(self.epoch, self.last)
                    break
        except NonFiniteError as error:
            if not hooks.non_finite(error):
                history.stopped = f"{type(error).__name__}: {error}"
                raise
        except KeyboardInterrupt:
            done = self.part.done if self.part else 0
            history.stopped = f"interrupted in epoch {self.epoch + 1}, after {done} of its steps"
            self.progress.close()
            hooks.call("on_train_end", logs)
            raise
        except BaseException as error:
            history.stopped = f"{type(error).__name__}: {error}"
            raise
        finally:
            self.loop.keep_grads = False
            history.kernels = dict(self.compiled.kernels)
            self.progress.close()
        if model.stop_training:
            reason, complete = self.stop_reason, self.stop_lasts
        history.stopped, history.complete = reason, complete
        hooks.call("on_train_end", logs)
        return history

    def repeat(self, kernels: Mapping[str, str]) -> None:
        """Choose these kernels for the calls that they are named for, where limits allow them."""
        self.compiled.policy.recorded.update(kernels)
        self.loop.forget()

    @property
    def steps_of_epoch(self) -> int | None:
        """Steps that an epoch has, None where nobody knows."""
        return self.feed.steps if self.full is None else 1

    def save(self, path: Any) -> None:
        """Write a file from which `run` goes on; see `convkit.models.resume`."""
        resume.save(self, path)

    @property
    def stop_reason(self) -> str:
        """Why a callback ends training."""
        return self.model.stop_reason or "stop_training was set"

    @property
    def stop_lasts(self) -> bool:
        """Whether a callback ends training, and a resumed run would not go on either."""
        return self.model.stop_training and getattr(self.model.stopped_by, "lasting", True)

    def _stopped(self) -> bool:
        """Whether there is nothing more to do: an epoch that a lasting stop cuts short is ended."""
        return self.model.stop_training and (self.part is None or not self.stop_lasts)

    def _one_epoch(self) -> dict[str, float]:
        epoch, hooks, progress = self.epoch, self.hooks, self.progress
        if self.part is None:
            hooks.call("on_epoch_begin", epoch, None)
            self.part = self.begun((self.compiled.optimizer.iterations, epoch))
        progress.begin(self.steps_of_epoch, f"Epoch {epoch + 1}/{self.last}", self.part.done)
        if self.model.stop_training:  # it may be when resumed
            pass
        elif self.full is None:
            self._train(self.part)
        elif not self.part.done:
            self._iterate(self.full, self.part)
        logs = self.part.totals.logs() if self.part.logs is None else self.part.logs
        if self._stopped() and self.part.done != self.steps_of_epoch:
            progress.end(logs)
            return logs
        if self.validation is not None and validates(self.frequency, epoch):
            values = evaluate_feed(self.loop, self.validation, self.compiled, hooks)
            if not values:
                _warn_nothing_left("validation_data", self.validation)
            logs = {**logs, **{f"val_{name}": value for name, value in values.items()}}
        tested: dict[str, float] = {}
        if self.testing is not None and validates(self.frequency, epoch):
            with carried_states_kept(self.model):
                silent = CallbackList(None, self.model, {})
                values = evaluate_feed(self.loop, self.testing, self.compiled, silent)
            if not values:
                _warn_nothing_left("test_data", self.testing)
            tested = {f"test_{name}": value for name, value in values.items()}
        progress.end({**logs, **tested})
        hooks.epoch_end(epoch, logs, tested)
        self.epoch, self.part = epoch + 1, None
        hooks.checkpoint(self.save)
        return logs

    def begun(self, path: tuple[int, ...]) -> Part:
        """An epoch of which nothing has been done."""
        totals = Totals(self.compiled.loss, self.compiled.resolve(self.model))
        return Part(path, self.feed.get_state(), totals)

    def _train(self, part: Part) -> None:
        totals = part.totals

        def after(done: int) -> bool:
            self._after(part, done, totals.logs)
            return bool(self.model.stop_training)

        def failed(executor: Executor, segment: Segment, step: Step, done: int) -> None:
            raise diagnose(executor, self.loop.store, segment, step, self.epoch, done)

        self.loop.run(
            "train", self.feed, self.compiled, totals,
            path=part.path, skip=part.done, before=self.hooks.begin_batch, after=after,
            failed=failed, most=lambda done: self.hooks.steps_left(self.steps),
        )  # fmt: skip

    def _iterate(self, full: FullBatchTraining, part: Part) -> None:
        """The one step of an epoch over all the data."""
        self.hooks.begin_batch(0)
        logs = part.logs = full.epoch(self.epoch)
        self._after(part, 1, lambda: logs)

    def _after(self, part: Part, done: int, logs: Callable[[], dict[str, float]]) -> None:
        """What there is to do between two steps."""
        self.steps += done - part.done
        part.done = done
        called = self.hooks.end_batch(self.steps, done - 1, logs)
        self.hooks.between_steps()
        if called:
            self.hooks.checkpoint(self.save)
        self.progress.update(done, logs() if self.progress.live else {})


def _warn_ended(epoch: int, last: int) -> None:
    warnings.warn(
        f"the data ran out in epoch {epoch} of {last}, so training ends; a generator can be read "
        "only once: pass an object that can be iterated again, or an endless generator and "
        "steps_per_epoch",
        stacklevel=4,
    )


def _warn_nothing_left(name: str, feed: Feed) -> None:
    if feed.steps is None:  # else the feed itself says so
        warnings.warn(
            f"{name} has no batches left, so this epoch has no values of it; a generator can be "
            "read only once: pass an object that can be iterated again, or an endless generator "
            "and validation_steps",
            stacklevel=4,
        )


def evaluate_feed(
    loop: Loop,
    feed: Feed,
    compiled: Compiled,
    hooks: CallbackList,
    progress: Progress | None = None,
) -> dict[str, float]:
    """Loss and metrics over a feed, without training.

    Returns
    -------
    dict of str to float
    """
    totals = Totals(compiled.loss, compiled.resolve(loop.model))
    single = hooks.per_test_batch
    hooks.call("on_test_begin", None)

    def before(step: int) -> None:
        if single:
            hooks.call("on_test_batch_begin", step, None)

    def after(done: int) -> None:
        if single:
            hooks.call("on_test_batch_end", done - 1, totals.logs())
        if progress is not None:
            progress.update(done, totals.logs() if progress.live else {})

    loop.run(
        "evaluate", feed, compiled, totals,
        most=lambda done: 1 if single else None, before=before, after=after,
    )  # fmt: skip
    logs = totals.logs()
    hooks.call("on_test_end", logs)
    return logs
