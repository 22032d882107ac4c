"""Bidirectional and TimeDistributed."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import convkit as ck
from convkit import layers
from layers import loops
from layers.test_recurrent import THREE, make, options_of, sequences, shake


def both(name, x, weights, mask=None, **options):
    """Outputs of the two directions in the order of time, and their states."""
    half = len(weights) // 2
    cell = name.split()[0].rstrip(",")
    y, ends = loops.run(cell, x, weights[:half], mask=mask, **options)
    z, turned = loops.run(cell, x, weights[half:], mask=mask, backwards=True, **options)
    return y, z[:, ::-1], ends, turned


MERGED = {
    "concat": lambda a, b: np.concatenate([a, b], axis=-1),
    "sum": lambda a, b: a + b,
    "ave": lambda a, b: (a + b) / 2,
}


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("mode", MERGED)
@pytest.mark.parametrize("name", THREE)
def test_both_directions(name, mode, masked):
    x = sequences()
    mask = np.arange(6) < np.array([6, 4, 1])[:, None] if masked else None
    if masked:
        x = np.where(mask[..., None], x, 0).astype("float32")
    begin = [ck.Input((6, 4)), *([layers.Masking()] if masked else [])]
    steps = layers.Bidirectional(make(name, 5, return_sequences=True), mode)
    model = ck.Sequential([*begin, steps])
    shake(model)
    y, z, ends, turned = both(name, x, model.get_weights(), mask, **options_of(name))
    np.testing.assert_allclose(model.predict(x), MERGED[mode](y, z), rtol=3e-5, atol=3e-6)
    last = ck.Sequential([*begin, layers.Bidirectional(make(name, 5), mode)])
    last.set_weights(model.get_weights())
    expected = MERGED[mode](ends[0], turned[0])
    np.testing.assert_allclose(last.predict(x), expected, rtol=3e-5, atol=3e-6)
    assert model.output_shape == (None, 6, expected.shape[-1])


def test_both_outputs_and_all_states():
    x = sequences()
    node = ck.Input((6, 4))
    inner = layers.LSTM(3, return_sequences=True, return_state=True)
    model = ck.Model(node, layers.Bidirectional(inner, None)(node))
    shake(model)
    y, z, ends, turned = both("lstm", x, model.get_weights())
    for got, expected in zip(model.predict(x), [y, z, *ends, *turned], strict=True):
        np.testing.assert_allclose(got, expected, rtol=3e-5, atol=3e-6)
    node = ck.Input((6, 4))
    merged = layers.Bidirectional(layers.GRU(3, return_state=True))(node)
    assert [n.shape for n in merged] == [(None, 6), (None, 3), (None, 3)]
    outputs = layers.Bidirectional(layers.GRU(3), merge_mode=None)(node)
    assert [n.shape for n in outputs] == [(None, 3), (None, 3)]


def test_initial_states_of_both():
    x, rng = sequences(), np.random.default_rng(2)
    nodes = [ck.Input((6, 4)), *(ck.Input((3,)) for _ in range(4))]
    layer = layers.Bidirectional(layers.LSTM(3))
    model = ck.Model(nodes, layer(nodes[0], initial_state=nodes[1:]))
    shake(model)
    states = [rng.standard_normal((3, 3)).astype("float32") for _ in range(4)]
    weights = model.get_weights()
    first = loops.run("lstm", x, weights[:3], initial=states[:2])[1][0]
    second = loops.run("lstm", x, weights[3:], initial=states[2:], backwards=True)[1][0]
    np.testing.assert_allclose(
        model.predict([x, *states]), np.concatenate([first, second], axis=1), atol=1e-5
    )
    with pytest.raises(ValueError, match="has 4 states, initial_state has 2"):
        layers.Bidirectional(layers.LSTM(3))(nodes[0], initial_state=nodes[1:3])


def test_weights_of_both():
    model = ck.Sequential([ck.Input((6, 4)), layers.Bidirectional(layers.GRU(3), name="both")])
    assert [p.path for p in model.weights] == [
        f"both.{way}.{name}"
        for way in ("forward", "backward")
        for name in ("kernel", "recurrent_kernel", "bias")
    ]
    kernel, _, _, other, _, _ = model.get_weights()
    assert (kernel != other).any()
    begin = [np.full(w.shape, i, "float32") for i, w in enumerate(model.get_weights())]
    same = ck.Sequential([ck.Input((6, 4)), layers.Bidirectional(layers.GRU(3), weights=begin)])
    assert all((a == b).all() for a, b in zip(begin, same.get_weights()))
    with pytest.raises(ValueError, match="has 6 weights, got 5"):
        layers.Bidirectional(layers.GRU(3), weights=begin[:5])(ck.Input((6, 4)))


def test_another_layer_backwards():
    x = sequences()
    model = ck.Sequential(
        [
            ck.Input((6, 4)),
            layers.Bidirectional(
                layers.SimpleRNN(3), backward_layer=layers.GRU(2, go_backwards=True)
            ),
        ]
    )
    shake(model)
    weights = model.get_weights()
    first = loops.run("simple", x, weights[:3])[1][0]
    second = loops.run("gru", x, weights[3:], backwards=True)[1][0]
    np.testing.assert_allclose(model.predict(x), np.concatenate([first, second], axis=1), atol=1e-5)


def test_freezing_a_wrapper():
    inner = layers.LSTM(3)
    for layer in (
        layers.Bidirectional(inner, trainable=False),
        layers.TimeDistributed(layers.Dense(3), trainable=False),
        layers.TimeDistributed(layers.Dense(3, trainable=False)),
    ):
        layer(ck.Input((6, 4)))
        assert not layer.trainable_weights and layer.weights
        layer.trainable = True
        assert len(layer.trainable_weights) == len(layer.weights)


def classifier(*chain):
    model = ck.Sequential([ck.Input((6, 4)), *chain, layers.Dense(3, "softmax")])
    shake(model)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize("mode", MERGED)
def test_gradients_of_both(mode):
    model = classifier(layers.Bidirectional(layers.LSTM(3), mode))
    x, y = sequences(4), np.arange(4) % 3
    assert ck.testing.compare(model, x, y).agrees
    report = ck.testing.check_gradients(model, x, y, max_entries=30)
    assert report.passed, report


def test_a_layer_at_each_step():
    x = sequences()
    dense = layers.Dense(5, "tanh")
    model = ck.Sequential([ck.Input((6, 4)), layers.TimeDistributed(dense, name="each")])
    w, b = model.get_weights()
    np.testing.assert_allclose(model.predict(x), np.tanh(x @ w + b), atol=1e-6)
    assert model.output_shape == (None, 6, 5)
    assert model.count_params() == 4 * 5 + 5
    copied = copy.deepcopy(model)
    assert (copied.predict(x) == model.predict(x)).all()


def test_images_at_each_step():
    """A small network for images, step by step, is the network on all images at once."""
    frames = np.random.default_rng(0).standard_normal((2, 3, 8, 8, 1)).astype("float32")

    def net():
        return [
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(5),
        ]

    alone = ck.Sequential([ck.Input((8, 8, 1)), *net()])
    whole = ck.Sequential([ck.Input((3, 8, 8, 1)), layers.TimeDistributed(ck.Sequential(net()))])
    chain = ck.Sequential([ck.Input((3, 8, 8, 1)), *(layers.TimeDistributed(m) for m in net())])
    for model in (whole, chain):
        model.set_weights(alone.get_weights())
        got = model.predict(frames).reshape(6, 5)
        np.testing.assert_allclose(got, alone.predict(frames.reshape(6, 8, 8, 1)), atol=1e-6)
        assert model.output_shape == (None, 3, 5)
    assert copy.deepcopy(whole).predict(frames).shape == (2, 3, 5)


def test_gradients_of_a_convolution_before_a_recurrence():
    model = ck.Sequential(
        [
            ck.Input((3, 6, 6, 1)),
            layers.TimeDistributed(layers.Conv2D(2, 3, activation="tanh")),
            layers.TimeDistributed(layers.AveragePooling2D()),
            layers.TimeDistributed(layers.Flatten()),
            layers.LSTM(3),
            layers.Dense(2, "softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).standard_normal((2, 3, 6, 6, 1)).astype("float32")
    y = np.array([0, 1])
    assert ck.testing.compare(model, x, y).agrees
    report = ck.testing.check_gradients(model, x, y)
    assert report.passed, report
    assert report.entries == model.count_params()


BIDIRECTIONAL = layers.Bidirectional


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, r"recurrent layer such as LSTM\(64\), got Dense",
         lambda: BIDIRECTIONAL(layers.Dense(3))),
        (ValueError, "merge_mode='mul' is not supported",
         lambda: BIDIRECTIONAL(layers.LSTM(3), "mul")),
        (ValueError, "did you mean 'concat'", lambda: BIDIRECTIONAL(layers.LSTM(3), "concatenate")),
        (ValueError, "go the same way; give backward_layer go_backwards=True",
         lambda: BIDIRECTIONAL(layers.LSTM(3), backward_layer=layers.LSTM(3))),
        (ValueError, "differ in return_sequences",
         lambda: BIDIRECTIONAL(layers.LSTM(3), backward_layer=layers.LSTM(
             3, go_backwards=True, return_sequences=True))),
        (ValueError, r"needs outputs of one shape, got \(None, 3\) and \(None, 2\)",
         lambda: BIDIRECTIONAL(layers.GRU(3), "sum", backward_layer=layers.GRU(
             2, go_backwards=True))(ck.Input((6, 4)))),
        (ValueError, "expects sequences", lambda: BIDIRECTIONAL(layers.GRU(3))(ck.Input((6,)))),
        (ValueError, r"expects sequences \(N, T, ...\)",
         lambda: layers.TimeDistributed(layers.Dense(3))(ck.Input((6,)))),
        (TypeError, "takes a layer or a Sequential model, got int",
         lambda: layers.TimeDistributed(3)),
        (ValueError, "has no layers", lambda: layers.TimeDistributed(ck.Sequential())),
        (ValueError, "cannot be stateful",
         lambda: layers.TimeDistributed(layers.GRU(3, stateful=True))),
        (ValueError, "has 2 outputs, not one",
         lambda: layers.TimeDistributed(layers.GRU(3, return_state=True))(ck.Input((2, 6, 4)))),
        (ValueError, "rank 4 input", lambda: layers.TimeDistributed(layers.Conv2D(3, 3))(
            ck.Input((6, 4)))),
    ],
)  # fmt: skip
def test_errors(error, message, call):
    with pytest.raises(error, match=message):
        call()


def test_a_layer_in_use_cannot_become_bidirectional():
    layer = layers.LSTM(3)
    layer(ck.Input((6, 4)))
    with pytest.raises(ValueError, match="is in use already"):
        layers.Bidirectional(layer)


def test_two_inner_layers_of_one_name():
    def inner():
        return layers.TimeDistributed(layers.Dense(4, name="same"))

    with pytest.raises(ValueError, match=r"2 weights 'same.kernel'"):
        ck.Sequential([ck.Input((6, 4)), inner(), inner()])


@pytest.mark.parametrize("when", ["before", "after", "argument"])
def test_a_frozen_wrapper_keeps_its_averages(when):
    options = {"trainable": False} if when == "argument" else {}
    inner = ck.Sequential([layers.Dense(3), layers.BatchNormalization(momentum=0.5)])
    steps = layers.TimeDistributed(inner, **options)
    if when == "before":
        steps.trainable = False
    model = ck.Sequential([ck.Input((2, 6, 4)), layers.TimeDistributed(steps), layers.Dense(2)])
    if when == "after":
        model.layers[0].trainable = False
    assert not steps.chain[1].trainable
    model.compile("sgd", "mse")
    before = steps.get_weights()
    x = sequences(6, 6, 4).reshape(3, 2, 6, 4) + 5
    model.fit(x, np.zeros((3, 2, 6, 2)), batch_size=3, verbose=0)
    for old, new in zip(before, steps.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)
    steps.trainable = True
    model.compile(ck.optimizers.SGD(0.0), "mse")
    model.fit(x, np.zeros((3, 2, 6, 2)), batch_size=3, verbose=0)
    kernel, bias, _, _, mean, _ = steps.get_weights()
    np.testing.assert_allclose(mean, 0.5 * (x @ kernel + bias).mean((0, 1, 2)), rtol=1e-5)


def test_statistics_do_not_take_in_masked_steps():
    inner = ck.Sequential([layers.Dense(3), layers.BatchNormalization(name="norm")])
    steps = layers.TimeDistributed(layers.TimeDistributed(inner), name="steps")
    start = ck.Input((6, 2, 4))
    model = ck.Model(start, layers.Flatten()(steps(layers.Masking()(start))))
    model.compile("sgd", "mse")
    x, y = np.ones((3, 6, 2, 4), "float32"), np.zeros((3, 36))
    assert model.predict(x).shape == y.shape
    with pytest.raises(ValueError, match="cannot leave masked steps out of the statistics"):
        model.fit(x, y, verbose=0)
    steps.trainable = False  # now it normalises by the averages: mean 0, variance 1
    model.compile("sgd", "mse")
    loss = model.fit(x, y, verbose=0).history["loss"][0]
    assert loss == pytest.approx((model.predict(x).astype("float64") ** 2).mean(), rel=1e-5)


def test_a_failed_connection_leaves_no_weights():
    lstm = layers.LSTM(2, stateful=True)
    norm = layers.BatchNormalization()
    chain = layers.TimeDistributed(ck.Sequential([norm, layers.Conv2D(2, 3)]))
    other = layers.LSTM(3, go_backwards=True)
    sides = layers.Bidirectional(layers.LSTM(2), "sum", backward_layer=other)
    for layer, shape, message in (
        (lstm, (6, 3), "needs a fixed batch size"),
        (layers.TimeDistributed(sides), (2, 6, 3), "needs outputs of one shape"),
        (chain, (6, 3), "expects rank 4"),
    ):
        with pytest.raises(ValueError, match=message):
            layer(ck.Input(shape))
        assert not layer.built and layer.count_params() == 0
    assert lstm(ck.Input((6, 5), batch_size=2)).shape == (None, 2)
    assert [p.shape for p in lstm.weights] == [(5, 8), (2, 8), (8,), (2, 2), (2, 2)]
    with pytest.raises(ValueError, match="needs outputs of one shape"):
        sides(ck.Input((6, 5)))
    assert norm(ck.Input((7,))).shape == (None, 7)


def test_what_cannot_be_trained_through_is_refused_inside_a_wrapper():
    step = layers.Lambda(np.sign, name="sign")
    ways = (
        [layers.Dense(3, name="d"), layers.TimeDistributed(layers.TimeDistributed(step))],
        [layers.TimeDistributed(ck.Sequential([layers.Dense(3, name="d"), step]))],
        [layers.Dense(3, name="d"), layers.TimeDistributed(layers.Activation("step", name="sign"))],
        [layers.TimeDistributed(layers.Dense(3, "step", name="d"))],
    )
    for way in ways:
        model = ck.Sequential([ck.Input((2, 6, 4)), *way, layers.Dense(2)])
        with pytest.raises(ValueError, match=r"'(sign|d)' .* weights of layer 'd' before it"):
            model.compile("sgd", "mse")
    # Before the weights it is no obstacle.
    inner = ck.Sequential([step, layers.Dense(2)])
    model = ck.Sequential([ck.Input((6, 4)), layers.TimeDistributed(inner)])
    model.compile(ck.optimizers.SGD(1.0), "mse")
    kernel, bias = model.get_weights()
    x = sequences(3, 6, 4)
    slope = np.sign(x) @ kernel + bias
    model.fit(x, np.zeros((3, 6, 2)), batch_size=3, verbose=0)
    moved = kernel - np.tensordot(np.sign(x), slope, ([0, 1], [0, 1])) / 18
    np.testing.assert_allclose(model.get_weights()[0], moved, atol=1e-6)
