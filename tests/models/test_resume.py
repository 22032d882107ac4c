"""fit(resume=...): an interrupted run ends with the same bits as if it had not been interrupted."""

import contextlib
import errno
import json
import os
import pickle
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

import convkit as ck
from convkit.callbacks import (
    BackupAndRestore,
    Callback,
    Convergence,
    CSVLogger,
    EarlyStopping,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TimeLimit,
)
from convkit.saving.files import read_archive
from models.conftest import blobs, classifier, convnet, images


class Crash(Callback):
    """Raises after so many steps of its life."""

    def __init__(self, after):
        super().__init__()
        self.left = after

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if not self.left:
            raise RuntimeError("crash")


def dense():
    model = ck.Sequential(
        [
            ck.Input((4,)),
            ck.layers.Dense(8, "relu"),
            ck.layers.Dropout(0.5),
            ck.layers.Dense(3, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, blobs(44), {"batch_size": 8, "epochs": 3, "validation_split": 0.25}


def normalised():
    model = ck.Sequential(
        [
            ck.Input((4,)),
            ck.layers.Dense(8),
            ck.layers.BatchNormalization(),
            ck.layers.Activation("relu"),
            ck.layers.Dense(3, "softmax"),
        ]
    )
    schedule = ck.schedules.ExponentialDecay(0.1, 5, 0.9)
    optimizer = ck.optimizers.SGD(schedule, momentum=0.9, nesterov=True)
    model.compile(optimizer, "sparse_categorical_crossentropy", weighted_metrics=["accuracy"])
    x, y = blobs(44)
    weight = np.random.default_rng(0).random(44)
    options = {"batch_size": 8, "epochs": 3, "validation_split": 0.25, "sample_weight": weight}
    return model, (x, y), options


def stateful():
    model = ck.Sequential(
        [
            ck.Input((5, 3), batch_size=4),
            ck.layers.LSTM(6, stateful=True),
            ck.layers.Dense(2, "softmax"),
        ]
    )
    model.compile(ck.optimizers.SGD(0.5, momentum=0.9), "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((24, 5, 3)).astype(np.float32), rng.integers(0, 2, 24)
    return model, (x, y), {"epochs": 2, "shuffle": False, "validation_data": (x[:8], y[:8])}


def convolutional():
    x, y = images(36)
    return convnet(), (x, y), {"batch_size": 8, "epochs": 3, "validation_split": 0.25}


def partial_epochs():
    """Epochs that end in the midst of a pass over the data."""
    model, data, options = dense()
    return model, data, {**options, "steps_per_epoch": 3}


MODELS = [dense, normalised, stateful, convolutional, partial_epochs]


def deciding(model):
    """Callbacks with a state, for a run of a few epochs."""
    callbacks = [EarlyStopping("val_loss", patience=2, restore_best_weights=True)]
    if not callable(model.optimizer.learning_rate):
        callbacks.append(ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.05))
    return callbacks


def outcome(model, callbacks):
    """All that must be the same, to the bit."""
    history = model.history
    states = [c.get_state() for c in callbacks]
    return {
        "weights": model.get_weights(),
        "slots": model.store.slots.copy(),
        "rate": float(model.optimizer.rates(model.optimizer.iterations, 1)[0]),
        "steps": model.optimizer.iterations,
        "history": history.history,
        "epoch": history.epoch,
        "stopped": history.stopped,
        "callbacks": states,
    }


def assert_same(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    elif isinstance(a, np.ndarray):
        assert np.array_equal(a, b) and a.dtype == b.dtype
    else:
        assert a == b


def uninterrupted(make):
    ck.set_seed(5)
    model, data, options = make()
    callbacks = deciding(model)
    model.fit(*data, **options, callbacks=callbacks, verbose=0)
    return outcome(model, callbacks)


@pytest.mark.parametrize("make", MODELS)
def test_a_run_that_crashes_after_any_step_ends_with_the_same_bits(make, tmp_path):
    expected = uninterrupted(make)
    total = expected["steps"]
    assert total > 8
    for step in range(1, total + 1):
        path = tmp_path / f"{step}.convkit"
        ck.set_seed(5)
        model, data, options = make()
        callbacks = [*deciding(model), ModelCheckpoint(path, save_freq=1), Crash(step)]
        with pytest.raises(RuntimeError, match="crash"):
            model.fit(*data, **options, callbacks=callbacks, verbose=0, resume=path)
        assert path.exists() == (step > 1)
        ck.set_seed(99 + step)  # other weights, and what the file says counts
        model, data, options = make()
        callbacks = [*deciding(model), ModelCheckpoint(path, save_freq=1)]
        if step == 1:
            ck.set_seed(5)
            model.set_weights(make()[0].get_weights())
            ck.set_seed(5)
        model.fit(*data, **options, callbacks=callbacks, verbose=0, resume=path)
        assert_same(outcome(model, callbacks[:-1]), expected)


@pytest.mark.parametrize("frequency", ["epoch", 1, 3, 5])
def test_a_run_that_crashes_again_and_again(frequency, tmp_path):
    expected = uninterrupted(dense)
    path = tmp_path / "run.convkit"
    crashes = 0
    while True:
        ck.set_seed(5)
        model, data, options = dense()
        callbacks = [
            *deciding(model), ModelCheckpoint(path, save_freq=frequency), Crash(7)
        ]  # fmt: skip
        try:
            model.fit(*data, **options, callbacks=callbacks, verbose=0, resume=path)
        except RuntimeError:
            crashes += 1
            continue
        break
    assert crashes >= 2
    assert_same(outcome(model, callbacks[:-2]), expected)


def test_generators_and_iterables_are_read_from_their_beginning(tmp_path):
    x, y = blobs(60)

    def endless():
        while True:
            for begin in range(0, 60, 7):
                yield x[begin : begin + 7], y[begin : begin + 7]

    class Again:
        def __iter__(self):
            return ((x[begin : begin + 7], y[begin : begin + 7]) for begin in range(0, 60, 7))

    sources = [(endless, {"steps_per_epoch": 4}), (Again, {"steps_per_epoch": 4}), (Again, {})]
    for i, (source, options) in enumerate(sources):
        validation = endless() if i == 0 else Again()
        plain = classifier()
        start = plain.get_weights()
        plain.fit(
            source(), **options, epochs=3, verbose=0, validation_data=validation,
            validation_steps=2,
        )  # fmt: skip
        for step in (2, 4, 5, 9):
            path = tmp_path / f"{i}-{step}.convkit"
            for crash in (True, False):
                model = classifier()
                model.set_weights(start)
                callbacks = [ModelCheckpoint(path, save_freq=1)] + [Crash(step)] * crash
                try:
                    model.fit(
                        source(), **options, epochs=3, verbose=0, callbacks=callbacks, resume=path,
                        validation_data=endless() if i == 0 else Again(), validation_steps=2,
                    )  # fmt: skip
                    assert not crash
                except RuntimeError:
                    assert crash
            assert_same(outcome(model, []), outcome(plain, []))


def test_the_history_does_not_depend_on_where_runs_end():
    x, y = blobs(200)
    weight = np.random.default_rng(1).random(200)
    results = []
    for interval in (None, 1, 3, 7):
        ck.set_seed(5)
        model = classifier(weighted_metrics=["accuracy"])

        class Look(Callback):
            batch_interval = interval

            def on_train_batch_end(self, batch, logs=None):
                assert logs["loss"] > 0

        model.fit(x, y, batch_size=8, epochs=2, sample_weight=weight, verbose=0, callbacks=[Look()])
        results.append(outcome(model, []))
    for other in results[1:]:
        assert_same(results[0], other)


def test_hooks_of_batches_at_intervals():
    x, y = blobs(80)
    seen = []

    class Every(Callback):
        batch_interval = 7

        def on_train_batch_begin(self, batch, logs=None):
            raise AssertionError

        def on_train_batch_end(self, batch, logs=None):
            seen.append((self.model.optimizer.iterations, batch))

    classifier().fit(x, y, batch_size=8, epochs=3, callbacks=[Every()], verbose=0)
    assert seen == [(7, 6), (14, 3), (21, 0), (28, 7)]


def test_runs_end_only_where_a_file_is_due(tmp_path, monkeypatch):
    from convkit.models import loop

    runs = []
    some = loop.Loop._some

    def counted(self, executor, mode, data, count, *rest):
        runs.append(count)
        return some(self, executor, mode, data, count, *rest)

    monkeypatch.setattr(loop.Loop, "_some", counted)
    monkeypatch.setattr(loop, "TIME_LIMIT", 0.0)
    x, y = blobs(80)
    callbacks = [ModelCheckpoint(tmp_path / "{epoch}-{batch}", save_freq=4)]
    classifier().fit(x, y, batch_size=8, epochs=2, callbacks=callbacks, verbose=0)
    assert runs == [4, 4, 2, 2, 4, 4]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1-4", "1-8", "2-10", "2-2", "2-6"]


def test_a_finished_run_is_not_run_again_unless_there_are_more_epochs(tmp_path):
    x, y = blobs(40)
    path = tmp_path / "run.convkit"

    def run(epochs, patience=None):
        model = classifier()
        callbacks = [ModelCheckpoint(path)]
        if patience is not None:
            callbacks.insert(0, EarlyStopping("loss", min_delta=9.0, patience=patience))
        model.fit(x, y, epochs=epochs, verbose=0, callbacks=callbacks, resume=path)
        return model

    first, again, more = run(2), run(2), run(3)
    assert_same(outcome(first, []), outcome(again, []))
    assert again.history.stopped == "all 2 epochs done"
    assert more.history.epoch == [0, 1, 2]
    assert more.history.history["loss"][:2] == first.history.history["loss"]
    path.unlink()
    early, again = run(9, patience=2), run(9, patience=2)
    assert early.history.epoch == [0, 1, 2]
    assert early.history.stopped.startswith("EarlyStopping: loss has not improved")
    assert_same(outcome(early, []), outcome(again, []))


def test_the_time_of_earlier_runs_counts(tmp_path):
    x, y = blobs(40)
    path = tmp_path / "run.convkit"

    def run(seconds):
        limit = TimeLimit(seconds)
        model = classifier()
        callbacks = [limit, ModelCheckpoint(path)]
        model.fit(x, y, epochs=2, verbose=0, callbacks=callbacks, resume=path)
        return model.history, limit

    history, limit = run(1e-9)
    assert history.stopped == "TimeLimit: the time of 1e-09 s is used up"
    assert len(history.epoch) == 1 and not history.complete
    used = json.loads(zipfile.ZipFile(path).read("training.json"))["state"]["callbacks"][0][1]
    assert 0 < used["seconds"] < limit.elapsed
    history, limit = run(1e-9)
    assert len(history.epoch) == 1 and history.stopped.startswith("TimeLimit")
    history, limit = run(1e9)
    assert history.epoch == [0, 1] and history.complete and limit.elapsed > used["seconds"]


def test_backup_and_restore(tmp_path):
    expected = uninterrupted(dense)
    folder = tmp_path / "backup"
    for crash in (6, 6, 0):
        ck.set_seed(5)
        model, data, options = dense()
        callbacks = [*deciding(model), BackupAndRestore(folder, save_freq=2)]
        callbacks += [Crash(crash)] if crash else []
        try:
            model.fit(*data, **options, callbacks=callbacks, verbose=0)
        except RuntimeError:
            assert (folder / "training.convkit").exists()
    assert_same(outcome(model, callbacks[:-1]), expected)
    assert not list(folder.iterdir())
    model.fit(
        *data, batch_size=8, callbacks=[BackupAndRestore(folder, delete_checkpoint=False)],
        verbose=0,
    )  # fmt: skip
    assert (folder / "training.convkit").exists()
    with pytest.raises(TypeError, match="double_checkpoint"):
        BackupAndRestore(folder, double_checkpoint=True)


def test_csv_logger_goes_on_where_the_file_was(tmp_path):
    x, y = blobs(40)
    logs = []
    for crash in (0, 13):  # in the third of four epochs of five steps
        ck.set_seed(5)
        log, path = tmp_path / f"{crash}.csv", tmp_path / f"{crash}.convkit"
        for after in (crash, 0) if crash else (0,):
            model = classifier()
            callbacks = [CSVLogger(log), ModelCheckpoint(path, save_freq=5)]
            callbacks += [Crash(after)] if after else []
            try:
                model.fit(x, y, batch_size=8, epochs=4, callbacks=callbacks, verbose=0, resume=path)
            except RuntimeError:
                callbacks[0].on_train_end()
                log.write_text(log.read_text() + "2,written,after the file\n")
        logs.append(log.read_text())
        ck.set_seed(5)
    assert logs[0] == logs[1] and len(logs[0].splitlines()) == 5


def test_convergence_knows_the_gradient_of_the_last_step(tmp_path):
    x, y = blobs(40)

    def run(crash, path):
        ck.set_seed(5)
        model = classifier(optimizer="sgd")
        stop = Convergence(1e-9, on="gradient", patience=3)
        callbacks = [stop, ModelCheckpoint(path, save_freq=1)] + [Crash(crash)] * bool(crash)
        model.fit(x, y, batch_size=20, epochs=3, callbacks=callbacks, verbose=0, resume=path)
        return stop.change

    expected = run(0, tmp_path / "a")
    for crash in (4, 5, 6):
        with pytest.raises(RuntimeError, match="crash"):
            run(crash, tmp_path / f"{crash}")
        assert run(0, tmp_path / f"{crash}") == expected


# Files of other runs, and files that are none.


def saved(tmp_path, **options):
    x, y = blobs(40)
    path = tmp_path / "run.convkit"
    callbacks = [EarlyStopping("loss"), ModelCheckpoint(path)]
    classifier(**options).fit(x, y, epochs=2, callbacks=callbacks, verbose=0)
    return x, y, path


def resumed(path, x, y, model=None, callbacks=None, **options):
    if callbacks is None:
        callbacks = [EarlyStopping("loss"), ModelCheckpoint(path)]
    model = classifier() if model is None else model
    before = model.get_weights()
    try:
        model.fit(x, y, epochs=3, callbacks=callbacks, verbose=0, resume=path, **options)
    except (ValueError, TypeError):
        assert_same(model.get_weights(), before)
        raise


def test_files_of_other_runs_are_refused(tmp_path):
    x, y, path = saved(tmp_path)
    relu = ck.Sequential(
        [
            ck.Input((4,)),
            ck.layers.Dense(8, "relu"),
            ck.layers.Dense(3, "softmax"),
        ]
    )
    dropping = ck.Sequential([ck.Input((4,)), *relu.layers, ck.layers.Dropout(0.1)])
    for model in (relu, dropping):
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    cases = [
        ({"model": classifier(hidden=9)}, r"it has hidden.kernel \(4, 8\), this one .*\(4, 9\)"),
        ({"model": classifier(loss="mse", classes=1)}, "another model"),
        ({"model": relu}, "layer '.*': activation is 'tanh', here it is 'relu'"),
        ({"model": dropping}, r"model with \d layers, this one has \d"),
        ({"model": classifier(optimizer="sgd")}, "optimizer: .* here it is"),
        ({"model": classifier(optimizer=ck.optimizers.Adam(epsilon=1e-3))}, "epsilon"),
        ({"model": classifier(metrics=[])}, r"its metrics is \['accuracy'\], here it is \[\]"),
        ({"batch_size": 16}, "training data: .* here it is"),
        ({"shuffle": False}, "training data: shuffle"),
        ({"validation_split": 0.5}, "data: samples"),
        ({"validation_data": (x, y)}, "validation data"),
        ({"callbacks": []}, "EarlyStopping, ModelCheckpoint, here they are none"),
        ({"callbacks": [ModelCheckpoint(path), EarlyStopping("loss")]}, "same order"),
        ({"initial_epoch": 1}, "initial_epoch"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message) as caught:
            resumed(path, x, y, **options)
        assert str(path) in str(caught.value)
    with pytest.raises(ValueError, match="samples is 40, here it is 39"):
        resumed(path, x[1:], y[1:])
    frozen = classifier()
    frozen.get_layer("hidden").trainable = False
    with pytest.raises(ValueError, match="not trainable"):
        resumed(path, x, y, model=frozen)
    with pytest.raises(TypeError, match="resume must be the path"):
        resumed(3, x, y, callbacks=[])
    resumed(path, x, y)


class StopAfter(Callback):
    """Stops in the midst of an epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if self.model.optimizer.iterations == 12:
            self.stop("enough")


class Fail(Callback):
    """Raises at the end of an epoch, when the steps are done."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            raise RuntimeError("crash")


def test_what_happens_once_in_an_epoch_happens_once(tmp_path):
    """Also a stop, and what depends on the count of steps, such as the names of files."""
    x, y = blobs(40)

    def run(name, *crash):
        ck.set_seed(5)
        model = classifier(optimizer=ck.optimizers.SGD(1.0))
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        callbacks = [
            LearningRateScheduler(lambda epoch, rate: rate * 0.9), StopAfter(),
            ModelCheckpoint(folder / "run", save_freq=1),
            ModelCheckpoint(folder / "{epoch}-{batch}", save_freq=4), *crash,
        ]  # fmt: skip
        model.fit(
            x, y, batch_size=8, epochs=9, validation_split=0.1, callbacks=callbacks, verbose=0,
            resume=folder / "run",
        )  # fmt: skip
        return outcome(model, []), sorted(path.name for path in folder.iterdir())

    expected = run("whole")
    assert expected[0]["rate"] == 0.9**3 and expected[0]["stopped"] == "StopAfter: enough"
    assert expected[0]["steps"] == 12
    for name, crash in (("a", Crash(8)), ("b", Fail(2)), ("c", Crash(11)), ("d", Fail(0))):
        with pytest.raises(RuntimeError, match="crash"):
            run(name, crash)
        assert_same(run(name), expected)


def test_layers_that_a_callback_freezes_stay_frozen(tmp_path):
    x, y = blobs(40)

    class Freeze(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 1:
                self.model.get_layer("hidden").trainable = False

    def run(path, crash=0):
        ck.set_seed(5)
        model = classifier()
        callbacks = [Freeze(), ModelCheckpoint(path, save_freq=1)] + [Crash(crash)] * bool(crash)
        model.fit(x, y, batch_size=8, epochs=4, callbacks=callbacks, verbose=0, resume=path)
        assert not model.get_layer("hidden").trainable
        return outcome(model, [])

    expected = run(tmp_path / "whole")
    for crash in (4, 7, 13):
        with pytest.raises(RuntimeError, match="crash"):
            run(tmp_path / f"{crash}", crash)
        assert_same(run(tmp_path / f"{crash}"), expected)


def test_the_parts_of_the_data_are_the_same_without_a_seed(tmp_path):
    """They follow from the seed, which the file brings."""
    x, y = blobs(60)
    path = tmp_path / "run.convkit"
    histories = []
    for seed, epochs in ((5, 4), (5, 2), (6, 4)):
        ck.set_seed(seed)
        model = classifier()
        options = {"callbacks": [ModelCheckpoint(path)], "resume": path} if histories else {}
        histories.append(
            model.fit(x, y, epochs=epochs, split=(0.6, 0.2, 0.2), verbose=0, **options)
        )
    assert_same(histories[0].history, histories[2].history)
    assert_same(histories[0].parts, histories[2].parts)
    assert "test_loss" in histories[2].history


def test_what_is_said_of_going_on(tmp_path, capsys):
    x, y = blobs(40)
    path = tmp_path / "run.convkit"
    callbacks = [ModelCheckpoint(path, save_freq=7)]
    options = {"batch_size": 8, "callbacks": callbacks, "resume": path}
    classifier().fit(x, y, epochs=2, **options)
    assert "Going on" not in capsys.readouterr().out
    classifier().fit(x, y, epochs=2, **options)
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"Going on from {path}: epoch 2, step 3"
    assert out[1].startswith("Epoch 2/2 - 5/5 - ") and len(out) == 2


def test_schedules_must_be_the_same(tmp_path):
    def optimizer(rate=0.1):
        return ck.optimizers.SGD(ck.schedules.ExponentialDecay(rate, 5, 0.9))

    x, y, path = saved(tmp_path, optimizer=optimizer())
    for other in (optimizer(0.2), ck.optimizers.SGD(0.1)):
        with pytest.raises(ValueError, match="learning rate"):
            resumed(path, x, y, model=classifier(optimizer=other))
    resumed(path, x, y, model=classifier(optimizer=optimizer()))


def test_what_is_no_state_of_training(tmp_path):
    x, y, path = saved(tmp_path)
    text = tmp_path / "text"
    text.write_text("no file of this kind")
    with pytest.raises(ValueError, match="text"):
        resumed(text, x, y)
    bare = tmp_path / "bare.convkit"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(bare, "w") as new:
        for name in old.namelist():
            if name != "training.json":
                new.writestr(name, old.read(name))
    with pytest.raises(ValueError, match="load_model"):
        resumed(bare, x, y)
    later = tmp_path / "later.convkit"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(later, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name == "training.json":
                data = json.dumps({**json.loads(data), "format": 99})
            new.writestr(name, data)
    with pytest.raises(ValueError, match="format 99"):
        resumed(later, x, y)


def test_callbacks_of_ones_own_have_a_state(tmp_path):
    x, y = blobs(40)

    class Mine(Callback):
        def __init__(self):
            super().__init__()
            self.best = {"loss": np.inf, "weights": [], "name": "none", "seen": ()}

        def get_state(self):
            return self.best

        def set_state(self, state):
            self.best = state

        def on_epoch_end(self, epoch, logs=None):
            self.best = {
                "loss": np.float64(logs["loss"]), "weights": self.model.get_weights(),
                "name": f"epoch {epoch}", "seen": [*self.best["seen"], np.int64(epoch), -np.inf],
            }  # fmt: skip

    path = tmp_path / "run.convkit"
    first = Mine()
    classifier().fit(
        x, y, epochs=2, callbacks=[first, ModelCheckpoint(path)], verbose=0, resume=path
    )
    second = Mine()
    classifier().fit(
        x, y, epochs=2, callbacks=[second, ModelCheckpoint(path)], verbose=0, resume=path
    )
    assert_same(second.best, first.best)
    first.get_state = lambda: {"what": object()}
    with pytest.raises(TypeError, match=r"callbacks.*what cannot be saved"):
        classifier().fit(x, y, callbacks=[first, ModelCheckpoint(path)], verbose=0)


# Disks.


class FullDisk:
    """Files whose writes fail after so many bytes, all of them together."""

    def __init__(self, monkeypatch, left):
        self.left = left
        monkeypatch.setattr("builtins.open", self.open)

    real = staticmethod(open)

    def open(self, file, mode="r", *arguments, **options):
        opened = self.real(file, mode, *arguments, **options)
        if "x" in mode or "w" in mode:
            write = opened.write

            def limited(data):
                part = memoryview(data)[: self.left]
                self.left -= len(part)
                write(part)
                if len(part) < len(memoryview(data)):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                return len(part)

            return _Wrapped(opened, limited)
        return opened


class _Wrapped:
    def __init__(self, file, write):
        self._file = file
        self.write = write

    def __getattr__(self, name):
        return getattr(self._file, name)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_full_disk_leaves_the_file_before_and_the_weights(share, tmp_path, monkeypatch):
    x, y, path = saved(tmp_path)
    before = path.read_bytes()
    model = classifier()
    with monkeypatch.context() as patch:
        FullDisk(patch, int(share * len(before)))
        with pytest.raises(OSError, match=r"run\.convkit") as caught:
            model.fit(x, y, callbacks=[ModelCheckpoint(path)], verbose=0)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["run.convkit"]
    assert model.optimizer.iterations == 2 and model.history.stopped.startswith("OSError")
    model.fit(x, y, verbose=0)  # the weights are whole, and training can go on
    resumed(path, x, y)


# Processes.

SCRIPT = """
import os, pathlib, pickle, signal, sys
import numpy as np
import convkit as ck
from convkit.callbacks import *

kind, path, out, die = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
ck.set_seed(99 if path.exists() else 5)  # a file brings its own seed
(x, y), _ = ck.datasets.digits.load_data(28)
x, y = x[:600], y[:600]
model = ck.Sequential([
    ck.Input((28, 28, 1)), ck.layers.Rescaling(1 / 255),
    ck.layers.Conv2D(6, 5, padding="same", activation="tanh"), ck.layers.AveragePooling2D(2),
    ck.layers.Conv2D(16, 5, activation="tanh"), ck.layers.AveragePooling2D(2),
    ck.layers.Flatten(), ck.layers.Dense(120, "tanh"), ck.layers.Dropout(0.4),
    ck.layers.Dense(84, "tanh"), ck.layers.Dropout(0.2), ck.layers.Dense(10, "softmax"),
])
callbacks = [
    EarlyStopping("val_loss", patience=3, restore_best_weights=True),
    ModelCheckpoint(path, save_freq=3),
]
if kind == "adam":
    optimizer = ck.optimizers.Adam(2e-3)
    callbacks.insert(1, ReduceLROnPlateau("val_loss", 0.5, patience=0, min_delta=0.2))
else:
    schedule = ck.schedules.ExponentialDecay(0.05, 20, 0.9)
    optimizer = ck.optimizers.SGD(schedule, momentum=0.9)

class Die(Callback):
    left = die
    batch_interval = 1 if die else None
    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
history = model.fit(
    x, y, batch_size=32, epochs=8, validation_split=0.2, verbose=0, resume=path,
    callbacks=[*callbacks, Die()],
)
outcome = {
    "weights": model.get_weights(), "slots": np.array(model.store.slots),
    "history": history.history, "epoch": history.epoch, "stopped": history.stopped,
    "callbacks": [c.get_state() for c in callbacks[:-1]],
    "steps": model.optimizer.iterations,
}
with open(out, "wb") as file:
    pickle.dump(outcome, file)
"""


def start(kind, path, out, die=0):
    return subprocess.Popen([sys.executable, "-c", SCRIPT, kind, path, out, str(die)])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adam", "momentum"])
def test_a_run_that_is_killed_again_and_again(kind, tmp_path):
    """Ten times by signal 9 after a random step, ten times at a random moment."""
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    assert start(kind, tmp_path / "a.convkit", whole).wait() == 0
    expected = pickle.loads(whole.read_bytes())
    assert len(expected["epoch"]) > 3
    rng = np.random.default_rng(0)
    path = tmp_path / "b.convkit"
    for _ in range(10):
        assert start(kind, path, pieces, rng.integers(4, 12)).wait() == -signal.SIGKILL
    assert json.loads(zipfile.ZipFile(path).read("training.json"))["state"]["steps"] >= 30
    for _ in range(10):
        process = start(kind, path, pieces)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(rng.uniform(0.2, 0.8))
        process.kill()
        process.wait()
    assert start(kind, path, pieces).wait() == 0
    assert_same(pickle.loads(pieces.read_bytes()), expected)


@pytest.mark.slow
def test_a_file_is_whole_whenever_its_writer_is_killed(tmp_path):
    path = tmp_path / "run.convkit"
    rng = np.random.default_rng(0)
    assert start("adam", path, tmp_path / "out", 4).wait() == -signal.SIGKILL
    writer = (
        "import sys, convkit as ck\n"
        "from convkit.saving import files\n"
        "members = files.read_archive(sys.argv[1])\n"
        "print('ready', flush=True)\n"
        "while True: files.write_archive(sys.argv[1], members)\n"
    )
    for _ in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", writer, path], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.0, 0.1))
        process.kill()
        process.wait()
        process.stdout.close()
        assert "training.json" in read_archive(path)
