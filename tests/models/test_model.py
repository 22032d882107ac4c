"""Building, weights, sharing, names: what a model is before it is trained."""

import numpy as np
import pytest

import convkit as ck
from convkit import layers


@pytest.fixture(autouse=True)
def _same_names_and_seed():
    layers.reset_names()
    ck.set_seed(1)
    yield
    ck.set_seed(None)


def _model():
    return ck.Sequential(
        [ck.Input((8, 8, 1)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)], name="m"
    )


def test_weights_come_in_kerass_order_and_can_be_set():
    model = _model()
    shapes = [w.shape for w in model.get_weights()]
    assert shapes == [(3, 3, 1, 2), (2,), (72, 3), (3,)]
    assert [p.path for p in model.weights] == [
        "conv2d.kernel", "conv2d.bias", "dense.kernel", "dense.bias",
    ]  # fmt: skip
    new = [np.full(s, i, np.float32) for i, s in enumerate(shapes)]
    model.set_weights(new)
    for got, expected in zip(model.get_weights(), new):
        np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(model.layers[0].get_weights()[1], [1, 1])


def test_wrong_weights_name_the_layer_and_change_nothing():
    model = _model()
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"'dense': kernel has shape \(72, 3\), got \(3, 72\)"):
        model.set_weights([np.zeros_like(w) for w in before[:2]] + [before[2].T, before[3]])
    with pytest.raises(ValueError, match="model 'm' has 4 weights, got 1"):
        model.set_weights(before[:1])
    for got, expected in zip(model.get_weights(), before):
        np.testing.assert_array_equal(got, expected)


def test_the_same_seed_gives_the_same_weights():
    first, second = _model().get_weights(), _model().get_weights()
    ck.set_seed(2)
    third = _model().get_weights()
    np.testing.assert_array_equal(first[0], second[0])
    assert not np.array_equal(first[0], third[0])
    assert not first[1].any()


def test_weights_are_views_of_one_buffer():
    model = _model()
    kernel = model.get_layer("dense").kernel
    kernel.value[...] = 7
    assert np.count_nonzero(model.store.parameters == 7) == kernel.size
    assert np.shares_memory(kernel.value, model.store.parameters)


def test_frozen_layers_leave_the_trainable_stretches():
    model = _model()
    everything = sum(s.length for s in model.store.stretches())
    model.get_layer("dense").trainable = False
    assert [p.layer for p in model.trainable_weights] == ["conv2d", "conv2d"]
    assert sum(s.length for s in model.store.stretches()) < everything
    model.trainable = False
    assert model.store.stretches() == []
    assert len(model.non_trainable_weights) == 4
    assert _trainable_false_layer().trainable_weights == []


def _trainable_false_layer():
    layer = layers.Dense(2, trainable=False)
    layer(ck.Input((3,)))
    return layer


def test_layers_are_found_by_name_and_index():
    model = _model()
    assert model.get_layer("dense") is model.get_layer(index=-1) is model.get_layer(2)
    with pytest.raises(ValueError, match="no layer 'dens'; did you mean 'dense'"):
        model.get_layer("dens")
    with pytest.raises(ValueError, match="has 3 layers, there is none of index 3"):
        model.get_layer(index=3)


def test_a_model_without_shape_says_how_to_give_one():
    model = ck.Sequential([layers.Dense(3)])
    assert not model.built
    for call in (model.get_weights, model.count_params, model.build):
        with pytest.raises(ValueError, match="does not know its input's shape yet"):
            call()
    model.build((None, 5))
    assert model.built
    assert model.count_params() == 18


def test_add_and_pop():
    model = ck.Sequential()
    model.add(layers.Input((4,)))
    model.add(layers.Dense(3))
    first = model.get_weights()
    model.add(layers.Dense(2))
    np.testing.assert_array_equal(model.get_weights()[0], first[0])  # values are kept
    assert model.output_shape == (None, 2)
    model.pop()
    assert model.output_shape == (None, 3)
    assert len(model.get_weights()) == 2


def test_what_a_sequential_model_refuses():
    model = ck.Sequential([layers.Dense(3, name="a", input_shape=(2,))])
    with pytest.raises(ValueError, match="already has a layer 'a'"):
        model.add(layers.Dense(3, name="a"))
    with pytest.raises(TypeError, match="add an instance, not the class: Dense"):
        model.add(layers.Dense)
    with pytest.raises(TypeError, match="takes layers"):
        model.add(ck.activations.relu)
    with pytest.raises(ValueError, match="comes first"):
        model.add(ck.Input((2,)))
    assert len(model.layers) == 1


def test_models_share_the_weights_of_shared_layers():
    model = _model()
    kernel = model.get_weights()[0]
    part = ck.Model(model.input, model.layers[0](model.input))
    np.testing.assert_array_equal(part.get_weights()[0], kernel)
    part.set_weights([kernel + 1, np.ones(2)])
    np.testing.assert_array_equal(model.get_weights()[0], kernel + 1)
    assert model.layers[0].kernel.store is model.store
    np.testing.assert_array_equal(part.get_weights()[1], [1, 1])


def test_models_inside_models():
    inner = _model()
    outer = ck.Sequential([inner, layers.ReLU()])
    assert outer.output_shape == (None, 3)
    x = ck.Input((8, 8, 1))
    twice = ck.Model(x, layers.add([inner(x), inner(x)]))
    assert twice.count_params() == inner.count_params() == outer.count_params()


def test_a_functional_model_needs_all_its_inputs():
    a, b = ck.Input((2,), name="a"), ck.Input((2,), name="b")
    with pytest.raises(ValueError, match="depends on input 'b'"):
        ck.Model(a, layers.add([a, b]))
    with pytest.raises(TypeError, match="nodes, from Input"):
        ck.Model(a, layers.Dense(3))
    with pytest.raises(TypeError, match=r"Model\(inputs, outputs\)"):
        ck.Model()
    with pytest.raises(ValueError, match="2 layers named 'x'"):
        ck.Model(a, layers.Dense(1, name="x")(layers.Dense(1, name="x")(a)))


def test_nested_chains_are_flattened_and_errors_say_so():
    base = ck.Sequential([ck.Input((2,)), layers.Dense(3, name="inside")], name="base")
    full = ck.Sequential([base, layers.Dense(4, name="head")])
    assert [layer.name for layer in full.layers] == ["inside", "head"]
    assert full.get_layer("inside") is base.get_layer("inside")
    with pytest.raises(ValueError, match=r"no layer 'base'.*inside.*flattened: their layers are"):
        full.get_layer("base")


def test_calls_are_in_order_and_without_those_that_nobody_reads():
    x = ck.Input((2,))
    h = layers.Dense(2, name="h")(x)
    layers.Dense(2, name="unread")(h)
    left, right = layers.Dense(2, name="left")(h), layers.Dense(2, name="right")(h)
    model = ck.Model([x], [layers.add([left, right], name="sum")])
    assert [call.layer.name for call in model.calls] == ["h", "left", "right", "sum"]
    assert model.layers[0].name == "input_layer"
