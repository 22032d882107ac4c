"""Files to resume from: those of other runs, those that are none, full disks, killed writers."""

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
from convkit.callbacks import EarlyStopping, ModelCheckpoint
from convkit.saving.files import read_archive, write_archive
from models.conftest import blobs, classifier
from models.resuming import assert_same

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
        ({"class_weight": {0: 2.0}}, "training data: sum of weights is None, here it is"),
        ({"sample_weight": np.ones(40)}, "sum of weights is None, here it is 40.0"),
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


def test_arguments_of_callbacks_may_change(tmp_path):
    x, y, path = saved(tmp_path)
    callbacks = [EarlyStopping("loss", patience=7), ModelCheckpoint(path)]
    with pytest.warns(UserWarning, match="EarlyStopping: patience was 0, is 7; from here on"):
        resumed(path, x, y, callbacks=callbacks)


def test_a_checkpoint_is_a_model_too(tmp_path):
    x, y = blobs(40)
    path = tmp_path / "run.convkit"
    model = classifier()
    model.fit(x, y, epochs=2, callbacks=[ModelCheckpoint(path)], verbose=0)
    loaded = ck.load_model(path)
    assert np.array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert loaded.optimizer.iterations == 4
    for m in (model, loaded):  # the optimizer's state is there too
        m.fit(x, y, epochs=3, initial_epoch=2, verbose=0)
    assert_same(loaded.get_weights(), model.get_weights())


def test_a_model_that_no_file_can_hold_is_resumed_all_the_same(tmp_path):
    x, y = blobs(40)

    def make():
        ck.set_seed(5)
        return classifier(optimizer=ck.optimizers.SGD(lambda step: 0.1 / (step + 1), momentum=0.9))

    whole = make()
    whole.fit(x, y, epochs=4, verbose=0)
    path = tmp_path / "run.convkit"
    for epochs in (2, 4):
        model = make()
        model.fit(x, y, epochs=epochs, callbacks=[ModelCheckpoint(path)], verbose=0, resume=path)
    assert_same(model.get_weights(), whole.get_weights())
    with pytest.raises(ValueError, match="not the file of a model"):
        ck.load_model(path)


def test_schedules_must_be_the_same(tmp_path):
    def optimizer(rate=0.1):
        return ck.optimizers.SGD(ck.schedules.ExponentialDecay(rate, 5, 0.9))

    x, y, path = saved(tmp_path, optimizer=optimizer())
    for other in (optimizer(0.2), ck.optimizers.SGD(0.1)):
        with pytest.raises(ValueError, match="learning rate"):
            resumed(path, x, y, model=classifier(optimizer=other))
    resumed(path, x, y, model=classifier(optimizer=optimizer()))
    x, y, path = saved(tmp_path, optimizer=ck.optimizers.SGD(0.1))
    with pytest.warns(UserWarning, match="goes on with its learning rate 0.1, not the schedule"):
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
    other = tmp_path / "other.convkit"
    members = read_archive(path)
    training = members["training.json"]
    for changed, message in (
        ({**training, "format": 99}, "format 99"),
        ({"format": 1}, r"other\.convkit is damaged"),
        ({**training, "state": {}}, r"other\.convkit is damaged"),
        ({**training, "what": {"model": {"weights": [["no", [], True]]}}}, "is damaged"),
    ):
        write_archive(other, {**members, "training.json": changed})
        with pytest.raises(ValueError, match=message):
            resumed(other, x, y)
    state, what = training["state"], training["what"]
    one, *rest = state["callbacks"]
    for changed in (
        {"state": {**state, "epoch": "1"}},
        {"state": {**state, "part": 3}},
        {"state": {**state, "optimizer": {**state["optimizer"], "iterations": [1]}}},
        {"state": {**state, "optimizer": {**state["optimizer"], "learning_rate": "fast"}}},
        {"state": {**state, "callbacks": 3}},
        {"state": {**state, "callbacks": [{**one, "arguments": 3}, *rest]}},
        {"state": {**state, "callbacks": [{**one, "state": {}}, *rest]}},
        {"state": {**state, "feed": {"position": "x", "pass": 1}}},
        {"state": {**state, "trainable": {"layers": [True], "weights": []}}},
        {"state": {**state, "optimizer": {**state["optimizer"], "momentum": "much"}}},
        {"what": {name: value for name, value in what.items() if name != "metrics"}},
        {"what": {**what, "model": {**what["model"], "layers": None}}},
    ):
        write_archive(other, {**members, "training.json": {**training, **changed}})
        callbacks = [EarlyStopping("loss"), ModelCheckpoint(path)]
        with pytest.raises(ValueError, match=r"other\.convkit is damaged"):
            resumed(other, x, y, callbacks=callbacks)
    arrays = {name: array[..., :-1] for name, array in members["optimizer.safetensors"].items()}
    write_archive(other, {**members, "optimizer.safetensors": arrays})
    with pytest.raises(ValueError, match="do not have the stated shapes"):
        resumed(other, x, y)


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


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.7, 0.9])
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
