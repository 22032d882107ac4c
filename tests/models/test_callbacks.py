"""Callbacks: which hooks are called, with what, and what they can do."""

import sys
import types

import numpy as np
import pytest

import convkit as ck
from convkit.callbacks import (
    Callback,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TensorBoard,
)
from models.conftest import blobs, classifier


class Recorder(Callback):
    """Notes every hook's name."""

    def __init__(self, batches=True):
        super().__init__()
        self.calls = []
        for name in dir(Callback):
            if name.startswith("on_") and (batches or "batch" not in name):
                setattr(self, name, lambda *a, name=name: self.calls.append((name, *a)))


def test_hooks_in_order():
    x, y = blobs(20)
    recorder = Recorder()
    classifier().fit(
        x, y, batch_size=8, validation_split=0.2, callbacks=[recorder], verbose=0, shuffle=False
    )
    names = [call[0] for call in recorder.calls]
    batch = ["on_train_batch_begin", "on_train_batch_end"]
    assert names == [
        "on_train_begin", "on_epoch_begin", *batch, *batch, "on_test_begin",
        "on_test_batch_begin", "on_test_batch_end", "on_test_end", "on_epoch_end", "on_train_end",
    ]  # fmt: skip
    assert [c[1] for c in recorder.calls if c[0] == "on_train_batch_end"] == [0, 1]
    assert recorder.params == {"verbose": 0, "epochs": 1, "steps": 2, "parts": ["val_"]}
    end = next(c for c in recorder.calls if c[0] == "on_epoch_end")
    assert end[1] == 0 and set(end[2]) == {"loss", "accuracy", "val_loss", "val_accuracy"}


def test_evaluate_and_predict_have_hooks():
    x, y = blobs(20)
    recorder = Recorder()
    model = classifier()
    model.evaluate(x, y, callbacks=[recorder], verbose=0)
    model.predict(x, callbacks=recorder, verbose=0)
    names = [call[0] for call in recorder.calls]
    assert names[:4] == [
        "on_test_begin", "on_test_batch_begin", "on_test_batch_end", "on_test_end"
    ]  # fmt: skip
    assert names[4:] == [
        "on_predict_begin", "on_predict_batch_begin", "on_predict_batch_end", "on_predict_end"
    ]  # fmt: skip


def test_hooks_of_batches_do_not_change_the_result():
    x, y = blobs(50)
    a, b = classifier(), classifier()
    b.set_weights(a.get_weights())
    ha = a.fit(x, y, epochs=3, batch_size=8, verbose=0)
    hb = b.fit(x, y, epochs=3, batch_size=8, verbose=0, callbacks=[Recorder()])
    assert all(np.array_equal(p, q) for p, q in zip(a.get_weights(), b.get_weights(), strict=True))
    for key, values in ha.history.items():  # summed in other chunks
        assert values == pytest.approx(hb.history[key], rel=1e-12)


def test_old_names_of_batch_hooks():
    seen = []

    class Old(Callback):
        def on_batch_end(self, batch, logs=None):
            seen.append((batch, sorted(logs)))

    x, y = blobs(20)
    classifier().fit(x, y, batch_size=10, callbacks=Old(), verbose=0)
    assert seen == [(0, ["accuracy", "loss"]), (1, ["accuracy", "loss"])]


def test_stop_training_within_and_after_an_epoch():
    x, y = blobs(40)

    class Stop(Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    model = classifier()
    h = model.fit(x, y, epochs=9, batch_size=8, callbacks=[Stop()], verbose=0)
    assert h.epoch == [0] and model.optimizer.iterations == 2

    class StopEpoch(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = epoch == 2

    assert model.fit(x, y, epochs=9, callbacks=[StopEpoch()], verbose=0).epoch == [0, 1, 2]


def replay(stopper, values, monitor="val_loss"):
    """Feed a list of values; returns the epoch where it stops, or None."""

    class Model:
        stop_training = False
        weights = -1

        def get_weights(self):
            return self.weights

        def set_weights(self, weights):
            self.restored = weights

    model = Model()
    stopper.set_model(model)
    stopper.on_train_begin()
    stopped = None
    for epoch, value in enumerate(values):
        model.weights = epoch
        stopper.on_epoch_end(epoch, {monitor: value})
        if model.stop_training:
            stopped = epoch
            break
    stopper.on_train_end()
    return stopped, getattr(model, "restored", None)


@pytest.mark.parametrize(
    ("options", "values", "stops"),
    [
        ({}, [3, 2, 1, 1], 3),
        ({}, [3, 2, 1], None),
        ({"patience": 2}, [3, 2, 2.5, 2.1, 2.2], 3),
        ({"patience": 2}, [3, 2, 2.5, 1.9, 2.2], None),
        ({"min_delta": 0.5}, [3, 2, 1.8], 2),
        ({"mode": "max"}, [1, 2, 1.5], 2),
        ({"monitor": "val_accuracy"}, [0.5, 0.6, 0.6], 2),
        ({"baseline": 1.0, "patience": 2}, [3, 2, 1.5], None),
        ({"baseline": 1.0, "patience": 2}, [3, 2, 2.5], 2),
        ({"baseline": 1.0, "patience": 2}, [3, 2, 0.9, 1, 0.8], None),
        ({"start_from_epoch": 3}, [1, 2, 3, 4, 5], 4),
    ],
)
def test_early_stopping(options, values, stops):
    stopper = EarlyStopping(**options)
    assert replay(stopper, values, stopper.monitor)[0] == stops
    assert replay(stopper, values, stopper.monitor)[0] == stops  # usable again


def test_early_stopping_restores_the_best_weights():
    assert replay(EarlyStopping(patience=2, restore_best_weights=True), [3, 1, 2, 2]) == (3, 1)
    x, y = blobs(40)
    model = classifier(optimizer=ck.optimizers.SGD(0.5))
    model.fit(
        x, y, epochs=5, validation_split=0.5, verbose=0,
        callbacks=[EarlyStopping("val_loss", mode="max", restore_best_weights=True, patience=9)],
    )  # fmt: skip
    worst = max(model.history.history["val_loss"])
    assert model.evaluate(x[20:], y[20:], verbose=0)[0] == worst


def test_early_stopping_without_its_value():
    with pytest.warns(UserWarning, match="did you mean 'val_loss'"):
        replay(EarlyStopping("val_los"), [1, 2])
    with pytest.raises(ValueError, match="mode"):
        EarlyStopping(mode="lowest")


def test_lambda_callback_and_learning_rate_scheduler():
    x, y = blobs(20)
    rates = []
    model = classifier()
    model.fit(
        x, y, epochs=3, verbose=0,
        callbacks=[
            ck.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
            LambdaCallback(on_epoch_end=lambda *_: rates.append(model.optimizer.learning_rate)),
        ],
    )  # fmt: skip
    assert rates == [0.0005, 0.00025, 0.000125]
    nothing = LearningRateScheduler(lambda epoch: None)
    with pytest.raises(TypeError, match="the learning rate of epoch 0 must be a number, not None"):
        model.fit(x, y, verbose=0, callbacks=[nothing])
    with pytest.raises(TypeError, match="on_epoch_end"):
        LambdaCallback(on_epoch_ends=print)


def test_what_a_callback_adds_to_the_logs_is_in_the_history():
    x, y = blobs(20)
    schedule = LearningRateScheduler(lambda epoch: 0.1 / (epoch + 1))
    h = classifier().fit(x, y, epochs=3, verbose=0, callbacks=[schedule]).history
    assert h["learning_rate"] == [0.1, 0.05, 0.1 / 3]


@pytest.mark.parametrize("rate", [None, "fast", -0.1, np.nan, np.inf])
def test_a_schedule_returns_a_rate(rate):
    schedule = LearningRateScheduler(lambda epoch: rate)
    with pytest.raises(
        (TypeError, ValueError),
        match=r"LearningRateScheduler: the learning rate of epoch 0|Adam: learning_rate is",
    ):
        classifier().fit(*blobs(20), callbacks=[schedule], verbose=0)
    with pytest.raises(TypeError, match=r"schedule must be a function .*, not 0\.1"):
        LearningRateScheduler(0.1)


@pytest.mark.parametrize(
    ("options", "values", "rates"),
    [
        ({"patience": 2}, [3, 3, 3, 3, 3, 3], [1, 1, 1, 0.1, 0.1, 0.01]),
        ({"patience": 2}, [3, 3, 2, 2, 2, 1], [1, 1, 1, 1, 1, 0.1]),
        ({"patience": 1, "cooldown": 2}, [3, 3, 3, 3, 3, 3], [1, 1, 0.1, 0.1, 0.01, 0.01]),
        ({"patience": 1, "min_lr": 0.05}, [3, 3, 3, 3], [1, 1, 0.1, 0.05]),
        ({"patience": 1, "factor": 0.5}, [1, 1, 1], [1, 1, 0.5]),
        ({"patience": 1, "min_delta": 0.5}, [3, 2.6, 2.2], [1, 1, 0.1]),
        ({"patience": 1, "mode": "max"}, [3, 4, 3, 3], [1, 1, 1, 0.1]),
        ({"patience": 0}, [3, 3, 2, 3], [1, 1, 0.1, 0.1]),
    ],
)
def test_reduce_on_plateau(options, values, rates):
    """The rates with which each epoch runs, as Keras's callback of the same arguments sets them."""
    x, y = blobs(20)
    seen, given = [], iter(values)

    class Replace(Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(self.model.optimizer.learning_rate)

        def on_epoch_end(self, epoch, logs=None):
            logs["val_loss"] = next(given)

    callbacks = [Replace(), ReduceLROnPlateau(**options)]
    model = classifier(optimizer=ck.optimizers.SGD(1.0))
    h = model.fit(x, y, epochs=len(values), verbose=0, callbacks=callbacks).history
    assert seen == pytest.approx(rates)
    assert h["learning_rate"] == seen


def test_reduce_on_plateau_needs_a_number():
    x, y = blobs(20)
    schedule = ck.schedules.ExponentialDecay(0.1, 5, 0.9)
    model = classifier(optimizer=ck.optimizers.SGD(schedule))
    with pytest.raises(TypeError, match="give the optimizer a number"):
        model.fit(x, y, callbacks=[ReduceLROnPlateau("loss")], verbose=0)


def test_model_checkpoint_after_each_epoch(tmp_path):
    x, y = blobs(20)
    pattern = tmp_path / "{epoch:02d}-{val_loss:.3f}.convkit"
    h = classifier().fit(
        x, y, epochs=3, validation_split=0.5, verbose=0, callbacks=[ModelCheckpoint(pattern)]
    )
    names = [f"{k + 1:02d}-{v:.3f}.convkit" for k, v in enumerate(h.history["val_loss"])]
    assert sorted(p.name for p in tmp_path.iterdir()) == names


def test_model_checkpoint_keeps_the_best_and_the_last(tmp_path, capsys):
    x, y = blobs(20)
    values = iter([3.0, 2.0, 2.5, 1.0, 0.5])
    replace = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(val_loss=next(values)))
    best = ModelCheckpoint(
        tmp_path / "best-{epoch}", save_best_only=True, initial_value_threshold=2.5, verbose=1
    )
    last = ModelCheckpoint(tmp_path / "last-{epoch}", keep=2)
    classifier().fit(x, y, epochs=5, verbose=0, callbacks=[replace, best, last])
    names = ["best-2", "best-4", "best-5", "last-4", "last-5"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    assert best.best == 0.5
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "Epoch 1: val_loss did not improve from 2.50000"
    assert said[1] == f"Epoch 2: saved {tmp_path / 'best-2'}"


def test_model_checkpoint_of_weights(tmp_path):
    x, y = blobs(20)
    model = classifier()
    path = tmp_path / "{epoch}.npz"
    model.fit(x, y, epochs=2, verbose=0, callbacks=[ModelCheckpoint(path, save_weights_only=True)])
    other = classifier()
    other.load_weights(tmp_path / "2.npz")
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        assert np.array_equal(a, b)
    first = np.load(tmp_path / "1.npz")
    assert not np.array_equal(first["hidden.kernel"], model.get_weights()[0])


def test_model_checkpoint_refuses(tmp_path):
    x, y = blobs(20)
    with pytest.raises(ValueError, match=r"convkit's own: a\.convkit"):
        ModelCheckpoint("a.keras")
    with pytest.raises(ValueError, match="save_freq must be 'epoch'"):
        ModelCheckpoint("a", save_freq="batch")
    for wrong in ({"save_freq": 0}, {"keep": 0}, {"mode": "best"}):
        with pytest.raises(ValueError, match="ModelCheckpoint"):
            ModelCheckpoint("a", **wrong)
    for pattern, message in (
        ("{val_los}", "field 'val_los' .*did you mean 'val_loss'"),
        ("{loss:d}", "filepath"),
    ):
        with pytest.raises(ValueError, match=message):
            classifier().fit(
                x, y, validation_split=0.5, verbose=0,
                callbacks=[ModelCheckpoint(tmp_path / pattern)],
            )  # fmt: skip
    with pytest.raises(FileNotFoundError, match="nowhere"):
        classifier().fit(x, y, verbose=0, callbacks=[ModelCheckpoint(tmp_path / "nowhere" / "a")])
    with pytest.warns(UserWarning, match="ModelCheckpoint: 'val_loss' is not in the logs"):
        classifier().fit(
            x, y, verbose=0, callbacks=[ModelCheckpoint(tmp_path / "a", save_best_only=True)]
        )
    assert not list(tmp_path.iterdir())


class Writer:
    """What TensorBoard needs of tensorboardX."""

    written = []

    def __init__(self, folder):
        self.folder = folder

    def add_scalar(self, tag, value, step):
        self.written.append((self.folder.rpartition("/")[2], tag, step, value))

    def add_histogram(self, tag, values, step):
        self.written.append((self.folder.rpartition("/")[2], tag, step, len(values)))

    def flush(self):
        pass

    def close(self):
        self.written.append("closed")


def test_tensorboard(tmp_path, monkeypatch):
    written = Writer.written = []
    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    x, y = blobs(40)
    board = TensorBoard(tmp_path, histogram_freq=2, update_freq=2, write_steps_per_second=True)
    h = classifier().fit(
        x, y, batch_size=8, epochs=2, verbose=0, callbacks=[board],
        validation_data=(x, y), test_data=(x[:20], y[:20]),
    ).history  # fmt: skip
    scalars = {(part, tag, step): value for part, tag, step, value in filter(is_value, written)}
    for part, prefix in (("train", ""), ("validation", "val_"), ("test", "test_")):
        for name in ("loss", "accuracy"):
            for epoch in (0, 1):
                value = scalars.pop((part, f"epoch_{name}", epoch))
                assert value == h[f"{prefix}{name}"][epoch]
    steps = sorted(step for _, tag, step in scalars if tag == "batch_loss")
    assert steps == [1, 3, 5, 7, 9]
    assert scalars["train", "batch_loss", 9] == h["loss"][1]  # the mean of a whole epoch
    assert scalars["train", "epoch_steps_per_second", 1] > 0
    histograms = {key: n for key, n in scalars.items() if key[1].startswith(("hidden", "out"))}
    assert histograms == {
        ("train", "hidden/kernel", 0): 32, ("train", "hidden/bias", 0): 8,
        ("train", "out/kernel", 0): 24, ("train", "out/bias", 0): 3,
    }  # fmt: skip
    assert written.count("closed") == 3


def is_value(entry):
    return entry != "closed"


def test_values_of_each_class(tmp_path, monkeypatch):
    """A metric that has one for each class can be written, and not monitored."""
    written = Writer.written = []
    monkeypatch.setitem(sys.modules, "tensorboardX", types.SimpleNamespace(SummaryWriter=Writer))
    x, y = blobs(40)
    classes = LambdaCallback(on_epoch_end=lambda epoch, logs: logs.update(recall=[0.5, 0.25]))
    h = classifier().fit(x, y, verbose=0, callbacks=[classes, TensorBoard(tmp_path)]).history
    assert h["recall"] == [[0.5, 0.25]]
    assert ("train", "epoch_recall/1", 0, 0.25) in written
    with pytest.raises(TypeError, match="only a number can be better"):
        classifier().fit(x, y, verbose=0, callbacks=[classes, EarlyStopping("recall")])


def test_tensorboard_refuses(monkeypatch):
    for wrong in ({"write_graph": True}, {"profile_batch": 2}, {"embeddings_freq": 1}):
        with pytest.raises(TypeError, match="not supported"):
            TensorBoard(**wrong)
    with pytest.raises(ValueError, match="update_freq"):
        TensorBoard(update_freq="step")
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    x, y = blobs(8)
    with pytest.raises(ImportError, match=r"convkit\[tensorboard\]"):
        classifier().fit(x, y, verbose=0, callbacks=[TensorBoard()])


def test_tensorboard_writes_event_files(tmp_path):
    pytest.importorskip("tensorboardX")
    x, y = blobs(20)
    classifier().fit(
        x, y, epochs=2, validation_split=0.5, verbose=0,
        callbacks=[TensorBoard(tmp_path, histogram_freq=1)],
    )  # fmt: skip
    for part in ("train", "validation"):
        (file,) = (tmp_path / part).iterdir()
        assert b"epoch_loss" in file.read_bytes()


def test_callbacks_that_are_not_supported():
    for name in ("ProgbarLogger", "RemoteMonitor"):
        with pytest.raises(AttributeError, match=f"{name} is not supported: "):
            getattr(ck.callbacks, name)
    with pytest.raises(AttributeError, match="did you mean 'EarlyStopping'"):
        _ = ck.callbacks.EarlyStoping


def test_what_is_no_callback():
    x, y = blobs(8)
    for wrong in (print, EarlyStopping):
        with pytest.raises(TypeError, match="not a callback"):
            classifier().fit(x, y, callbacks=[wrong], verbose=0)


@pytest.mark.parametrize("verb", ["fit", "evaluate", "predict"])
def test_layers_cannot_change_while_the_model_runs(verb):
    model = classifier()
    hook = {"fit": "train", "evaluate": "test", "predict": "predict"}[verb]

    def change(batch, logs=None):
        with pytest.raises(RuntimeError, match=rf"\[{verb}\] the layers of a model cannot change"):
            model.pop()
        model.add(ck.layers.Dense(2))

    x, y = blobs(16)
    callback = ck.callbacks.LambdaCallback(**{f"on_{hook}_batch_end": change})
    data = (x,) if verb == "predict" else (x, y)
    with pytest.raises(RuntimeError, match=rf"\[{verb}\] the layers of a model cannot change"):
        getattr(model, verb)(*data, callbacks=[callback], verbose=0)
    model.add(ck.layers.Dense(2))  # afterwards it may
    assert model.output_shape == (None, 2)
