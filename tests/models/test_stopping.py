"""Why training ends: convergence, goals, time, NaN, the user; and what is said of it."""

import itertools
import math
import signal

import numpy as np
import pytest

import convkit as ck
from convkit.callbacks import (
    Callback,
    Convergence,
    EarlyStopping,
    ReduceLROnPlateau,
    StopAt,
    TerminateOnNaN,
    TimeLimit,
)
from models.conftest import blobs, classifier


class Watch(Callback):
    """Keeps the gradient, the weights and the loss of each epoch."""

    def __init__(self):
        super().__init__()
        self.gradient, self.weights, self.loss = [], [], []

    def on_epoch_end(self, epoch, logs=None):
        store = self.model.store
        trained = self.model.trainable_weights
        self.gradient.append(np.concatenate([store.gradient(p).ravel() for p in trained]))
        self.weights.append(np.concatenate([p.numpy().ravel() for p in trained]))
        self.loss.append(np.array([logs["loss"]]))


@pytest.mark.parametrize("norm", [2, np.inf])
@pytest.mark.parametrize("on", ["gradient", "loss", "weights"])
def test_convergence_compares_one_epoch_with_the_one_before(on, norm):
    x, y = blobs(60)
    model = classifier(optimizer=ck.optimizers.SGD(0.2))
    model.get_layer("hidden").trainable = False  # its gradients do not count
    watch, never = Watch(), Convergence(0.0, on=on, norm=norm)
    start = model.get_weights()
    model.fit(x, y, batch_size=60, epochs=30, shuffle=False, verbose=0, callbacks=[watch, never])
    values = getattr(watch, on)
    assert len(values) == 30
    changes = [np.linalg.norm(b.astype(float) - a, norm) for a, b in itertools.pairwise(values)]
    assert never.change == pytest.approx(changes[-1], rel=1e-6)
    assert min(changes) > 0
    for k in (0, 7, 20):  # a threshold that this change is the first to be under
        assert changes[k] == min(changes[: k + 1])
        model.set_weights(start)
        stop = Convergence(changes[k] * (1 + 1e-6), on=on, norm=norm)
        model.fit(x, y, batch_size=60, epochs=30, shuffle=False, verbose=0, callbacks=[stop])
        assert model.history.epoch[-1] == k + 1
        assert model.history.stopped.startswith(f"Convergence: the {on} changed by ")


def test_convergence_of_an_optimizer_that_takes_all_the_data():
    x, y = blobs(60)
    model = classifier(optimizer="lbfgs")
    watch, never = Watch(), Convergence(0.0, norm=2)
    norms = model.fit(
        x, y, batch_size=7, epochs=6, verbose=0, callbacks=[watch, never]
    ).history["gradient_norm"]  # fmt: skip
    assert [np.linalg.norm(g) for g in watch.gradient] == pytest.approx(norms, rel=1e-5)
    change = np.linalg.norm(watch.gradient[-1].astype(float) - watch.gradient[-2])
    assert never.change == pytest.approx(change, rel=1e-6) and change > 0


def test_convergence_with_patience():
    x, y = blobs(60)
    model = classifier()
    model.fit(x, y, epochs=9, verbose=0, callbacks=[Convergence(1e9, patience=3)])
    assert model.history.epoch == [0, 1, 2, 3]
    model.fit(x, y, epochs=9, verbose=0, callbacks=[Convergence(1e9)])
    assert model.history.epoch == [0, 1]
    model.fit(x, y, epochs=3, verbose=0, callbacks=[Convergence(0.0)])
    assert model.history.stopped == "all 3 epochs done" and model.history.complete


def test_the_gradient_of_one_step_over_all_data_is_that_of_the_loss():
    """So that Convergence(on="gradient") is about the loss where an epoch is one step."""
    x, y = blobs(50)
    model = ck.Sequential([ck.Input((4,)), ck.layers.Dense(3, "softmax")])
    model.compile(ck.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    w, b = (a.astype(float) for a in model.get_weights())
    watch = Watch()
    model.fit(x, y, batch_size=50, epochs=1, verbose=0, callbacks=[watch])
    logits = x @ w + b
    p = np.exp(logits - logits.max(1, keepdims=True))
    g = (p / p.sum(1, keepdims=True) - np.eye(3)[y]) / 50
    expected = np.concatenate([(x.T @ g).ravel(), g.sum(0)])
    np.testing.assert_allclose(watch.gradient[0], expected, rtol=1e-4, atol=1e-6)


def test_stop_at_a_goal():
    x, y = blobs(100)
    model = classifier()
    goal = StopAt("val_accuracy", 0.9)
    h = model.fit(x, y, epochs=200, validation_split=0.3, verbose=0, callbacks=[goal]).history
    assert h["val_accuracy"][-1] >= 0.9 and max(h["val_accuracy"][:-1]) < 0.9
    assert model.history.stopped.startswith("StopAt: val_accuracy is 0.9")
    model = classifier()
    losses = model.fit(x, y, epochs=9, verbose=0).history["loss"]
    for goal in (losses[5], math.nextafter(losses[5], 9)):
        ck.set_seed(7)
        model = classifier()
        model.fit(x, y, epochs=9, verbose=0, callbacks=[StopAt("loss", goal)])
        assert len(model.history.epoch) == 6


def test_time_limit_within_an_epoch():
    x, y = blobs(4000)
    model = classifier()

    class Slow(Callback):
        def on_train_batch_end(self, batch, logs=None):
            limit.seconds = 0 if batch == 3 else 1e9

    limit = TimeLimit(1e9)
    model.fit(x, y, batch_size=1, epochs=5, verbose=0, callbacks=[Slow(), limit])
    assert model.optimizer.iterations == 4 and model.history.epoch == []
    assert model.history.stopped == "TimeLimit: the time of 0 s is used up"
    assert not model.history.complete


def test_of_several_reasons_the_lasting_one_counts():
    x, y = blobs(40)

    class Stop(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.stop("enough")

    for callbacks in ([Stop(), TimeLimit(0)], [TimeLimit(0), Stop()]):
        history = classifier().fit(x, y, 40, epochs=3, callbacks=callbacks, verbose=0)
        assert history.stopped == "Stop: enough" and history.complete
        assert history.epoch == [0]


def test_time_limit_stops_a_native_run(monkeypatch):
    from convkit.models import loop

    monkeypatch.setattr(loop, "TIME_LIMIT", 1e-9)  # a run of one step
    x, y = blobs(640)
    model = classifier()
    model.fit(x, y, batch_size=1, epochs=5, verbose=0, callbacks=[TimeLimit(0)])
    assert model.optimizer.iterations == 1


def test_terminate_on_nan_ends_in_order():
    x, y = blobs(64)
    x[40] = np.nan
    ended = []

    class End(Callback):
        def on_train_end(self, logs=None):
            ended.append(self.model.optimizer.iterations)

    def fit(*callbacks):
        ck.set_seed(7)
        model = classifier()
        model.fit(
            x, y, batch_size=8, epochs=3, shuffle=False, verbose=0, callbacks=[*callbacks, End()]
        )
        return model

    model = fit(TerminateOnNaN())
    assert ended == [5] and all(np.isfinite(w).all() for w in model.get_weights())
    assert model.history.stopped.startswith("TerminateOnNaN: the loss or a gradient became NaN")
    assert "epoch 1, batch 6" in model.history.stopped and "x[40]" in model.history.stopped
    assert model.history.epoch == [] and model.history.complete
    ck.set_seed(7)
    other = classifier()
    with pytest.raises(ck.errors.NonFiniteError):
        other.fit(x, y, batch_size=8, epochs=3, shuffle=False, verbose=0)
    assert other.history.stopped.startswith("NonFiniteError: ") and not other.history.complete
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_what_history_says():
    x, y = blobs(40)
    model = classifier()
    assert model.fit(x, y, epochs=2, verbose=0).stopped == "all 2 epochs done"

    class Flag(Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = True

    assert "stop_training was set" in model.fit(x, y, verbose=0, callbacks=[Flag()]).stopped
    early = EarlyStopping("loss", min_delta=9.0, patience=2)
    history = model.fit(x, y, epochs=9, verbose=0, callbacks=[early])
    best = history.history["loss"][0]
    assert history.stopped == (f"EarlyStopping: loss has not improved on {best:.6g} for 2 epochs")
    assert history.epoch == [0, 1, 2]

    def once():
        for begin in range(0, 40, 8):
            yield x[begin : begin + 8], y[begin : begin + 8]

    with pytest.warns(UserWarning, match="ran out"):
        history = model.fit(once(), epochs=3, verbose=0)
    assert history.stopped == "the data ran out in epoch 1 of 3"


def test_interrupted_by_the_user():
    x, y = blobs(64)
    model = classifier()

    class Interrupt(Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.optimizer.iterations == 11:
                signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        model.fit(x, y, batch_size=8, epochs=3, verbose=0, callbacks=[Interrupt()])
    assert model.history.stopped == "interrupted in epoch 2, after 3 of its steps"
    assert model.history.epoch == [0] and not model.history.complete


def test_a_signal_within_a_run_loses_no_hook():
    """The steps of a run that a signal ends are told to the callbacks before it is raised."""
    x, y = blobs(64)
    seen = []

    class Look(Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 2:
                signal.raise_signal(signal.SIGALRM)  # not handled before the run polls

        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)

    def alarm(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, alarm)
    try:
        with pytest.raises(TimeoutError):
            model = classifier()
            model.fit(x, y, batch_size=8, verbose=0, callbacks=[Look()])
    finally:
        signal.signal(signal.SIGALRM, before)
    assert seen == list(range(model.optimizer.iterations))
    assert model.history.stopped.startswith("TimeoutError")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping("test_loss"), "monitor 'val_loss'"),
        (lambda: StopAt("test_accuracy", 0.9), "monitor 'val_accuracy'"),
        (lambda: ReduceLROnPlateau("test_loss"), "data for testing"),
        (lambda: ck.callbacks.ModelCheckpoint("x", monitor="test_loss"), "data for testing"),
        (lambda: EarlyStopping(patience=-1), "patience is -1"),
        (lambda: EarlyStopping(patience=1.5), "whole number"),
        (lambda: EarlyStopping(start_from_epoch=-1), "start_from_epoch is -1"),
        (lambda: EarlyStopping(mode="mni"), "did you mean 'min'"),
        (lambda: EarlyStopping(monitor=3), "key of the logs"),
        (lambda: Convergence(-1), "threshold is -1"),
        (lambda: Convergence("a"), "threshold must be a number"),
        (lambda: Convergence(1, on="weight"), "did you mean 'weights'"),
        (lambda: Convergence(1, norm=1), "norm must be 2 or inf"),
        (lambda: Convergence(1, patience=0), "patience is 0"),
        (lambda: TimeLimit(-1), "seconds is -1"),
        (lambda: TimeLimit(np.nan), "seconds is nan"),
        (lambda: StopAt("loss", None), "value must be a number"),
        (lambda: StopAt("loss", np.nan), "value is nan, expected a finite number"),
        (lambda: ReduceLROnPlateau(factor=1.0), "factor is 1.0"),
        (lambda: ReduceLROnPlateau(cooldown=-1), "cooldown is -1"),
        (lambda: ReduceLROnPlateau(min_lr=-1), "min_lr is -1"),
    ],
)
def test_arguments_are_checked(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()
