"""Layers that are used in other ways than they are meant to be."""

import numpy as np
import pytest

import convkit as ck


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (ck.layers.Dropout(0.5), "rate"),
        (ck.layers.Dense(3), "units"),
        (ck.layers.Dense(3), "activation"),
        (ck.layers.Dense(3), "name"),
        (ck.layers.Dense(3), "kernel"),
    ],
)
def test_a_built_layer_does_not_change(layer, name):
    layer(ck.Input((4,)))
    with pytest.raises(AttributeError, match=f"is built, so its {name} cannot change"):
        setattr(layer, name, 1)
    layer.trainable = False
    assert not layer.trainable


def test_unknown_attributes_of_built_layers():
    layer = ck.layers.Dense(3)
    layer(ck.Input((4,)))
    with pytest.raises(AttributeError, match="did you mean 'trainable'"):
        layer.trainble = False


def test_layers_of_ones_own_keep_their_freedom():
    class Mine(ck.layers.Dense):
        pass

    layer = Mine(3)
    layer(ck.Input((4,)))
    layer.note = "seen"
    with pytest.raises(AttributeError, match="its units cannot change"):
        layer.units = 5


def test_a_layer_without_emit_is_told_what_to_define():
    class Double(ck.layers.Layer):
        def call(self, x):
            return 2 * x

    with pytest.raises(NotImplementedError, match=r"compute_output_shape.*call\(\) is not used"):
        Double()(ck.Input((4,)))

    class Half(Double):
        def compute_output_shape(self, input_shape):
            return input_shape

    model = ck.Sequential([ck.Input((4,)), Half()])
    with pytest.raises(NotImplementedError, match=r"define emit.*call\(\) is not used"):
        model.predict(np.zeros((1, 4), "float32"))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"dtype": "float64"}, "leave dtype out"),
        ({"dtype": np.float16}, "leave dtype out"),
        ({"batch_size": 0}, "batch_size must be a positive integer, got 0"),
        ({"batch_size": 2.5}, "batch_size must be a positive integer, got 2.5"),
        ({"shape": None, "batch_shape": (None, None, 4)}, "positive numbers"),
    ],
)
def test_inputs_that_would_be_ignored(options, text):
    with pytest.raises(ValueError, match=text):
        ck.Input(**{"shape": (4,), **options})


def test_harmless_inputs():
    assert ck.Input((4,), dtype=np.float32).shape == (None, 4)
    assert ck.Input(batch_shape=(None, 4), dtype="float32").shape == (None, 4)


def test_an_input_of_whole_numbers():
    tokens = ck.Input((3,), dtype="int32")
    model = ck.Model(tokens, ck.layers.Dense(2)(tokens))
    inside = ck.Sequential([model, ck.layers.Dense(1)])
    for network in (model, inside):
        for dtype in ("int64", "uint8", "float32"):
            assert len(network.predict(np.ones((2, 3), dtype), verbose=0)) == 2
        with pytest.raises(ValueError, match=r"not whole, and layer .* has an integer dtype"):
            network.predict(np.full((2, 3), 0.5), verbose=0)


@pytest.mark.parametrize(
    "layers",
    [
        lambda: [ck.Input((4,), batch_size=32), ck.layers.Dense(2)],
        lambda: [ck.Input(batch_shape=(32, 4)), ck.layers.Dense(2)],
        lambda: [ck.layers.Dense(2, batch_input_shape=(32, 4))],
    ],
)
def test_a_fixed_batch_size_without_a_state(layers):
    model = ck.Sequential(layers())
    with pytest.raises(ValueError, match=r"fixed batch size \(32\) is not supported"):
        model.predict(np.zeros((32, 4), "float32"))
