"""States that go from batch to batch, and gradients that do not."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import convkit as ck
from convkit import layers
from layers import loops
from layers.test_recurrent import THREE, make, sequences, shake


def stateful(name, steps, batch=2, **options):
    model = ck.Sequential(
        [
            ck.Input((steps, 4), batch_size=batch),
            make(name, 5, stateful=True, return_sequences=True, **options),
            layers.Dense(3, name="out"),
        ]
    )
    return model


def whole(name, steps, **options):
    return ck.Sequential(
        [
            ck.Input((steps, 4)),
            make(name, 5, return_sequences=True, **options),
            layers.Dense(3, name="out"),
        ]
    )


def trained(model):
    """The weights that are no states."""
    return [p.numpy() for p in model.trainable_weights]


def share(model, other):
    for p, q in zip(model.trainable_weights, other.trainable_weights, strict=True):
        p.assign(q.numpy())


@pytest.mark.parametrize("executor", ["native", "eager", "reference"])
@pytest.mark.parametrize("name", THREE)
def test_chunks_continue_each_other(name, executor):
    x = sequences(2, 9, 4)
    long, short = whole(name, 9), stateful(name, 3)
    shake(long)
    share(short, long)
    short.executor = executor
    expected = long.predict(x)
    for _ in range(2):
        got = np.concatenate([short.predict(x[:, at : at + 3]) for at in (0, 3, 6)], axis=1)
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
        short.reset_states()
    # Several batches of one call do so, too.
    chunks = x.reshape(2, 3, 3, 4).swapaxes(0, 1).reshape(6, 3, 4)
    got = short.predict(chunks).reshape(3, 2, 3, 3).swapaxes(0, 1).reshape(2, 9, 3)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def gradients(model, x, y):
    """Gradients of one step, by the trick that SGD with rate 1 subtracts them."""
    model.compile(ck.optimizers.SGD(1.0), ck.losses.MeanSquaredError(reduction="sum"))
    before = trained(model)
    model.train_on_batch(x, y)
    after = trained(model)
    for p, value in zip(model.trainable_weights, before, strict=True):
        p.assign(value)
    return [b.astype("f8") - a for b, a in zip(before, after)]


@pytest.mark.parametrize("name", THREE)
def test_chunks_train_like_the_whole_with_the_states_gradient_cut(name):
    x = sequences(2, 6, 4)
    y = np.random.default_rng(3).standard_normal((2, 6, 3)).astype("float32")
    cut, chunks, full = whole(name, 6, truncate=3), stateful(name, 3), whole(name, 6)
    shake(cut)
    share(chunks, cut)
    share(full, cut)
    expected = gradients(cut, x, y)
    parts = [gradients(chunks, x[:, at : at + 3], y[:, at : at + 3]) for at in (0, 3)]
    for got_a, got_b, want in zip(*parts, expected, strict=True):
        np.testing.assert_allclose(got_a + got_b, want, rtol=2e-4, atol=2e-5)
    # Which is not the gradient of the whole.
    assert any(np.abs(a - b).max() > 1e-2 for a, b in zip(expected, gradients(full, x, y)))


def test_truncation_over_the_whole_length_cuts_nothing():
    x = sequences(2, 6, 4)
    y = np.random.default_rng(3).standard_normal((2, 6, 3)).astype("float32")
    full, cut = whole("lstm", 6), whole("lstm", 6, truncate=6)
    share(cut, full)
    for a, b in zip(gradients(full, x, y), gradients(cut, x, y)):
        np.testing.assert_array_equal(a, b)


def test_states_are_no_trainable_weights():
    model = stateful("lstm", 3)
    assert [p.path.rsplit(".", 1)[1] for p in model.layers[0].non_trainable_weights] == [
        "state_h", "state_c",
    ]  # fmt: skip
    assert sum(p.size for p in model.trainable_weights) == 4 * 5 * (5 + 4 + 1) + 6 * 3
    assert model.count_params() == 4 * 5 * (5 + 4 + 1) + 6 * 3 + 2 * (2 * 5)
    lines = []
    model.summary(print_fn=lines.append)
    assert any("Non-trainable params: 20 " in line for line in lines)


def test_fit_carries_the_state_and_evaluate_too():
    x = sequences(8, 3, 4)
    y = np.zeros((8, 3, 3), "float32")
    model = stateful("gru", 3)
    shake(model)
    model.reset_states()
    model.compile(ck.optimizers.SGD(0.0), "mse")
    model.fit(x, y, shuffle=False, verbose=0)
    state = model.layers[0].non_trainable_weights[0].numpy()
    weights = model.layers[0].get_weights()[:3]
    joined = x.reshape(4, 2, 3, 4).swapaxes(0, 1).reshape(2, 12, 4)
    np.testing.assert_allclose(state, loops.run("gru", joined, weights)[1][0], atol=1e-5)
    model.reset_states()
    model.evaluate(x, y, verbose=0)
    again = model.layers[0].non_trainable_weights[0].numpy()
    np.testing.assert_allclose(again, state, atol=1e-6)


def test_resetting_both_directions():
    both = layers.Bidirectional(layers.LSTM(3, return_sequences=True, stateful=True))
    model = ck.Sequential([ck.Input((4, 2), 2), both])
    shake(model)
    given = [np.full((2, 3), v) for v in (0.5, -2.0, 1.0, 0.25)]
    x = sequences(2, 4, 2)
    weights = [
        [p.numpy() for p in side.parameters if p.trainable]
        for side in (both.forward_layer, both.backward_layer)
    ]
    both.reset_states(given)
    y = model.predict(x)
    forward, _ = loops.run("lstm", x, weights[0], initial=given[:2])
    backward, _ = loops.run("lstm", x[:, ::-1], weights[1], initial=given[2:])
    np.testing.assert_allclose(y[..., :3], forward, atol=1e-5)
    np.testing.assert_allclose(y[..., 3:], backward[:, ::-1], atol=1e-5)
    both.reset_states()
    assert not any(p.numpy().any() for p in both.non_trainable_weights)
    with pytest.raises(ValueError, match="carries 4 states, 2 forwards and 2 backwards, got 2"):
        both.reset_states(given[:2])


def test_resetting():
    model = stateful("lstm", 3)
    layer = model.layers[0]
    given = [np.full((2, 5), v) for v in (0.5, -2.0)]
    layer.reset_states(given)
    x = sequences(2, 3, 4)
    y = model.predict(x)
    weights = layer.get_weights()[:3]
    _, finals = loops.run("lstm", x, weights, initial=given)
    for p, final in zip(layer.non_trainable_weights, finals):
        np.testing.assert_allclose(p.numpy(), final, atol=1e-5)
    model.reset_states()
    assert not any(p.numpy().any() for p in layer.non_trainable_weights)
    layer.reset_state(given)  # Keras 3's name
    assert (model.predict(x) == y).all()
    with pytest.raises(ValueError, match="carries 2 states, got 1"):
        layer.reset_states(given[:1])
    with pytest.raises(ValueError, match=r"state_h has shape \(2, 5\), got \(3, 5\)"):
        layer.reset_states([np.zeros((3, 5))] * 2)
    layers.LSTM(3).reset_states()  # has none


def test_a_step_that_fails_leaves_the_state_alone():
    model = stateful("gru", 3)
    model.compile("sgd", "mse")
    x = sequences(2, 3, 4)
    model.fit(x, np.zeros((2, 3, 3)), shuffle=False, verbose=0)
    before = model.get_weights()
    x[0, 0, 0] = np.nan
    with pytest.raises(ck.errors.NonFiniteError):
        model.fit(x, np.zeros((2, 3, 3)), shuffle=False, verbose=0)
    assert all((a == b).all() for a, b in zip(before, model.get_weights()))


def test_gradients_and_executors_with_a_state():
    model = stateful("lstm", 4)
    shake(model)
    model.compile("adam", "mse")
    x = sequences(2, 4, 4)
    y = np.random.default_rng(3).standard_normal((2, 4, 3)).astype("float32")
    assert ck.testing.compare(model, x, y).agrees
    report = ck.testing.check_gradients(model, x, y, max_entries=30)
    assert report.passed, report


@pytest.mark.parametrize(
    "begin",
    [
        lambda: [ck.Input((3, 4), batch_size=2), layers.LSTM(5, stateful=True)],
        lambda: [ck.Input(batch_shape=(2, 3, 4)), layers.LSTM(5, stateful=True)],
        lambda: [layers.LSTM(5, stateful=True, batch_input_shape=(2, 3, 4))],
        lambda: [
            layers.Dense(4, batch_input_shape=(2, 3, 4)),
            layers.GRU(3, stateful=True, return_sequences=True),
            layers.GRU(3, stateful=True),
        ],
        lambda: [
            layers.Bidirectional(layers.GRU(3, stateful=True), batch_input_shape=(2, 3, 4)),
        ],
        lambda: [
            layers.Bidirectional(layers.GRU(3, stateful=True, batch_input_shape=(2, 3, 4))),
        ],
    ],
)
def test_the_batch_size(begin):
    model = ck.Sequential([*begin(), layers.Dense(1)])
    model.compile("sgd", "mse")
    x, y = sequences(5, 3, 4), np.zeros((5, 1))
    model.fit(x[:4], y[:4], shuffle=False, verbose=0)
    assert model.predict(x[:4]).shape == (4, 1)
    for call in (
        lambda: model.fit(x, y, shuffle=False, verbose=0),
        lambda: model.predict(x),
        lambda: model.evaluate(x, y, verbose=0),
    ):
        with pytest.raises(ValueError, match="5 samples do not make whole batches of 2, for which"):
            call()
    for call in (
        lambda: model.fit(x[:4], y[:4], batch_size=4, shuffle=False, verbose=0),
        lambda: model.predict(x[:4], batch_size=4),
        lambda: model.predict_on_batch(x[:4]),
        lambda: model.train_on_batch(x[:4], y[:4]),
        lambda: model.fit([(x[:4], y[:4])].__iter__(), verbose=0),
    ):
        with pytest.raises(
            ValueError, match=r"batches have 4 samples, .*keeps a state for batches"
        ):
            call()
    copy.deepcopy(model).predict(x[:4])


def test_shuffling_is_warned_of():
    model = stateful("gru", 3)
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match=r"carries its state .* give fit shuffle=False"):
        model.fit(sequences(2, 3, 4), np.zeros((2, 3, 3)), verbose=0)


def test_the_rest_of_a_split_must_fit():
    model = stateful("gru", 3)
    model.compile("sgd", "mse")
    x, y = sequences(6, 3, 4), np.zeros((6, 3, 3))
    model.fit(x, y, validation_split=0.33, shuffle=False, verbose=0)
    with pytest.raises(ValueError, match="samples do not make whole batches"):
        model.fit(x, y, validation_split=0.5, shuffle=False, verbose=0)


def test_threads_take_turns_with_the_state():
    layer = layers.SimpleRNN(
        32, "relu", stateful=True, kernel_initializer="zeros", bias_initializer="ones",
        recurrent_initializer=ck.initializers.Constant(np.eye(32)),
    )  # fmt: skip
    model = copy.deepcopy(ck.Sequential([ck.Input((2000, 4), batch_size=2), layer]))
    x = np.zeros((10, 2000, 4), "float32")
    model.predict(x, batch_size=2, verbose=0)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: model.predict(x, batch_size=2, verbose=0), range(40)))
    # It counts steps: each batch ends 2000 after another one, and none is left out.
    ends = np.sort(np.concatenate(results)[:, 0])
    np.testing.assert_array_equal(ends, np.repeat(np.arange(6, 206) * 2000, 2))
