"""Saving a run of ``fit`` between two steps, and going on from there to the same bits.

All of it is one file, written whole or not at all: that of the model, which ``load_model`` reads,
with two members more:

training.json
    The seed, the epoch and what has been done of it, the learning rate, the History and the states
    of the callbacks; and, to tell whether the file belongs to a run, what was trained on what.
state.safetensors
    The arrays among them, such as the best weights that a callback keeps.

Shuffles and dropout masks need no more than that, as they are functions of the seed and the step.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convkit import random
from convkit.callbacks import BackupAndRestore, Callback
from convkit.models.same_run import compare, plain_values, what_it_does
from convkit.ops.choosing.policy import known_names
from convkit.ops.registry import Array
from convkit.saving.classes import Pieces
from convkit.saving.config import Configured, is_plain
from convkit.saving.files import read_archive, write_archive
from convkit.saving.model import (
    CONFIG,
    CONSTANTS,
    OPTIMIZER,
    WEIGHTS,
    model_members,
    slot_arrays,
    slot_names,
)
from convkit.saving.packing import pack, unpack

if TYPE_CHECKING:
    from convkit.models.epochs import Fit

__all__ = ["Saved", "check", "find", "restore", "save"]

StrPath = str | os.PathLike[str]

FORMAT = 1
TRAINING, STATE = "training.json", "state.safetensors"
KEYS = (
    "seed", "epoch", "steps", "part", "feed", "validation", "testing", "optimizer", "own",
    "trainable", "stopped", "callbacks",
)  # fmt: skip


def save(fit: Fit, path: StrPath) -> None:
    """Write a file from which a run can go on.

    Raises
    ------
    OSError
        If it cannot be written; a file that was there before is left as it is.
    TypeError
        If a callback's state holds something else than numbers, strings, arrays, lists and dicts.
    """
    arrays: dict[str, Array] = {}
    members = _members(fit.model)
    state = _state(fit)
    if CONFIG not in members:  # where the optimizer's own state is otherwise
        state["own"] = fit.compiled.optimizer.get_state()
    members[TRAINING] = {
        "format": FORMAT,
        "what": what_it_does(fit),
        "state": pack(state, "training", arrays),
    }
    members[STATE] = arrays
    write_archive(path, members)


def _members(model: Any) -> dict[str, Any]:
    """The model's own; of one that no file can hold, as it has a lambda, the arrays alone."""
    try:
        return model_members(model)
    except TypeError:
        weights = {p.path: p.numpy() for p in model.parameters}
        return {WEIGHTS: weights, OPTIMIZER: slot_arrays(model.store)}


class Saved:
    """What a file holds for a run to go on from; to make one sets the seed.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    what : dict
        What was trained on what.
    state : dict
        Where the run was.
    weights : list of ndarray
        All of the model's, in order.
    slot_count : int
        States that the optimizer keeps for each weight.
    slots : list of ndarray
        All of the first one in the order of the weights, then of the second.
    seed_before : int
        For a run that is refused.

    Raises
    ------
    ValueError
        If the file is none of convkit's, or of a model alone.
    """

    def __init__(self, path: Path) -> None:
        self.title = f"[fit] {path}"
        members = read_archive(path)
        if TRAINING not in members:
            raise ValueError(
                f"{self.title} holds a model, and no state of its training to go on from; load it "
                "by ck.load_model and leave resume= out"
            )
        training = members[TRAINING]
        if training.get("format") != FORMAT:
            raise ValueError(
                f"{self.title} has a state of training in format {training.get('format')}, and "
                f"this convkit reads format {FORMAT}"
            )
        self.path = path
        self.seed_before = random.current_seed()
        try:
            self.what: dict[str, Any] = training["what"]
            self.state: dict[str, Any] = unpack(training["state"], Pieces(None), members[STATE])
            paths = [path for path, *_ in self.what["model"]["weights"]]
            self.weights: list[Array] = [members[WEIGHTS][path] for path in paths]
            self.slot_count = len(members[OPTIMIZER]) // max(len(paths), 1)
            names = slot_names(self.slot_count, paths)
            self.slots: list[Array] = [members[OPTIMIZER][name] for name in names]
            if CONFIG in members:
                told, constants = members[CONFIG]["optimizer"], members.get(CONSTANTS, {})
                self.state["own"] = unpack(told["own"], Pieces(None), constants)
            for name in KEYS:
                _ = self.state[name]
            random.set_seed(self.state["seed"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{self.title} is damaged: {type(error).__name__} {error}") from None

    def __str__(self) -> str:
        part, epoch = self.state["part"], self.state["epoch"]
        return f"{self.path}: epoch {epoch + 1}" + (f", step {part['done'] + 1}" if part else "")


def find(resume: StrPath | None, callbacks: Any) -> Saved | None:
    """The run to go on from, if there is a file of one: `resume`, or a `BackupAndRestore`'s.

    Raises
    ------
    TypeError, ValueError
        If `resume` is no path, or the file is of no run.
    """
    if resume is not None:
        try:
            paths = [Path(resume)]
        except TypeError:
            raise TypeError(f"[fit] resume must be the path of a file, not {resume!r}") from None
    else:
        listed = callbacks if isinstance(callbacks, list | tuple) else [callbacks]
        paths = [c.path for c in listed if isinstance(c, BackupAndRestore)]
    return next((Saved(path) for path in paths if path.exists()), None)


# Where a run is.


def _callbacks(fit: Fit) -> list[Any]:
    """The callbacks that keep a state: those that define `get_state`."""
    return [
        callback
        for callback in fit.hooks.callbacks
        if getattr(type(callback), "get_state", Callback.get_state) is not Callback.get_state
    ]


def _arguments(callback: Any) -> dict[str, Any]:
    """The arguments of a callback that are numbers and words."""
    config = callback.get_config() if isinstance(callback, Configured) else {}
    return {name: value for name, value in config.items() if is_plain(value)}


def _warn_changed(title: str, callback: Any, saved: dict[str, Any]) -> None:
    """Say what is different in a callback that goes on with a state."""
    present = _arguments(callback)
    changed = {n for n in saved.keys() | present.keys() if saved.get(n) != present.get(n)}
    if changed and getattr(callback, "lasting", True):
        told = ", ".join(f"{n} was {saved.get(n)}, is {present.get(n)}" for n in sorted(changed))
        warnings.warn(
            f"{title} goes on with other arguments of {type(callback).__name__}: {told}; from here "
            "on the new ones count",
            UserWarning,
            stacklevel=6,
        )


def _state(fit: Fit) -> dict[str, Any]:
    model, optimizer, part = fit.model, fit.compiled.optimizer, fit.part
    rate = optimizer.learning_rate
    return {
        "seed": random.current_seed(),
        "epoch": fit.epoch,
        "steps": fit.steps,
        "part": part
        and {
            "path": list(part.path),
            "feed": part.feed,
            "totals": part.totals.get_state(),
            "done": part.done,
            "logs": part.logs,
        },
        "feed": fit.feed.get_state(),
        "validation": fit.validation and fit.validation.get_state(),
        "testing": fit.testing and fit.testing.get_state(),
        "optimizer": {
            "iterations": optimizer.iterations,
            "learning_rate": plain_values(rate) if callable(rate) else rate,
            "momentum": getattr(optimizer, "momentum", None),
        },
        "trainable": {
            "layers": [layer.trainable for layer in model.layers],
            "weights": [p.trainable for p in model.parameters],
        },
        "stopped": fit.stop_reason if fit.stop_lasts else None,
        "kernels": fit.compiled.all_kernels(),
        "callbacks": [
            {"class": type(c).__name__, "state": c.get_state(), "arguments": _arguments(c)}
            for c in _callbacks(fit)
        ],
    }


def check(fit: Fit, source: Saved) -> None:
    """Refuse to go on from a state that is of another run.

    Raises
    ------
    ValueError
        If model, loss, data, optimizer or callbacks are not the saved ones; the message says what
        differs. Or if the file states them in another form than `save` does.
    """
    try:
        _check(fit, source)
    except ValueError:
        random.set_seed(source.seed_before)
        raise
    except (AttributeError, LookupError, TypeError) as error:
        random.set_seed(source.seed_before)
        told = f"{type(error).__name__} {error}"
        raise ValueError(f"{source.title} is damaged: {told}") from error


def _check_numbers(source: Saved) -> None:
    state, part = source.state, source.state["part"]
    counts = [state["epoch"], state["steps"], state["optimizer"]["iterations"]]
    counts += [] if part is None else [part["done"], *part["path"]]
    rate = state["optimizer"]["learning_rate"]
    if any(type(n) is not int or not 0 <= n < 2**63 for n in counts) or (
        not isinstance(rate, dict)
        and (type(rate) not in (int, float) or not 0 <= rate < float("inf"))
    ):
        raise ValueError(f"{source.title} is damaged: its counts or its rate are no numbers")


def _check(fit: Fit, source: Saved) -> None:
    _check_numbers(source)
    compare(source.title, source.what, what_it_does(fit))
    old = [saved["class"] for saved in source.state["callbacks"]]
    new = [type(callback).__name__ for callback in _callbacks(fit)]
    if old != new:
        raise ValueError(
            f"{source.title} is of another run: its callbacks that keep a state are "
            f"{', '.join(old[:-1]) or 'none'}, here they are {', '.join(new[:-1]) or 'none'}; "
            "give the same ones in the same order, or resume= another file to start afresh"
        )
    rate = fit.compiled.optimizer.learning_rate
    saved = source.state["optimizer"]["learning_rate"]
    present = plain_values(rate) if callable(rate) else rate
    if isinstance(saved, dict) and saved != present:
        raise ValueError(
            f"{source.title} is of another run: its learning rate is {saved}, here it is "
            f"{present}; go on with the same"
        )
    if isinstance(present, dict) and saved != present:  # a callback may have replaced the schedule
        warnings.warn(
            f"{source.title} goes on with its learning rate {saved}, not the schedule {present}",
            UserWarning,
            stacklevel=5,
        )
    shapes = [p.shape for p in fit.model.parameters]
    arrays = [*source.weights, *source.slots]
    if [array.shape for array in arrays] != shapes * (1 + source.slot_count):
        raise ValueError(f"{source.title} is damaged: its arrays do not have the stated shapes")
    for callback, told in zip(_callbacks(fit), source.state["callbacks"], strict=True):
        _warn_changed(source.title, callback, told["arguments"])


def restore(fit: Fit, source: Saved) -> None:
    """Go on from a state that `check` has passed, once `on_train_begin` has been called.

    The weights come last, once all else has taken its state.

    Raises
    ------
    ValueError
        If a part of the state is not what `save` writes; the weights are as they were.
    """
    try:
        _restore_run(fit, source.state)
        _restore_optimizer(fit, source)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        random.set_seed(source.seed_before)
        told = f"{type(error).__name__} {error}"
        raise ValueError(f"{source.title} is damaged: {told}") from error
    for view, array in zip(slot_arrays(fit.model.store).values(), source.slots, strict=True):
        view[...] = array
    for p, value in zip(fit.model.parameters, source.weights, strict=True):
        p.assign(value)


def _restore_run(fit: Fit, saved: Mapping[str, Any]) -> None:
    """Feeds, what has been done of the epoch, callbacks."""
    fit.repeat(known_names("the run that was saved", saved.get("kernels")))
    fit.epoch, fit.steps, part = saved["epoch"], saved["steps"], saved["part"]
    if part is None:
        fit.feed.set_state(saved["feed"])
    else:
        fit.feed.set_state(part["feed"])
        fit.part = fit.begun(tuple(part["path"]))
        fit.part.totals.set_state(part["totals"])
        fit.part.done, fit.part.logs = part["done"], part["logs"]
    for feed, state in ((fit.validation, saved["validation"]), (fit.testing, saved["testing"])):
        if feed is not None:
            feed.set_state(state)
    for callback, told in zip(_callbacks(fit), saved["callbacks"], strict=True):
        callback.set_state(told["state"])
    if saved["stopped"] is not None:
        fit.model.stop_training, fit.model.stop_reason = True, saved["stopped"]


def _restore_optimizer(fit: Fit, source: Saved) -> None:
    """What the optimizer keeps but its slots, and which weights it may change."""
    saved, model, optimizer = source.state, fit.model, fit.compiled.optimizer
    own, trainable = saved["optimizer"], saved["trainable"]
    layers = list(zip(model.layers, trainable["layers"], strict=True))
    weights = list(zip(model.parameters, trainable["weights"], strict=True))
    if not isinstance(own["learning_rate"], dict):  # not a schedule
        optimizer.learning_rate = own["learning_rate"]
    if own["momentum"] is not None:
        setattr(optimizer, "momentum", own["momentum"])  # noqa: B010  (of SGD)
    if saved["own"]:
        optimizer.set_state(saved["own"])
    optimizer.iterations = own["iterations"]
    if len(model.store.slots) != source.slot_count:  # a callback has set another momentum
        model.store.reserve_slots(source.slot_count)
    for layer, value in layers:
        if layer.trainable != value:  # a callback has frozen it, or the other way round
            layer.trainable = value
    for p, value in weights:
        if p.trainable != value:
            p.trainable, p.frozen = value, False
