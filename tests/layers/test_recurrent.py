"""SimpleRNN, LSTM and GRU: numbers, shapes, weights, gradients and what they refuse."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import convkit as ck
from convkit import layers
from layers import loops

CELLS = {
    "simple": (layers.SimpleRNN, {}),
    "simple sigmoid": (layers.SimpleRNN, {"activation": "sigmoid"}),
    "simple relu": (layers.SimpleRNN, {"activation": "relu"}),
    "simple linear": (layers.SimpleRNN, {"activation": "linear"}),
    "simple, two biases": (layers.SimpleRNN, {"recurrent_bias": True}),
    "simple, no bias": (layers.SimpleRNN, {"use_bias": False}),
    "lstm": (layers.LSTM, {}),
    "lstm, two biases": (layers.LSTM, {"recurrent_bias": True}),
    "lstm, no bias": (layers.LSTM, {"use_bias": False}),
    "gru": (layers.GRU, {}),
    "gru, no bias": (layers.GRU, {"use_bias": False}),
    "gru, reset before": (layers.GRU, {"reset_after": False}),
}
THREE = ("simple", "lstm", "gru", "gru, reset before")


def make(name, units, **options):
    kind, own = CELLS[name]
    return kind(units, **own, **options)


def sequences(n=3, t=6, c=4, seed=0):
    return np.random.default_rng(seed).standard_normal((n, t, c)).astype("float32")


def shake(model, seed=5):
    """Weights without zeros, so that every bias counts."""
    rng = np.random.default_rng(seed)
    model.set_weights([0.5 * rng.standard_normal(w.shape) for w in model.get_weights()])


def options_of(name):
    return {k: v for k, v in CELLS[name][1].items() if k in ("activation", "reset_after")}


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_outputs_are_those_of_the_loop(name, backwards):
    x = sequences()
    node = ck.Input(x.shape[1:])
    layer = make(name, 5, return_sequences=True, return_state=True, go_backwards=backwards)
    model = ck.Model(node, layer(node))
    shake(model)
    y, *states = model.predict(x)
    expected, finals = loops.run(
        name.split()[0].rstrip(","), x, model.get_weights(), backwards=backwards, **options_of(name)
    )
    np.testing.assert_allclose(y, expected, rtol=2e-5, atol=2e-6)
    assert len(states) == len(finals)
    for got, final in zip(states, finals):
        np.testing.assert_allclose(got, final, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", THREE)
def test_the_last_output_alone(name):
    x = sequences()
    many = ck.Sequential([ck.Input(x.shape[1:]), make(name, 5, return_sequences=True)])
    one = ck.Sequential([ck.Input(x.shape[1:]), make(name, 5)])
    one.set_weights(many.get_weights())
    assert (one.predict(x) == many.predict(x)[:, -1]).all()
    assert one.output_shape == (None, 5)
    assert many.output_shape == (None, 6, 5)


@pytest.mark.parametrize("name", THREE)
def test_initial_states(name):
    x, rng = sequences(), np.random.default_rng(8)
    nodes = [ck.Input((6, 4)), *(ck.Input((5,)) for _ in range(2 if name == "lstm" else 1))]
    given = [x, *(rng.standard_normal((3, 5)).astype("float32") for _ in nodes[1:])]
    layer = make(name, 5)
    y = layer(nodes[0], initial_state=nodes[1:])
    model = ck.Model(nodes, [y, layer(nodes)])  # Keras's other way to say it
    shake(model)
    one, other = model.predict(given)
    _, finals = loops.run(
        name.split()[0].rstrip(","), x, layer.get_weights(), initial=given[1:], **options_of(name)
    )
    np.testing.assert_allclose(one, finals[0], rtol=2e-5, atol=2e-6)
    assert (one == other).all()


def test_an_encoder_hands_its_states_to_a_decoder():
    source, target = ck.Input((5, 3)), ck.Input((4, 2))
    _, h, c = layers.LSTM(6, return_state=True)(source)
    y = layers.LSTM(6, return_sequences=True)(target, initial_state=[h, c])
    model = ck.Model([source, target], layers.Dense(3, "softmax")(y))
    model.compile("adam", "sparse_categorical_crossentropy")
    x = [sequences(2, 5, 3), sequences(2, 4, 2)]
    t = np.random.default_rng(0).integers(0, 3, (2, 4))
    assert ck.testing.compare(model, x, t).agrees
    assert ck.testing.check_gradients(model, x, t, max_entries=30).passed


@pytest.mark.parametrize(
    ("layer", "count"),
    [
        (lambda h: layers.SimpleRNN(h), lambda h, c: h * (h + c + 1)),
        (lambda h: layers.SimpleRNN(h, recurrent_bias=True), lambda h, c: h * (h + c + 2)),
        (lambda h: layers.SimpleRNN(h, use_bias=False), lambda h, c: h * (h + c)),
        (lambda h: layers.LSTM(h), lambda h, c: 4 * h * (h + c + 1)),
        (lambda h: layers.LSTM(h, recurrent_bias=True), lambda h, c: 4 * h * (h + c + 2)),
        (lambda h: layers.GRU(h), lambda h, c: 3 * h * (h + c + 2)),
        (lambda h: layers.GRU(h, reset_after=False), lambda h, c: 3 * h * (h + c + 1)),
        (lambda h: layers.Bidirectional(layers.LSTM(h)), lambda h, c: 8 * h * (h + c + 1)),
    ],
)
@pytest.mark.parametrize(("h", "c"), [(1, 1), (128, 28)])
def test_counts_of_weights_are_those_of_keras(layer, count, h, c):
    model = ck.Sequential([ck.Input((3, c)), layer(h)])
    assert model.count_params() == count(h, c)
    assert sum(p.size for p in model.trainable_weights) == count(h, c)


def test_weights_begin_as_in_keras():
    ck.set_seed(3)
    model = ck.Sequential([ck.Input((3, 7)), layers.LSTM(5, name="memory")])
    assert [p.path for p in model.weights] == [
        "memory.kernel",
        "memory.recurrent_kernel",
        "memory.bias",
    ]
    kernel, recurrent, bias = model.get_weights()
    assert kernel.shape == (7, 20) and np.abs(kernel).max() <= np.sqrt(6 / 27)
    np.testing.assert_allclose(recurrent @ recurrent.T, np.eye(5), atol=1e-6)
    assert bias.tolist() == [0] * 5 + [1] * 5 + [0] * 10
    plain = ck.Sequential([ck.Input((3, 7)), layers.LSTM(5, unit_forget_bias=False)])
    assert not plain.get_weights()[2].any()
    two = ck.Sequential([ck.Input((3, 7)), layers.LSTM(2, recurrent_bias=True)])
    assert two.get_weights()[2].tolist() == [[0, 0, 1, 1, 0, 0, 0, 0], [0] * 8]
    gru = ck.Sequential([ck.Input((3, 7)), layers.GRU(2, bias_initializer="ones")])
    assert gru.get_weights()[2].shape == (2, 6)


@pytest.mark.parametrize("steps", [1, 2, 3, 7, 20, 50])
@pytest.mark.parametrize("name", THREE)
def test_gradients_through_many_steps(name, steps):
    x = sequences(2, steps, 2)
    model = ck.Sequential([ck.Input((steps, 2)), make(name, 3), layers.Dense(1)])
    shake(model)
    model.compile("sgd", "mse")
    y = np.array([[0.3], [-0.7]], "float32")
    report = ck.testing.check_gradients(model, x, y)
    assert report.passed, report
    assert report.entries == model.count_params()


@pytest.mark.parametrize("name", CELLS)
def test_executors_agree_and_gradients_are_right(name):
    x = sequences(5, 7, 3)
    model = ck.Sequential(
        [
            ck.Input((7, 3)),
            make(name, 4, return_sequences=True),
            make(name, 3, go_backwards=True),
            layers.Dense(4, "softmax"),
        ]
    )
    shake(model)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    y = np.arange(5) % 4
    difference = ck.testing.compare(model, x, y)
    assert difference.agrees, difference
    report = ck.testing.check_gradients(model, x, y)
    assert report.passed, report


def test_the_same_bits_on_any_number_of_threads():
    x, y = sequences(33, 9, 5), np.arange(33) % 3
    before, results = ck.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            ck.set_num_threads(threads)
            ck.set_seed(4)
            model = ck.Sequential([ck.Input((9, 5)), layers.GRU(17), layers.Dense(3, "softmax")])
            model.compile("adam", "sparse_categorical_crossentropy")
            model.fit(x, y, batch_size=8, epochs=2, verbose=0)
            results.append([w.tobytes() for w in model.get_weights()])
    finally:
        ck.set_num_threads(before)
    assert results[0] == results[1] == results[2]


def test_it_learns_to_remember():
    """The class is the sign of the first of ten steps."""
    ck.set_seed(2)
    x = sequences(256, 10, 1, seed=1)
    y = (x[:, 0, 0] > 0).astype(int)
    model = ck.Sequential([ck.Input((10, 1)), layers.LSTM(8), layers.Dense(2, "softmax")])
    # Without the clipping one seed in ten meets a leap of the loss that 60 epochs do not outlast.
    optimizer = ck.optimizers.Adam(0.02, clipnorm=1.0)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=60, verbose=0)
    assert model.evaluate(x, y, verbose=0)[1] > 0.95


def test_copies_and_weights_files(tmp_path):
    x = sequences()
    model = ck.Sequential([ck.Input((6, 4)), layers.LSTM(3, return_sequences=True), layers.GRU(2)])
    twin = copy.deepcopy(model)
    assert (twin.predict(x) == model.predict(x)).all()
    path = model.save_weights(tmp_path / "weights")
    shake(twin)
    twin.load_weights(path)
    assert (twin.predict(x) == model.predict(x)).all()


def test_nan_is_reported_with_the_sample():
    x = sequences(8, 6, 4)
    x[5, 2, 1] = np.nan
    model = ck.Sequential([ck.Input((6, 4)), layers.LSTM(3), layers.Dense(2, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ck.errors.NonFiniteError, match=r"x\[5\] holds NaN"):
        model.fit(x, np.zeros(8, int), verbose=0)


X = (6, 4)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, r"expects sequences \(N, T, C\), got \(None, 6\); numbers of things",
         lambda: layers.LSTM(3)(ck.Input((6,)))),
        (ValueError, r"Reshape\(\(28, 28\)\) makes rows steps",
         lambda: layers.LSTM(3)(ck.Input((28, 28, 1)))),
        (ValueError, "units must be a positive integer, got 0", lambda: layers.GRU(0)),
        (ValueError, "truncate must be a positive", lambda: layers.GRU(3, truncate=0)),
        (ValueError, r"dropout=0.2 is not supported; put layers.Dropout\(0.2\)",
         lambda: layers.LSTM(3, dropout=0.2)),
        (ValueError, "recurrent_dropout=0.1 is not", lambda: layers.GRU(3, recurrent_dropout=0.1)),
        (ValueError, "unroll=True is not supported", lambda: layers.SimpleRNN(3, unroll=True)),
        (ValueError, "use_cudnn=True is not supported", lambda: layers.LSTM(3, use_cudnn=True)),
        (ValueError, "zero_output_for_mask=True is not",
         lambda: layers.LSTM(3, zero_output_for_mask=True)),
        (ValueError, "activation='gelu' is not supported, only tanh, sigmoid, relu, linear",
         lambda: layers.SimpleRNN(3, "gelu")),
        (ValueError, "activation='relu' is not supported, only tanh",
         lambda: layers.LSTM(3, "relu")),
        (ValueError, "recurrent_activation='tanh' is not supported, only sigmoid",
         lambda: layers.GRU(3, recurrent_activation="tanh")),
        (ValueError, "recurrent_constraint is not supported",
         lambda: layers.GRU(3, recurrent_constraint="l2")),
        (ValueError, "recurrent_bias=True needs use_bias",
         lambda: layers.LSTM(3, use_bias=False, recurrent_bias=True)),
        (TypeError, "GRU has no argument 'recurrent_bias'",
         lambda: layers.GRU(3, recurrent_bias=True)),
        (TypeError, "did you mean 'return_sequences'",
         lambda: layers.GRU(3, return_sequence=True)),
        (ValueError, r"has 2 states \(h, c\), initial_state has 1",
         lambda: layers.LSTM(3)(ck.Input(X), initial_state=ck.Input((3,)))),
        (ValueError, r"initial_state h has shape \(None, 4\), expected \(None, 3\)",
         lambda: layers.GRU(3)(ck.Input(X), initial_state=ck.Input((4,)))),
        (TypeError, "is called on nodes", lambda: layers.GRU(3)(ck.Input(X), np.zeros((2, 3)))),
        (ValueError, "stateful=True needs a fixed batch size",
         lambda: layers.GRU(3, stateful=True)(ck.Input(X))),
        (ValueError, "takes no initial_state",
         lambda: layers.GRU(3, stateful=True)(ck.Input(X, batch_size=2), ck.Input((3,)))),
        (ValueError, "positive numbers", lambda: ck.Input((0, 4))),
    ],
)  # fmt: skip
def test_errors(error, message, call):
    with pytest.raises(error, match=message):
        call()


def test_a_built_layer_takes_the_features_that_it_has_weights_for():
    layer = layers.LSTM(3)
    layer(ck.Input((6, 4)))
    assert layer(ck.Input((9, 4))).shape == (None, 3)
    with pytest.raises(ValueError, match=r"weights for 4 features, got 5 \(input"):
        layer(ck.Input((6, 5)))


def test_sequences_of_no_steps_are_refused():
    model = ck.Sequential([ck.Input((6, 4)), layers.LSTM(3)])
    with pytest.raises(ValueError, match=r"expects an array of shape \(N, 6, 4\), got \(2, 0, 4\)"):
        model.predict(np.zeros((2, 0, 4), "float32"))
    assert model.predict(np.zeros((0, 6, 4), "float32")).shape == (0, 3)
