"""fit, evaluate, predict: what is computed, reported and called."""

import contextlib
import io
import signal

import numpy as np
import pytest

import convkit as ck
from convkit.models.progress import Progress
from models.conftest import blobs, classifier, convnet, images


def same_weights(a, b):
    return all(np.array_equal(p, q) for p, q in zip(a.get_weights(), b.get_weights(), strict=True))


def test_learns_and_reports():
    x, y = blobs(200)
    model = classifier()
    history = model.fit(x, y, epochs=60, batch_size=16, validation_split=0.25, verbose=0)
    assert list(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert history.epoch == list(range(60)) and model.history is history
    assert history.params == {"verbose": 0, "epochs": 60, "steps": 10, "parts": ["val_"]}
    assert all(len(v) == 60 for v in history.history.values())
    assert history.history["loss"][-1] < 0.2 * history.history["loss"][0]
    assert history.history["val_accuracy"][-1] > 0.95
    loss, accuracy = model.evaluate(x[150:], y[150:], verbose=0)
    assert loss == history.history["val_loss"][-1]
    assert accuracy == history.history["val_accuracy"][-1]
    assert model.evaluate(x, y, verbose=0, return_dict=True).keys() == {"accuracy", "loss"}
    assert model.metrics_names == ["loss", "accuracy"]


def reference_logs(model, x, y, weight=None):
    p = np.asarray(model.predict(x, verbose=0), np.float64)
    losses = -np.log(p[np.arange(len(y)), y])
    losses = losses if weight is None else losses * weight
    return losses.sum() / len(y), (p.argmax(1) == y).mean()


@pytest.mark.parametrize("batch", [1, 7, 32, 100, 1000])
def test_evaluate_equals_the_definition_for_any_batch(batch):
    x, y = blobs(100)
    model = classifier()
    loss, accuracy = model.evaluate(x, y, batch_size=batch, verbose=0)
    want = reference_logs(model, x, y)
    assert loss == pytest.approx(want[0], rel=1e-5)
    assert accuracy == want[1]
    assert np.array_equal(
        model.predict(x, batch_size=batch, verbose=0), model.predict(x, batch_size=100, verbose=0)
    )


def test_one_sgd_step_equals_numpy():
    x, y = blobs(10)
    model = ck.Sequential([ck.Input((4,)), ck.layers.Dense(3, "softmax")])
    model.compile(ck.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
    w, b = (np.asarray(a, np.float64) for a in model.get_weights())
    loss = model.train_on_batch(x, y)
    logits = x @ w + b
    p = np.exp(logits - logits.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    assert loss == pytest.approx(-np.log(p[np.arange(10), y]).mean(), rel=1e-5)
    g = (p - np.eye(3)[y]) / 10
    new_w, new_b = model.get_weights()
    np.testing.assert_allclose(new_w, w - 0.5 * x.T @ g, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(new_b, b - 0.5 * g.sum(0), rtol=1e-4, atol=1e-6)


def test_sample_weights_scale_the_loss_and_divide_by_rows():
    x, y = blobs(50)
    weight = np.linspace(0, 2, 50)
    model = classifier(weighted_metrics=["accuracy", "sparse_categorical_crossentropy"])
    logs = model.evaluate(x, y, sample_weight=weight, verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(reference_logs(model, x, y, weight)[0], rel=1e-5)
    p = model.predict(x, verbose=0)
    right = p.argmax(1) == y
    assert logs["accuracy"] == right.mean()
    assert logs["weighted_accuracy"] == pytest.approx((right * weight).sum() / weight.sum())
    losses = -np.log(p[np.arange(50), y])
    want = (losses * weight).sum() / weight.sum()
    assert logs["sparse_categorical_crossentropy"] == pytest.approx(want, rel=1e-5)


def test_zero_weights_train_nothing():
    x, y = blobs(20)
    model = classifier(optimizer=ck.optimizers.SGD(0.5))
    before = model.get_weights()
    model.fit(x, y, sample_weight=np.zeros(20), verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


def test_class_weights_equal_sample_weights():
    x, y = blobs(40)
    a, b = classifier(), classifier()
    b.set_weights(a.get_weights())
    a.fit(x, y, class_weight={0: 2.0, 2: 0.5}, epochs=2, verbose=0)
    b.fit(x, y, sample_weight=np.array([2.0, 1.0, 0.5])[y], epochs=2, verbose=0)
    assert same_weights(a, b)


def test_class_weights_leave_validation_alone():
    x, y = blobs(40)
    model = classifier(optimizer=ck.optimizers.SGD(0.0))
    h = model.fit(x, y, class_weight={0: 9.0, 1: 9.0}, validation_split=0.5, verbose=0).history
    assert h["val_loss"][0] == pytest.approx(model.evaluate(x[20:], y[20:], verbose=0)[0])
    assert h["loss"][0] > h["val_loss"][0]


def test_validation_split_takes_the_last_fraction():
    x, y = blobs(30)
    y[20:] = 0
    a, b = classifier(), classifier()
    b.set_weights(a.get_weights())
    ha = a.fit(x, y, validation_split=1 / 3, epochs=2, verbose=0).history
    hb = b.fit(x[:20], y[:20], validation_data=(x[20:], y[20:]), epochs=2, verbose=0).history
    assert ha == hb
    assert same_weights(a, b)


def test_validation_frequency():
    x, y = blobs(16)
    h = classifier().fit(x, y, validation_split=0.5, epochs=5, validation_freq=2, verbose=0).history
    assert len(h["val_loss"]) == 2 and len(h["loss"]) == 5
    h = classifier().fit(x, y, validation_split=0.5, epochs=3, validation_freq=[1], verbose=0)
    assert len(h.history["val_loss"]) == 1


def test_resuming_with_initial_epoch_gives_the_same_weights():
    x, y = images()
    a, b = convnet(), convnet()
    b.set_weights(a.get_weights())
    a.fit(x, y, epochs=4, batch_size=16, verbose=0)
    b.fit(x, y, epochs=2, batch_size=16, verbose=0)
    h = b.fit(x, y, epochs=4, initial_epoch=2, batch_size=16, verbose=0)
    assert h.epoch == [2, 3]
    assert same_weights(a, b)


def test_shuffling_depends_on_the_epoch_and_can_be_off():
    x, y = blobs(64)
    a, b, c = classifier(), classifier(), classifier()
    for model in (b, c):
        model.set_weights(a.get_weights())
    a.fit(x, y, batch_size=8, shuffle=False, verbose=0)
    for begin in range(0, 64, 8):
        b.train_on_batch(x[begin : begin + 8], y[begin : begin + 8])
    c.fit(x, y, batch_size=8, verbose=0)
    assert same_weights(a, b)
    assert not same_weights(a, c)


def test_steps_per_epoch_goes_on_through_the_data():
    x, y = blobs(50)
    a, b = classifier(), classifier()
    b.set_weights(a.get_weights())
    h = a.fit(x, y, batch_size=10, epochs=4, steps_per_epoch=3, shuffle=False, verbose=0)
    assert h.params["steps"] == 3 and len(h.epoch) == 4
    for k in range(12):
        begin = 10 * (k % 5)
        b.train_on_batch(x[begin : begin + 10], y[begin : begin + 10])
    assert same_weights(a, b)


def test_several_inputs_by_list_and_by_name():
    left, right = ck.Input((3,), name="left"), ck.Input((3,), name="right")
    model = ck.Model([left, right], ck.layers.Dense(2)(ck.layers.add([left, right])))
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    a, b, y = (rng.standard_normal((12, k)).astype("float32") for k in (3, 3, 2))
    assert model.fit([a, b], y, verbose=0).history["loss"]
    p = model.predict([a, b], verbose=0)
    assert np.array_equal(p, model.predict({"right": b, "left": a}, verbose=0))
    with pytest.raises(ValueError, match="2 inputs"):
        model.predict(a, verbose=0)
    with pytest.raises(ValueError, match="keys"):
        model.predict({"left": a, "wrong": b}, verbose=0)


def test_loss_reduced_by_sum():
    x, y = blobs(20)
    loss = ck.losses.SparseCategoricalCrossentropy(reduction="sum")
    a, b = classifier(loss=loss), classifier()
    b.set_weights(a.get_weights())
    total = a.evaluate(x, y, batch_size=20, verbose=0)[0]
    assert total == pytest.approx(20 * b.evaluate(x, y, verbose=0)[0])
    a.compile(ck.optimizers.SGD(0.01), loss)
    b.compile(ck.optimizers.SGD(0.2), "sparse_categorical_crossentropy")
    a.train_on_batch(x, y)
    b.train_on_batch(x, y)
    for p, q in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-4, atol=1e-6)


def test_sequences_of_labels():
    rng = np.random.default_rng(0)
    model = ck.Sequential([ck.Input((5, 3)), ck.layers.Dense(4, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = rng.standard_normal((6, 5, 3)).astype("float32"), rng.integers(0, 4, (6, 5))
    loss, accuracy = model.evaluate(x, y, verbose=0)
    p = model.predict(x, verbose=0)
    assert p.shape == (6, 5, 4)
    picked = np.take_along_axis(p, y[..., None], -1)
    assert loss == pytest.approx(-np.log(picked).mean(), rel=1e-5)
    assert accuracy == pytest.approx((p.argmax(-1) == y).mean())
    weight = np.array([1, 0, 0, 0, 0, 0])
    weighted = model.evaluate(x, y, sample_weight=weight, verbose=0)[0]
    assert weighted == pytest.approx(-np.log(picked[0]).sum() / 30, rel=1e-5)


def test_frozen_layers_stay():
    x, y = blobs(32)
    model = classifier()
    model.get_layer("hidden").trainable = False
    before = model.get_weights()
    model.fit(x, y, verbose=0)
    after = model.get_weights()
    assert np.array_equal(before[0], after[0]) and np.array_equal(before[1], after[1])
    assert not np.array_equal(before[2], after[2])


def test_empty_predict():
    assert classifier().predict(np.zeros((0, 4), "float32"), verbose=0).shape == (0, 3)
    assert convnet().predict(np.zeros((0, 8, 8), "uint8"), verbose=0).shape == (0, 4)


def test_run_eagerly_gives_the_same_bits():
    x, y = images()
    a, b = convnet(), convnet()
    b.set_weights(a.get_weights())
    b.run_eagerly = True
    assert a.fit(x, y, verbose=0).history == b.fit(x, y, verbose=0).history
    assert same_weights(a, b)


def test_recompiling_forgets_the_optimizer_state_but_not_the_weights():
    x, y = blobs(32)
    model = classifier(optimizer=ck.optimizers.SGD(0.1, momentum=0.9))
    model.fit(x, y, epochs=3, verbose=0)
    weights = model.get_weights()
    fresh = classifier()
    for m in (model, fresh):
        m.set_weights(weights)
        m.compile(ck.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
        m.fit(x, y, verbose=0, shuffle=False)
    assert same_weights(model, fresh)
    assert model.optimizer.iterations == 1


def test_an_optimizer_trains_one_model():
    x, y = blobs(8)
    optimizer = ck.optimizers.Adam()
    first, second = classifier(optimizer=optimizer), classifier(optimizer=optimizer)
    first.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match="already trains"):
        second.fit(x, y, verbose=0)


def test_interrupting_keeps_whole_steps():
    x, y = blobs(64)
    a, b = classifier(), classifier()
    b.set_weights(a.get_weights())
    ended = []

    class Interrupt(ck.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 2:
                signal.raise_signal(signal.SIGINT)

        def on_train_end(self, logs=None):
            ended.append(self.model.optimizer.iterations)

    with pytest.raises(KeyboardInterrupt):
        a.fit(x, y, batch_size=8, shuffle=False, verbose=0, callbacks=[Interrupt()])
    assert ended == [3]
    for begin in (0, 8, 16):
        b.train_on_batch(x[begin : begin + 8], y[begin : begin + 8])
    assert same_weights(a, b)
    a.fit(x, y, verbose=0)  # and training goes on


def test_what_is_printed():
    x, y = blobs(40)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        classifier().fit(x, y, epochs=2, validation_split=0.5)
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("Epoch 1/2 - 1/1 - ")
    for word in ("/step", " - accuracy: ", " - loss: ", " - val_accuracy: ", " - val_loss: "):
        assert word in lines[1]
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        classifier().fit(x, y, verbose=0)
        classifier().predict(x)
    assert out.getvalue() == ""


def test_live_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    out = Terminal()
    with contextlib.redirect_stdout(out):
        progress = Progress("auto")
        progress.begin(10, "Epoch 1/1")
        progress.update(4, {"loss": 0.5})
        progress.end({"loss": 0.25})
    assert out.getvalue().startswith("Epoch 1/1\n")
    with pytest.raises(ValueError, match="verbose"):
        Progress(3)


def test_a_hook_may_use_another_model_that_shares_layers():
    """The shared weights move to the model that is used; no update is lost on the way."""

    def trained(peek):
        ck.set_seed(3)
        inputs = ck.Input((4,))
        hidden = ck.layers.Dense(5, activation="relu")(inputs)
        model = ck.Model(inputs, ck.layers.Dense(3, activation="softmax")(hidden))
        features = ck.Model(inputs, hidden)
        model.compile("sgd", "sparse_categorical_crossentropy")
        rng = np.random.default_rng(0)
        x, y = rng.normal(size=(64, 4)).astype(np.float32), rng.integers(0, 3, 64)
        seen = []
        hook = ck.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: (
                seen.append(features.predict(x[:2], verbose=0)) if peek else None
            )
        )
        model.fit(x, y, batch_size=8, epochs=2, callbacks=[hook], verbose=0)
        return model.get_weights(), seen

    plain, _ = trained(False)
    peeked, seen = trained(True)
    for a, b in zip(plain, peeked, strict=True):
        np.testing.assert_array_equal(a, b)
    assert len(seen) == 16 and not np.array_equal(seen[3], seen[4])
