"""Epochs: training and evaluation over feeds, with callbacks and progress."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from convkit.callbacks import CallbackList, History
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

__all__ = ["evaluate_feed", "fit_feed"]


def fit_feed(
    loop: Loop,
    feed: Feed,
    compiled: Compiled,
    validation: Feed | None,
    frequency: Any,
    epochs: Sequence[int],
    callbacks: Any,
    verbose: Any,
    testing: Feed | None = None,
    parts: Mapping[str, Any] | None = None,
) -> History:
    """Run the epochs of ``fit``.

    Parameters
    ----------
    loop : Loop
    feed, validation : Feed
    compiled : Compiled
    frequency : int or list of int
        Of validation.
    epochs : range
        Those to run.
    callbacks : Callback or list of Callback or None
    verbose : "auto", 0, 1 or 2
    testing : Feed, optional
        The testing part: evaluated when validation is, and seen by nothing but reports.
    parts : mapping of str to ndarray of int, optional
        Which samples are in which part, for History.

    Returns
    -------
    History
    """
    model = loop.model
    last = epochs.stop if isinstance(epochs, range) else len(epochs)
    progress = Progress(verbose)
    history = model.history = History()
    history.parts = dict(parts or {})
    listed = [] if callbacks is None else callbacks
    listed = list(listed) if isinstance(listed, list | tuple) else [listed]
    full = None
    if isinstance(compiled.optimizer, FullBatch):
        full = FullBatchTraining(loop, feed, compiled, len(epochs))
    steps = feed.steps if full is None else 1
    params = {"verbose": verbose, "epochs": last, "steps": steps}
    hooks = CallbackList([*listed, history], model, params)
    model.stop_training, model.stop_reason = False, ""
    hooks.call("on_train_begin", None)
    logs: dict[str, float] = {}
    try:
        for epoch in epochs:
            hooks.call("on_epoch_begin", epoch, None)
            progress.begin(steps, f"Epoch {epoch + 1}/{last}")
            if full is None:
                logs = _train_epoch(loop, feed, compiled, hooks, progress, epoch)
            else:
                logs = _iterate(full, hooks, progress, epoch)
            if validation is not None and validates(frequency, epoch):
                values = evaluate_feed(loop, validation, compiled, hooks)
                logs = {**logs, **{f"val_{name}": value for name, value in values.items()}}
            tested: dict[str, float] = {}
            if testing is not None and validates(frequency, epoch):
                with carried_states_kept(model):
                    values = evaluate_feed(loop, testing, compiled, CallbackList(None, model, {}))
                tested = {f"test_{name}": value for name, value in values.items()}
            progress.end({**logs, **tested})
            hooks.epoch_end(epoch, logs, tested)
            if model.stop_training:
                history.stopped = model.stop_reason or "stop_training was set"
                break
            if getattr(feed, "ended", False):
                history.stopped = f"the data ran out in epoch {epoch + 1}"
                if feed.steps is None and epoch != epochs[-1]:
                    _warn_ended(epoch + 1, last)
                break
        else:
            history.stopped = f"all {last} epochs done"
    except KeyboardInterrupt:
        history.stopped = f"interrupted in epoch {epoch + 1}"
        progress.close()
        hooks.call("on_train_end", logs)
        raise
    finally:
        progress.close()
    hooks.call("on_train_end", logs)
    return history


def _warn_ended(epoch: int, last: int) -> None:
    warnings.warn(
        f"the data ran out in epoch {epoch} of {last}, so training ends; a generator can be read "
        "only once: pass an object that can be iterated again, or an endless generator and "
        "steps_per_epoch",
        stacklevel=4,
    )


def _train_epoch(
    loop: Loop,
    feed: Feed,
    compiled: Compiled,
    hooks: CallbackList,
    progress: Progress,
    epoch: int,
) -> dict[str, float]:
    model = loop.model
    totals = Totals(compiled.loss, compiled.resolve(model.outputs[0].shape[-1]))
    single = hooks.per_train_batch
    shown = progress.live or single

    def before(step: int) -> None:
        if single:
            hooks.call("on_train_batch_begin", step, None)

    def after(done: int) -> bool:
        logs = totals.logs() if shown else {}
        if single:
            hooks.call("on_train_batch_end", done - 1, logs)
        progress.update(done, logs)
        return bool(model.stop_training)

    def failed(executor: Executor, segment: Segment, step: Step, done: int) -> None:
        raise diagnose(executor, loop.store, segment, step, epoch, done)

    path = (compiled.optimizer.iterations, epoch)
    loop.run(
        "train", feed, compiled, totals,
        path=path, single=single, before=before, after=after, failed=failed,
    )  # fmt: skip
    return totals.logs()


def _iterate(
    full: FullBatchTraining, hooks: CallbackList, progress: Progress, epoch: int
) -> dict[str, float]:
    """The one step of an epoch over all the data."""
    hooks.call("on_train_batch_begin", 0, None)
    logs = full.epoch(epoch)
    hooks.call("on_train_batch_end", 0, logs)
    progress.update(1, logs)
    return logs


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
    totals = Totals(compiled.loss, compiled.resolve(loop.model.outputs[0].shape[-1]))
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

    loop.run("evaluate", feed, compiled, totals, single=single, before=before, after=after)
    logs = totals.logs()
    hooks.call("on_test_end", logs)
    return logs
