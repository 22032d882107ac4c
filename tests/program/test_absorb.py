"""Absorb: which derivatives go into the pass before them, and which stay where they are."""

import numpy as np
import pytest

import convkit as ck
from convkit.ops.choosing import Policy
from convkit.run.interpreter import ReferenceExecutor
from program.graphs import calls, compiled, named

APART = "activation.backward_from_output"


def sequential(*layers, shape=(6, 6, 2)):
    return ck.Sequential([ck.Input(shape), *layers, ck.layers.Flatten(), ck.layers.Dense(3)])


@pytest.mark.parametrize(
    ("behind", "maker"),
    [
        (lambda: [ck.layers.Conv2D(3, 2)], ("conv2d", "backward_input")),
        (
            lambda: [ck.layers.Conv2D(3, 2), ck.layers.MaxPooling2D(2)],
            ("conv2d_pool", "backward_input"),
        ),
        (lambda: [ck.layers.AveragePooling2D(2)], ("pool2d", "average_backward")),
        (lambda: [], ("dense", "backward_input")),
    ],
)
@pytest.mark.parametrize("kind", ["relu", "tanh", "elu", "leaky_relu"])
def test_a_derivative_goes_into_the_pass_that_makes_its_gradient(behind, maker, kind):
    fused = Policy(kernels={"conv2d_pool": "cpu_implicit_gemm"})  # however small it is
    model = sequential(ck.layers.Conv2D(4, 3, activation=kind), *behind())
    program = compiled(model, "train", policy=fused)
    assert APART not in calls(program)
    (i,) = named(program, *maker)[-1:]
    conv = named(program, "conv2d", "forward")[0]
    assert (i.params["through"], i.params["through_alpha"]) == (kind, conv.params["alpha"])
    assert i.inputs[-1].root is conv.outputs[0]
    assert i.inputs[-1].spec == i.outputs[0].spec
    assert f" *{kind}'" in str(i)
    weight = named(program, "conv2d", "backward_weight")[-1]
    assert weight.inputs[0].root is i.outputs[0].root
    assert weight.inputs[0].spec == conv.outputs[0].spec


def test_an_activation_that_stands_alone_is_absorbed_too():
    layers = ck.layers.BatchNormalization(), ck.layers.ReLU(), ck.layers.MaxPooling2D(2)
    program = compiled(sequential(ck.layers.Conv2D(4, 3), *layers), "train")
    assert APART not in calls(program)
    assert named(program, "pool2d", "max_backward")[0].params["through"] == "relu"


def test_of_two_activations_in_a_row_one_is_absorbed():
    layers = ck.layers.ReLU(), ck.layers.Activation("tanh"), ck.layers.MaxPooling2D(2)
    program = compiled(sequential(*layers[:1], ck.layers.Conv2D(4, 3), *layers), "train")
    assert calls(program).count(APART) == 1
    assert named(program, "pool2d", "max_backward")[0].params["through"] == "tanh"


@pytest.mark.parametrize("kind", ["gelu", "silu"])
def test_what_needs_its_input_stays(kind):
    layers = ck.layers.Conv2D(4, 3, activation=kind), ck.layers.MaxPooling2D(2)
    program = compiled(sequential(*layers), "train")
    assert "activation.backward" in calls(program)
    assert named(program, "pool2d", "max_backward")[0].params["through"] == "linear"


def test_a_gradient_that_is_a_sum_stays():
    x = ck.Input((6, 6, 2))
    h = ck.layers.Conv2D(4, 3, activation="relu")(x)
    a, b = ck.layers.MaxPooling2D(2)(h), ck.layers.AveragePooling2D(2)(h)
    y = ck.layers.Dense(3)(ck.layers.Flatten()(ck.layers.Concatenate()([a, b])))
    program = compiled(ck.Model(x, y), "train")
    assert calls(program).count(APART) == 1
    assert {i.params["through"] for i in named(program, "pool2d")} == {"linear"}


def test_a_gradient_that_is_read_elsewhere_stays():
    """That of a residual sum goes to both of its terms."""
    x = ck.Input((6, 6, 2))
    h = ck.layers.Conv2D(4, 3, activation="relu")(x)
    total = ck.layers.Add()([ck.layers.ReLU()(h), ck.layers.Conv2D(4, 3)(x)])
    y = ck.layers.Dense(3)(ck.layers.Flatten()(ck.layers.MaxPooling2D(2)(total)))
    program = compiled(ck.Model(x, y), "train")
    assert named(program, "pool2d", "max_backward")[0].params["through"] == "linear"
    assert calls(program).count(APART) == 2


def test_the_gradients_are_those_of_the_instructions_apart(monkeypatch):
    model = sequential(
        ck.layers.Conv2D(5, 3, activation="tanh"),
        ck.layers.AveragePooling2D(2),
        ck.layers.Conv2D(4, 2, activation="elu"),
        ck.layers.Flatten(),
        ck.layers.Dense(7, "sigmoid"),
    )
    model.compile(ck.optimizers.SGD(0.1), "mse")
    model.build()
    rng = np.random.default_rng(0)
    data = {"x": rng.standard_normal((4, 6, 6, 2)), "y": rng.standard_normal((4, 3))}
    data["index"] = np.arange(4)
    found = []
    for apart in (False, True):
        if apart:
            monkeypatch.setattr("convkit.program.compile.absorb", lambda program: None)
        program = compiled(model, "train", batch=4)
        assert (APART in calls(program)) == apart
        executor = ReferenceExecutor(program, model.store)
        executor.run(data, 1, ck.ops.registry.Step(), None, program.zero_sums())
        found.append(executor.store.gradients.copy())
    assert np.abs(found[0]).max() > 1e-3
    np.testing.assert_allclose(*found, rtol=1e-12, atol=1e-15)
