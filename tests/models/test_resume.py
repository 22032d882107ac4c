"""fit(resume=...): an interrupted run ends with the same bits as if it had not been interrupted."""

import json
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
    ModelCheckpoint,
    ReduceLROnPlateau,
    TimeLimit,
)
from convkit.optimizers.names import NAMES
from models.conftest import blobs, classifier, convnet, images
from models.resuming import Crash, assert_same, outcome

LOSS = "sparse_categorical_crossentropy"


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


def full_batch():
    """An epoch is one step over all the data, and the optimizer has a state of its own."""
    model = classifier(optimizer=ck.optimizers.LBFGS(), regularizer=ck.regularizers.L2(1e-3))
    return model, blobs(44), {"epochs": 10, "validation_split": 0.25}


MODELS = [full_batch, dense, normalised, stateful, convolutional, partial_epochs]


def deciding(model):
    """Callbacks with a state, for a run of a few epochs."""
    callbacks = [EarlyStopping("val_loss", patience=2, restore_best_weights=True)]
    if not callable(model.optimizer.learning_rate):
        callbacks.append(ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=0.05))
    return callbacks


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


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_optimizer_goes_on(name, tmp_path):
    x, y = blobs(40)

    def run(path, crash=0):
        ck.set_seed(5)
        regression = name in ("levenberg_marquardt", "lm")
        model = classifier(optimizer=name, loss="mse" if regression else LOSS)
        callbacks = [ModelCheckpoint(path, save_freq=2)] + [Crash(crash)] * bool(crash)
        targets = np.eye(3, dtype="float32")[y] if regression else y
        model.fit(x, targets, batch_size=8, epochs=6, callbacks=callbacks, verbose=0, resume=path)
        return outcome(model, [])

    expected = run(tmp_path / "whole")
    with pytest.raises(RuntimeError, match="crash"):
        run(tmp_path / "part", 4)
    assert_same(run(tmp_path / "part"), expected)


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
        model.fit(x, y, 40, epochs=2, verbose=0, callbacks=callbacks, resume=path)
        return model.history, limit

    history, limit = run(1e-9)
    assert history.stopped == "TimeLimit: the time of 1e-09 s is used up"
    assert len(history.epoch) == 1 and not history.complete
    used = json.loads(zipfile.ZipFile(path).read("training.json"))["state"]["callbacks"][0]["state"]
    assert 0 < used["seconds"] < limit.elapsed
    history, limit = run(1e-9)
    assert len(history.epoch) == 1 and history.stopped.startswith("TimeLimit")
    history, limit = run(1e9)
    assert history.epoch == [0, 1] and history.complete and limit.elapsed > used["seconds"]


def test_a_higher_time_limit_goes_on_to_the_same_bits(tmp_path):
    x, y = blobs(80)

    def run(name, after):
        limit = TimeLimit(1e9)

        class UseUp(Callback):
            def on_train_batch_end(self, batch, logs=None):
                if self.model.optimizer.iterations == after:
                    limit.seconds = 0

        ck.set_seed(5)
        model = classifier()
        callbacks = [UseUp(), limit, ModelCheckpoint(tmp_path / name, save_freq=3)]
        model.fit(
            x, y, batch_size=8, epochs=3, validation_split=0.1, callbacks=callbacks, verbose=0,
            resume=tmp_path / name,
        )  # fmt: skip
        return outcome(model, [])

    expected = run("whole", -1)
    for after, epochs in ((3, 0), (5, 0), (9, 1), (12, 1), (26, 2), (27, 3)):
        path = f"{after}"
        assert len(run(path, after)["epoch"]) == epochs
        assert_same(run(path, -1), expected)


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
