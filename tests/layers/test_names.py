"""Automatic names, keyword arguments, and being called."""

import numpy as np
import pytest

import convkit as ck
from convkit import layers
from convkit.layers.names import snake_case


@pytest.fixture(autouse=True)
def _names():
    layers.reset_names()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Conv2D", "conv2d"),
        ("MaxPooling2D", "max_pooling2d"),
        ("GlobalAveragePooling2D", "global_average_pooling2d"),
        ("LeakyReLU", "leaky_re_lu"),
        ("InputLayer", "input_layer"),
    ],
)
def test_names_are_keras_names(kind, name):
    assert snake_case(kind) == name


def test_names_are_numbered_and_the_count_can_begin_anew():
    assert [layers.Dense(1).name for _ in range(3)] == ["dense", "dense_1", "dense_2"]
    assert layers.Dense(1, name="mine").name == "mine"
    layers.reset_names()
    assert layers.Dense(1).name == "dense"


def test_an_unknown_argument_is_refused_with_the_nearest_one():
    with pytest.raises(TypeError, match="no argument 'stride'; did you mean 'strides'"):
        layers.Conv2D(3, 3, stride=2)


def test_an_unknown_layer_is_refused_with_the_nearest_one():
    with pytest.raises(AttributeError, match="did you mean 'MaxPooling2D'"):
        layers.MaxPoling2D  # noqa: B018


@pytest.mark.parametrize("argument", ["kernel_constraint", "bias_constraint"])
@pytest.mark.parametrize(
    "make", [lambda **k: layers.Dense(3, **k), lambda **k: layers.Conv2D(3, 3, **k)]
)
def test_constraints_may_be_none_only(make, argument):
    make(**{argument: None})
    with pytest.raises(ValueError, match=f"{argument} is not supported; leave it out"):
        make(**{argument: "l2"})


def test_a_layer_is_not_called_on_arrays():
    with pytest.raises(TypeError, match=r"got ndarray; .*model.predict\(x\)"):
        layers.Dense(3)(np.ones((2, 2)))


def test_a_layer_of_one_input_refuses_two():
    with pytest.raises(ValueError, match="takes one input, got 2"):
        layers.Dense(3)([ck.Input((2,)), ck.Input((2,))])


@pytest.mark.parametrize("shape", [28, (28, 0), (None, 28), "ab", (2.5,)])
def test_a_shape_that_is_none_is_refused(shape):
    with pytest.raises(ValueError, match="must be a tuple of positive numbers"):
        ck.Input(shape)


def test_a_layer_that_fails_to_build_declares_nothing():
    layer = layers.Conv2D(3, 9)
    with pytest.raises(ValueError, match="smallest image"):
        layer(ck.Input((4, 4, 1)))
    assert layer.parameters == []
    assert layer(ck.Input((12, 12, 1))).shape == (None, 4, 4, 3)


def test_weights_belong_to_a_model():
    layer = layers.Dense(3)
    layer(ck.Input((2,)))
    with pytest.raises(RuntimeError, match=r"'dense.kernel' has no values yet"):
        layer.get_weights()
