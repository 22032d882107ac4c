"""What a resumed run takes over beside the weights, and what it says."""

import numpy as np
import pytest

import convkit as ck
from convkit.callbacks import Callback, LearningRateScheduler, ModelCheckpoint
from models.conftest import blobs, classifier
from models.resuming import Crash, assert_same, outcome


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
