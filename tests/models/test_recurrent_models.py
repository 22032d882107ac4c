"""The recurrent models, by their parameter counts, gradients and what they write."""

from __future__ import annotations

import numpy as np
import pytest

import convkit as ck
from convkit import layers, models
from convkit.models.generate import one_step


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({}, 329_793),  # the published vanilla network of 512 units
        ({"cell": "lstm", "units": 256, "layers": 2}, None),
        ({"cell": "gru", "units": 20}, 3 * 20 * (20 + 65 + 2) + 21 * 65),
        ({"units": 10, "vocabulary": 7, "embedding": 3}, 7 * 3 + 10 * (10 + 3 + 2) + 11 * 7),
    ],
)
def test_char_rnn(options, count):
    model = models.char_rnn(**options)
    if count is None:
        h, v = 256, 65
        count = 4 * h * (v + h + 2) + 4 * h * (h + h + 2) + (h + 1) * v
    assert model.count_params() == count
    assert sum(p.size for p in model.trainable_weights) == count
    v = options.get("vocabulary", 65)
    assert (model.input_shape, model.output_shape) == ((None, 100), (None, 100, v))


@pytest.mark.parametrize(
    ("options", "count", "shape"),
    [
        ({}, 4 * 128 * (128 + 28 + 1) + 1290, (None, 28, 28)),
        ({"cell": "simple", "units": 5}, 5 * (5 + 28 + 1) + 60, (None, 28, 28)),
        ({"cell": "gru", "layers": 2, "units": 5, "input_shape": (28, 28, 1)},
         3 * 5 * (5 + 28 + 2) + 3 * 5 * (5 + 5 + 2) + 60, (None, 28, 28, 1)),
    ],
)  # fmt: skip
def test_rnn_classifier(options, count, shape):
    model = models.rnn_classifier(**options)
    assert model.count_params() == count
    assert model.input_shape == shape
    assert model.output_shape == (None, 10)


def test_forecaster_and_hybrid():
    model = models.forecaster(steps=12, features=2, units=5, cell="gru", horizon=3)
    assert model.output_shape == (None, 3, 2)
    assert model.count_params() == 3 * 5 * (5 + 2 + 2) + 6 * 6
    hybrid = models.cnn_rnn()
    assert hybrid.get_layer("strips").compute_output_shape(hybrid.input_shape) == (
        None, 4, 7, 28, 1,
    )  # fmt: skip
    film = models.cnn_rnn((5, 8, 8, 3), classes=4, filters=(2,), units=3, cell="simple")
    assert film.count_params() == (27 * 2 + 2) + 3 * (3 + 32 + 1) + 16
    assert film.output_shape == (None, 4)


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("unknown cell 'lst'; did you mean 'lstm'", lambda: models.rnn_classifier("lst")),
        ("unknown cell 'simpel'", lambda: models.char_rnn(cell="simpel")),
        ("layers must be at least 1", lambda: models.forecaster(layers=0)),
        ("height 28 cannot be cut into 3 strips", lambda: models.cnn_rnn(strips=3)),
        (
            "strips=28 leaves pieces of 1 x 28, too small for 2 poolings, which take 4 x 4",
            lambda: models.cnn_rnn(strips=28),
        ),
        ("strips is 0, expected at least 1", lambda: models.cnn_rnn(strips=0)),
        ("images of 4 x 2, too small for 2 poolings", lambda: models.cnn_rnn((5, 4, 2, 1))),
        (
            "strips=3 is for an image; the 5 images of a film are not cut",
            lambda: models.cnn_rnn((5, 10, 10, 1), strips=3),
        ),
        (
            r"\[cnn_rnn\] input_shape must be a tuple of positive numbers",
            lambda: models.cnn_rnn((5, None, 10, 1)),
        ),
        (r"\(T, H, W, C\) or \(H, W, C\), got \(28, 28\)", lambda: models.cnn_rnn((28, 28))),
    ],
)
def test_errors_of_models(message, call):
    with pytest.raises(ValueError, match=message):
        call()


def test_gradients_of_the_hybrid_end_to_end():
    ck.set_seed(4)
    model = models.cnn_rnn((2, 4, 4, 1), classes=3, filters=(2,), units=3)
    model.compile("adam", "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 2, 4, 4, 1)).astype("float32"), np.array([0, 1, 2])
    assert ck.testing.compare(model, x, y).agrees
    report = ck.testing.check_gradients(model, x, y)
    assert report.passed, report
    assert report.entries + report.skipped == model.count_params()
    assert report.skipped < 5


@pytest.mark.parametrize("cell", ["simple", "lstm", "gru"])
def test_gradients_of_char_rnn(cell):
    model = models.char_rnn(5, cell, 4, layers=2, steps=6)
    model.compile("adam", "sparse_categorical_crossentropy")
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 5, (2, 3, 6))
    assert ck.testing.compare(model, x, y).agrees
    report = ck.testing.check_gradients(model, x, y, max_entries=20)
    assert report.passed, report


def cyclic(n=64, steps=8):
    """Numbers 0 to 4 that go round; the next one is certain."""
    x = (np.arange(steps) + np.arange(n)[:, None]) % 5
    return x, (x + 1) % 5


@pytest.fixture(scope="module")
def trained():
    before = ck.random.current_seed()
    ck.set_seed(1)
    model = models.char_rnn(5, "gru", 16, steps=8)
    model.compile(ck.optimizers.Adam(0.02, global_clipnorm=5), "sparse_categorical_crossentropy")
    x, y = cyclic()
    model.fit(x, y, epochs=40, batch_size=16, verbose=0)
    ck.set_seed(before)
    return model


def test_it_writes_what_it_has_learnt(trained):
    written = models.generate(trained, [2], 12, temperature=0)
    assert written.tolist() == [(3 + k) % 5 for k in range(12)]
    text = models.generate(trained, "cd", 6, seed=3, temperature=0.5, vocabulary="abcde")
    assert text == "eabcde"


def test_a_step_at_a_time_is_the_whole(trained):
    x, _ = cyclic(1)
    whole = trained.predict(x)[0]
    step = one_step(trained)
    got = [step.predict(np.full((1, 1, 1), number))[0, 0] for number in x[0]]
    np.testing.assert_allclose(got, whole, rtol=1e-5, atol=1e-6)
    # It has the weights of the model, and gives them back.
    assert step.layers[1].kernel is trained.layers[1].kernel
    np.testing.assert_array_equal(trained.predict(x)[0], whole)


def test_what_is_written_follows_from_the_seed():
    ck.set_seed(2)
    model = models.char_rnn(6, "lstm", 4, steps=3, embedding=2)
    first = models.generate(model, [1, 2], 50, seed=7)
    assert (models.generate(model, [1, 2], 50, seed=7) == first).all()
    assert (models.generate(model, [1, 2], 50, seed=8) != first).any()
    # A longer text begins like the shorter one.
    assert (models.generate(model, [1, 2], 80, seed=7)[:50] == first).all()
    ck.set_seed(7)
    assert (models.generate(model, [1, 2], 50) == first).all()
    assert models.generate(model, [1], 0).shape == (0,)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_the_frequencies_are_those_of_the_probabilities(temperature):
    """Of a network that foretells the same at every step."""
    p = np.array([0.5, 0.25, 0.15, 0.1, 0.0])
    model = ck.Sequential(
        [
            ck.Input((3,)),
            layers.Embedding(5, 2),
            layers.SimpleRNN(2, return_sequences=True),
            layers.Dense(5, kernel_initializer="zeros"),
        ]
    )
    model.layers[-1].bias.assign(np.log(np.maximum(p, 1e-30)))
    n = 4000
    counts = np.bincount(models.generate(model, [0], n, temperature, seed=1), minlength=5)
    expected = p ** (1 / temperature) / (p ** (1 / temperature)).sum()
    assert counts[4] == 0
    deviation = np.sqrt(n * expected * (1 - expected))
    assert (np.abs(counts - n * expected) <= 5 * deviation).all()


def test_training_goes_on_after_writing(trained):
    x, y = cyclic()

    class Writes(ck.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            models.generate(self.model, [0], 3, seed=1)

    results = []
    for callbacks in ([], [Writes()]):
        ck.set_seed(1)
        model = models.char_rnn(5, "lstm", 6, steps=8)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(x, y, epochs=3, verbose=0, callbacks=callbacks)
        results.append([w.tobytes() for w in model.get_weights()])
    assert results[0] == results[1]


def test_a_stateful_model_of_text():
    """It reads long texts in parallel, chunk by chunk, and writes one."""
    ck.set_seed(3)
    model = models.char_rnn(5, "lstm", 12, steps=4, batch_size=2)
    model.compile(ck.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    text = np.arange(2 * 40) % 5
    streams = text.reshape(2, 10, 4).swapaxes(0, 1).reshape(20, 4)
    for _ in range(40):
        model.reset_states()
        model.fit(streams, (streams + 1) % 5, shuffle=False, verbose=0)
    states = [p.numpy() for p in model.non_trainable_weights]
    assert models.generate(model, [1], 5, temperature=0).tolist() == [2, 3, 4, 0, 1]
    assert all((a == p.numpy()).all() for a, p in zip(states, model.non_trainable_weights))


NODE = ck.Input((4,))


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "takes a Sequential model, got Model",
         lambda m: models.generate(ck.Model(NODE, layers.Dense(2)(NODE)), [0])),
        (ValueError, "give its recurrent layers return_sequences=True",
         lambda m: models.generate(models.rnn_classifier(), [0])),
        (ValueError, "length must be at least 0", lambda m: models.generate(m, [0], -1)),
        (ValueError, "temperature must be", lambda m: models.generate(m, [0], 1, -1.0)),
        (ValueError, "temperature must be", lambda m: models.generate(m, [0], 1, float("nan"))),
        (ValueError, "with one at least", lambda m: models.generate(m, [])),
        (ValueError, "a text needs vocabulary=", lambda m: models.generate(m, "ab")),
        (ValueError, "'z' is not in the vocabulary",
         lambda m: models.generate(m, "abz", vocabulary="abcde")),
        (ValueError, "vocabulary has 3 characters, model 'char_rnn' has 5 outputs",
         lambda m: models.generate(m, "abc", vocabulary="abc")),
        (ValueError, "vocabulary has 6 characters, model 'char_rnn' has 5 outputs",
         lambda m: models.generate(m, [0], vocabulary="abcdef")),
        (ValueError, "vocabulary has 'a' for both 0 and 3",
         lambda m: models.generate(m, "abc", vocabulary="abcae")),
        (TypeError, "must hold characters, got 2 for number 1",
         lambda m: models.generate(m, "abc", vocabulary=["a", 2, "c", "d", "e"])),
        (ValueError, "takes whole numbers from 0 to 4", lambda m: models.generate(m, [5])),
        (ValueError, "reads what is yet to be written", lambda m: models.generate(
            ck.Sequential([ck.Input((4,)), layers.Embedding(3, 2), layers.Bidirectional(
                layers.GRU(2, return_sequences=True))]), [0])),
        (ValueError, "ends in relu, expected softmax", lambda m: models.generate(
            ck.Sequential([ck.Input((4,)), layers.Embedding(3, 2), layers.Dense(3, "relu")]), [0])),
    ],
)  # fmt: skip
def test_errors_of_writing(trained, error, message, call):
    with pytest.raises(error, match=message):
        call(trained)


def test_weights_that_are_not_finite_are_told():
    model = models.char_rnn(5, units=4, steps=3)
    model.layers[-1].bias.assign(np.full(5, np.nan))
    with pytest.raises(ValueError, match="not finite: are its weights"):
        models.generate(model, [0], 3)


@pytest.mark.parametrize("cell", ["simple", "lstm", "gru"])
def test_weights_go_into_a_stateful_model_by_name(cell):
    options = {"vocabulary": 7, "cell": cell, "units": 5, "layers": 2, "steps": 6}
    trained, writer = models.char_rnn(**options), models.char_rnn(**options, batch_size=3)
    states = 3 * 5 * 2 * (2 if cell == "lstm" else 1)
    assert writer.count_params() == trained.count_params() + states
    values = {p.path: p.numpy() for p in trained.weights}
    copied = [p for p in writer.weights if p.path in values]
    assert len(copied) == len(values)
    for p in copied:
        p.assign(values[p.path])
    x = np.random.default_rng(0).integers(0, 7, (3, 6))
    np.testing.assert_array_equal(writer.predict(x, verbose=0), trained.predict(x, verbose=0))
