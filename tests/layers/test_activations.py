"""What ``activation=`` accepts, and the activation layers."""

import numpy as np
import pytest

import convkit as ck
from convkit import activations, layers


@pytest.mark.parametrize(
    ("given", "kind", "alpha"),
    [
        (None, "linear", 0.0),
        ("relu", "relu", 0.0),
        ("ReLU", "relu", 0.0),
        ("swish", "silu", 0.0),
        ("leaky_relu", "leaky_relu", 0.2),
        ("softmax", "softmax", 0.0),
        (ck.activations.tanh, "tanh", 0.0),
        (ck.nn.sigmoid, "sigmoid", 0.0),
        (layers.LeakyReLU(), "leaky_relu", 0.3),
        (layers.LeakyReLU(alpha=0.1), "leaky_relu", 0.1),
        (layers.ReLU(negative_slope=0.5), "leaky_relu", 0.5),
        (layers.ELU(), "elu", 1.0),
        (layers.Softmax(), "softmax", 0.0),
        (layers.Activation("gelu"), "gelu", 0.0),
    ],
)
def test_accepted(given, kind, alpha):
    function = layers.Dense(3, activation=given).activation
    assert (function.kind, function.alpha) == (kind, alpha)


def test_an_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="unknown activation 'sigmod'; did you mean 'sigmoid'"):
        layers.Dense(3, activation="sigmod")


def test_a_callable_without_kernel_is_refused_with_what_is_accepted():
    with pytest.raises(TypeError, match=r"function of convkit.activations or convkit.nn"):
        layers.Dense(3, activation=lambda x: x)
    with pytest.raises(TypeError, match="did you mean 'tanh'"):
        layers.Dense(3, activation=np.tanh)


def test_unsupported_arguments_are_refused():
    with pytest.raises(ValueError, match="max_value=6 is not supported"):
        layers.ReLU(max_value=6)
    with pytest.raises(ValueError, match="last axis only"):
        layers.Softmax(axis=1)(ck.Input((3, 4)))
    with pytest.raises(ValueError, match="at least 0"):
        layers.LeakyReLU(-0.1)


def test_every_kind_has_a_kernel():
    from convkit.ops.activation import KINDS

    rows = {"softmax", "log_softmax"}
    assert {activations.get(kind).kind for kind in KINDS} == set(KINDS)
    assert set(activations._KNOWN) == set(KINDS) | rows


def test_calling_on_arrays():
    x = np.array([[-1.0, 0.0, 2.0]], np.float32)
    np.testing.assert_array_equal(activations.relu(x), [[0, 0, 2]])
    np.testing.assert_allclose(activations.relu(x, negative_slope=0.5), [[-0.5, 0, 2]])
    np.testing.assert_allclose(ck.nn.leaky_relu(x, alpha=0.1), [[-0.1, 0, 2]], rtol=1e-6)
    e = np.exp(x - 2)
    np.testing.assert_allclose(ck.nn.softmax(x), e / e.sum(), rtol=1e-6)


def test_calling_on_nodes_makes_a_layer():
    node = ck.nn.relu(ck.Input((3,)))
    assert node.shape == (None, 3)
    assert isinstance(node.layer, layers.Activation)


def test_an_activation_is_an_instruction_of_its_own():
    from convkit.ops.registry import Spec
    from convkit.program.builder import Builder
    from convkit.program.program import Program, Value

    x = ck.Input((5,))
    h = layers.Dense(4, "relu")(x)
    y = layers.Dense(3, "softmax")(h)
    builder = Builder(Program("", "predict", 2), training=False)
    value = Value("x", Spec((2, 5)))
    for node in (h, y):
        value = node.layer.emit(builder, [value])
    names = [f"{i.op}.{i.pass_name}" for i in builder.program.instructions]
    assert names == ["dense.forward", "activation.forward", "dense.forward", "softmax.forward"]
    assert value.spec.shape == (2, 3)
