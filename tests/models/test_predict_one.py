"""`predict` of one batch takes a shorter way than `predict` of many; nobody can tell."""

import numpy as np
import pytest

import convkit as ck
from convkit import layers
from convkit.callbacks import Callback


def network():
    return ck.Sequential(
        [layers.Input((6, 6, 2)), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3)]
    )


def data(n=5, shape=(6, 6, 2), seed=0):
    return np.random.default_rng(seed).standard_normal((n, *shape)).astype(np.float32)


def one_by_one(model, x):
    return model.predict(iter([x]), verbose=0, steps=1)


@pytest.fixture
def model():
    model = network()
    model.predict(data(), verbose=0)  # from here on this kind of array is known
    assert model._loop._plain
    return model


@pytest.mark.parametrize("n", [1, 5, 32])
def test_it_gives_what_the_long_way_gives(model, n):
    x = data(n)
    np.testing.assert_array_equal(model.predict(x, verbose=0), one_by_one(model, x))
    np.testing.assert_array_equal(model(x), model.predict(x, verbose=0))
    assert model.predict(x).dtype == np.float32


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.astype(np.float64),
        lambda x: (x * 10).astype(np.int32),
        lambda x: x[::-1],
        lambda x: x[:, ::-1],
        lambda x: np.asfortranarray(x),
        lambda x: x.tolist(),
        lambda x: x.view(np.recarray),
        lambda x: np.repeat(x, 20, axis=0),
    ],
)
def test_other_arrays_are_taken_as_before(model, change):
    x = change(data())
    for _ in range(3):
        expected = one_by_one(model, np.ascontiguousarray(x))
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-6, atol=1e-6)


def test_misaligned_arrays_are_copied(model):
    x = data()
    raw = np.zeros(x.nbytes + 1, np.uint8)
    crooked = raw[1:].view(np.float32).reshape(x.shape)
    crooked[...] = x
    assert not crooked.flags.aligned
    np.testing.assert_array_equal(model.predict(crooked, verbose=0), model.predict(x, verbose=0))


@pytest.mark.parametrize("shape", [(6, 6, 1), (6, 6), (6, 2, 6), ()])
def test_other_shapes_are_refused_as_before(model, shape):
    with pytest.raises(ValueError, match="expects an array of shape"):
        model.predict(data(3, shape), verbose=0)


def test_errors_of_arguments_are_those_of_the_long_way(model):
    with pytest.raises(ValueError, match="batch_size is 0"):
        model.predict(data(), batch_size=0, verbose=0)
    with pytest.raises(TypeError, match="whole number"):
        model.predict(data(), batch_size="all", verbose=0)
    with pytest.raises(ValueError, match="verbose"):
        model.predict(data(), verbose=7)
    assert model.predict(data(0), verbose=0).shape == (0, 3)


def test_it_sees_new_weights(model):
    x = data()
    before = model.predict(x, verbose=0)
    model.set_weights([2 * w for w in model.get_weights()])
    after = model.predict(x, verbose=0)
    assert np.abs(after - before).max() > 0.1
    model.layers[-1].kernel.value[...] = 0
    model.layers[-1].bias.value[...] = 7
    np.testing.assert_array_equal(model.predict(x, verbose=0), np.full((5, 3), 7, np.float32))


def test_the_result_is_the_callers(model):
    x = data()
    first = model.predict(x, verbose=0)
    kept = first.copy()
    model.predict(data(seed=1), verbose=0)
    np.testing.assert_array_equal(first, kept)
    first[...] = 0
    np.testing.assert_array_equal(model.predict(x, verbose=0), kept)


def test_values_that_a_layer_looks_at_are_looked_at_each_time():
    model = ck.Sequential([layers.Input((4,)), layers.Embedding(10, 3), layers.Flatten()])
    good = np.array([[1, 2, 3, 9]], np.int32)
    for _ in range(2):
        model.predict(good, verbose=0)
        with pytest.raises(ValueError, match="10"):
            model.predict(good + 1, verbose=0)
    whole = ck.Sequential([layers.Input((2,), dtype="int32"), layers.Dense(1)])
    for _ in range(2):
        whole.predict(np.ones((1, 2), np.float32), verbose=0)
        with pytest.raises(ValueError, match="not whole"):
            whole.predict(np.full((1, 2), 0.5, np.float32), verbose=0)


def test_several_outputs_are_a_list():
    x = ck.Input((6,))
    model = ck.Model(x, [layers.Dense(2)(x), layers.Dense(3)(x)])
    values = data(4, (6,))
    for _ in range(2):
        a, b = model.predict(values, verbose=0)
        assert (a.shape, b.shape) == ((4, 2), (4, 3))


def test_callbacks_are_called(model):
    seen = []

    class Look(Callback):
        def on_predict_batch_end(self, batch, logs=None):
            seen.append(batch)

    model.predict(data(), verbose=0, callbacks=[Look()])
    assert seen == [0]


def test_a_line_is_printed_if_asked_for(model, capsys):
    model.predict(data(), verbose=2)
    assert "1/1" in capsys.readouterr().out
    model.predict(data(), verbose=1)
    assert capsys.readouterr().out == ""


def test_other_executors_predict_too(model):
    x = data()
    native = model.predict(x, verbose=0)
    model.executor = "reference"
    for _ in range(2):
        np.testing.assert_allclose(model.predict(x, verbose=0), native, rtol=1e-4, atol=1e-5)


def test_states_that_are_carried_on_keep_their_batches():
    model = ck.Sequential(
        [layers.Input((3, 2), batch_size=4), layers.SimpleRNN(3, stateful=True), layers.Dense(1)]
    )
    x = data(4, (3, 2))
    first = model.predict(x, verbose=0)
    second = model.predict(x, verbose=0)
    assert np.abs(second - first).max() > 0
    with pytest.raises(ValueError, match="whole batches"):
        model.predict(data(3, (3, 2)), verbose=0)
