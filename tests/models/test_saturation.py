"""The warning where units start on the flat of their activation: when, in which words, at what
cost, and silence for every network that begins well.
"""

import warnings

import numpy as np
import pytest

import convkit as ck
from convkit import initializers, layers
from convkit.models import saturation
from convkit.models.data import check_samples
from convkit.models.saturation import flat_layers
from models.conftest import blobs

ONES = initializers.RandomUniform(0, 1)  # "small random values, such as 0 to 1"


def wide(activation="sigmoid", initial=ONES, loss="mse", features=200, **options):
    model = ck.Sequential(
        [
            ck.Input((features,)),
            layers.Dense(50, activation, kernel_initializer=initial, name="wide", **options),
            layers.Dense(1, name="out"),
        ]
    )
    model.compile("sgd", loss)
    return model


def data(n=100, features=200, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((n, features), dtype=np.float32), rng.random((n, 1))


def found(model, x, y):
    model.build()
    return flat_layers(model, check_samples("fit", model, x, y, loss=model.loss), model.loss)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "softsign", "hard_sigmoid", "hardtanh"])
def test_weights_from_0_to_1_saturate_a_wide_layer(activation):
    """Sums of 200 products of numbers in 0..1: 50 with a deviation of 3, far on the flat."""
    model = wide(activation)
    with pytest.warns(UserWarning, match=f"layer 'wide': 100% .* where {activation} is flat"):
        model.fit(*data(), verbose=0)


def test_the_share_is_that_of_outputs_with_a_small_slope():
    model, (x, y) = wide(features=12), data(features=12)
    model.build()
    z = x[:64].astype(float) @ model.get_weights()[0]
    a = 1 / (1 + np.exp(-z))
    share = (a * (1 - a) < 0.01 / 4).mean()
    assert share < 0.8 and found(model, x, y) == []
    w = model.get_weights()[0]
    model.layers[0].set_weights([2.5 * w, np.zeros(50)])
    a = 1 / (1 + np.exp(-2.5 * z))
    (layer,) = found(model, x, y)
    assert layer.name == "wide" and layer.kind == "sigmoid"
    assert layer.share == pytest.approx((a * (1 - a) < 0.01 / 4).mean(), abs=1e-3)
    assert 0.8 < layer.share < 1


def test_the_message_names_the_way_out():
    with pytest.warns(UserWarning) as caught:
        wide().fit(*data(), verbose=0)
    (warning,) = caught
    text = str(warning.message)
    assert "kernel_initializer='glorot_uniform'" in text and "scale the data" in text
    assert warning.filename == __file__


def test_dead_relus():
    model = wide("relu", "he_normal", bias_initializer=initializers.Constant(-100))
    with pytest.warns(UserWarning, match="layer 'wide': all outputs of relu are 0 .*='he_normal'"):
        model.fit(*data(), verbose=0)
    x, y = data()
    assert found(wide("relu", "he_normal"), x, y) == []
    assert found(wide("leaky_relu", bias_initializer=initializers.Constant(-100)), x, y) == []
    assert found(wide("relu", "he_normal"), 0 * x, y) == []  # the data are to blame


def test_an_activation_layer_of_its_own_and_a_recurrent_layer():
    x, y = data()
    model = ck.Sequential(
        [
            ck.Input((200,)),
            layers.Dense(50, kernel_initializer=ONES),
            layers.Activation("tanh", name="flat"),
            layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    assert [layer.name for layer in found(model, x, y)] == ["flat"]
    model = ck.Sequential(
        [
            ck.Input((10, 20)),
            layers.SimpleRNN(30, kernel_initializer=ONES, recurrent_initializer=ONES, name="rnn"),
            layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    assert [layer.name for layer in found(model, x.reshape(-1, 10, 20), y)] == ["rnn"]


def test_cross_entropy_makes_up_for_a_flat_output():
    x, y = data()
    for loss, names in (("bce", []), ("mse", ["out"])):
        model = ck.Sequential(
            [ck.Input((200,)), layers.Dense(1, "sigmoid", kernel_initializer=ONES, name="out")]
        )
        model.compile("sgd", loss)
        assert [layer.name for layer in found(model, x, y)] == names


def test_one_warning_for_many_layers():
    stack = [layers.Dense(50, "tanh", kernel_initializer=ONES) for _ in range(5)]
    model = ck.Sequential([ck.Input((200,)), *stack, layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.warns(UserWarning, match="2 more layers likewise") as caught:
        model.fit(*data(), epochs=2, verbose=0)
    assert len(caught) == 1


def test_raw_pixels_are_reported_once():
    x, y = data()
    with pytest.warns(UserWarning, match="x has values up to 2") as caught:
        wide(initial="glorot_uniform").fit(255 * x, y, verbose=0)
    assert len(caught) == 1 and caught[0].filename == __file__


def test_trained_weights_are_left_alone():
    x, y = data()
    model = wide()
    with pytest.warns(UserWarning, match="is flat"):
        model.fit(x, y, verbose=0)
    model.fit(x, y, verbose=0)  # warnings are errors


def test_nothing_changes():
    """Batch normalization as in training, which scales what comes in, and no state is touched."""
    x, y = data()
    model = ck.Sequential(
        [
            ck.Input((200,)),
            layers.Dense(50, kernel_initializer=ONES, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("sigmoid"),
            layers.Dropout(0.5),
            layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    model.build()
    before = model.get_weights()
    assert found(model, x, y) == []
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_large_models_are_looked_at_with_few_samples_or_not_at_all(monkeypatch):
    seen = []
    forward = saturation._forward
    monkeypatch.setattr(
        saturation, "_forward", lambda model, samples, rows: (
            seen.append(rows), forward(model, samples, rows))[1],
    )  # fmt: skip
    x, y = data()
    model = wide()
    model.build()
    each = forward(model, check_samples("fit", model, x, y, loss=model.loss), 1).flops
    for limit, rows, names in (
        (64 * each, [64], ["wide"]),
        (10 * each, [64, 10], ["wide"]),
        (3 * each, [64], []),
    ):
        monkeypatch.setattr(saturation, "FLOPS", limit)
        seen.clear()
        assert [layer.name for layer in found(model, x, y)] == names
        assert seen == rows


def test_a_function_of_the_user_is_not_called():
    calls = []

    def counted(x):
        calls.append(1)
        return x

    model = ck.Sequential([ck.Input((4,)), layers.Lambda(counted)])
    model.compile("sgd", "mse")
    x, _ = blobs(8)
    model.build()
    calls.clear()
    assert found(model, x, x) == [] and not calls


LARGE = [name for name in ck.models.names() if name.startswith(("vgg", "alex"))]
SMALL = {
    "alexnet": {"variant": "cifar"},
    "char_rnn": {"vocabulary": 12, "units": 32, "steps": 20},
    **{name: {"variant": "cifar"} for name in ("vgg11", "vgg13", "vgg16", "vgg19")},
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", sorted({*ck.models.names()} - {*LARGE}))
def test_builders_begin_well(name, seed):
    check_builder(ck.models.get(name)(**SMALL.get(name, {})), seed)


@pytest.mark.parametrize("variant", ["1998", "modern", "caffe"])
def test_lenets_begin_well(variant):
    check_builder(ck.models.lenet5(variant), 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_large_builders_begin_well(name, monkeypatch):
    monkeypatch.setattr(saturation, "FLOPS", 10**12)
    monkeypatch.setattr(saturation, "ROWS", 4)
    check_builder(ck.models.get(name)(**SMALL[name]), 0)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "elu", "hardtanh", "softsign"])
def test_deep_perceptrons_begin_well(activation):
    check_builder(ck.models.mlp((100, 64, 64, 64, 64, 10), activation), 0)


def check_builder(model, seed):
    ck.set_seed(seed)
    rng = np.random.default_rng(seed)
    shape, output = model.inputs[0].shape[1:], model.outputs[0].shape[1:]
    words = any(isinstance(layer, layers.Embedding) for layer in model.layers)
    words |= any(isinstance(layer, layers.CategoryEncoding) for layer in model.layers)
    x = rng.integers(0, 12, (64, *shape)) if words else rng.random((64, *shape), np.float32)
    sparse = output[-1] > 1
    loss = "sparse_categorical_crossentropy" if sparse else "mse"
    y = rng.integers(0, output[-1], (64, *output[:-1])) if sparse else rng.random((64, *output))
    model.compile("sgd", loss)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert found(model, x, y) == []
