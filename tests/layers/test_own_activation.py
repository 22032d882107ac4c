"""ck.Activation: a function and its derivative, checked when made, native when trained."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import activations, layers
from convkit.ops.registry import Array
from convkit.run.native import NativeExecutor

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 8, 8, 1)).astype(np.float32)
Y = np.arange(60) % 4


def relu(x: Array) -> Any:
    return np.maximum(x, 0)


def relu_slope(x: Array) -> Any:
    return x > 0


def swish(x: Array) -> Any:
    return x / (1 + np.exp(-x))


def swish_slope(x: Array, y: Array) -> Any:
    s = 1 / (1 + np.exp(-x))
    return s + y * (1 - s)


OWN = {
    "relu": ck.Activation(relu, relu_slope),
    "tanh": ck.Activation(np.tanh, lambda x, y: 1 - y * y),
    "silu": ck.Activation(swish, swish_slope, name="silu"),
    "leaky_relu": ck.Activation(
        lambda x: np.where(x > 0, x, 0.2 * x), lambda x: np.where(x > 0, 1.0, 0.2), "leaky_relu"
    ),
}


def cnn(first: Any, second: Any) -> ck.Sequential:
    ck.set_seed(1)
    model = ck.Sequential(
        [
            ck.Input((8, 8, 1)),
            layers.Conv2D(3, 3, activation=first),
            layers.Conv2D(4, 3, activation="tanh"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(6, second),
            layers.Dense(4, "softmax"),
        ]
    )
    model.compile(ck.optimizers.SGD(0.1), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("name", OWN)
def test_a_cnn_trains_to_the_numbers_of_the_built_in(name: str) -> None:
    own, built_in = cnn(OWN[name], OWN[name]), cnn(name, name)
    for model in (own, built_in):
        model.fit(X, Y, batch_size=16, epochs=5, shuffle=False, verbose=0)
    for p, q in zip(own.get_weights(), built_in.get_weights(), strict=True):
        np.testing.assert_allclose(p, q, atol=2e-5)
    assert own._loop is not None
    assert {type(e) for e in own._loop._executors.values()} == {NativeExecutor}
    ops = [i.op for i in own.program().instructions]
    assert ops.count("function") == 4 and "activation" not in ops  # tanh is in the pooling


@pytest.mark.parametrize("name", ["silu", "tanh"])
def test_gradients_of_the_model(name: str) -> None:
    report = ck.testing.check_gradients(cnn(OWN[name], "sigmoid"), X[:8], Y[:8], max_entries=20)
    assert report.passed, report
    assert ck.testing.compare(cnn(OWN[name], "sigmoid"), X[:8], Y[:8]).agrees


@pytest.mark.parametrize(
    "make",
    [
        lambda f: [layers.Dense(3, f)],
        lambda f: [layers.Dense(3), layers.Activation(f)],
        lambda f: [layers.Reshape((4, 4, 4)), layers.Conv2D(2, 3, activation=f)],
        lambda f: [layers.Reshape((4, 4, 4)), layers.DepthwiseConv2D(3, activation=f)],
        lambda f: [layers.Reshape((4, 4, 4)), layers.SeparableConv2D(2, 3, activation=f)],
        lambda f: [layers.Reshape((4, 4, 4)), layers.Conv2DTranspose(2, 3, activation=f)],
        lambda f: [layers.Reshape((4, 4, 4)), layers.Subsampling2D(2, activation=f)],
        lambda f: [layers.Dense(84), layers.EuclideanRBF(10, activation=f)],
        lambda f: [layers.Reshape((8, 8)), layers.TimeDistributed(layers.Dense(3, f))],
    ],
)
def test_every_layer_with_an_activation_takes_it(make: Any) -> None:
    x = RNG.standard_normal((5, 64)).astype(np.float32)
    results = []
    for function in (OWN["tanh"], "tanh"):
        ck.set_seed(2)
        results.append(ck.Sequential([ck.Input((64,)), *make(function)]).predict(x, verbose=0))
    np.testing.assert_allclose(*results, atol=1e-5)


def test_the_derivative_takes_x_or_x_and_y() -> None:
    f, x = np.sin, np.linspace(-2, 2, 7)
    for slope in (np.cos, lambda x: np.cos(x), lambda x, y: np.cos(x), lambda *a: np.cos(a[0]),
                  lambda x, k=1.0: np.cos(k * x)):  # fmt: skip
        np.testing.assert_array_equal(ck.Activation(f, slope)(x), np.sin(x))
    with pytest.raises(TypeError, match=r"df takes \(x\) or \(x, y\), not 3 arguments"):
        ck.Activation(f, lambda x, y, z: x)


@pytest.mark.parametrize(
    ("f", "df"),
    [
        (np.abs, np.sign),
        (lambda x: np.round(x), lambda x: 0 * x),
        (np.log, lambda x: 1 / x),
        (np.sqrt, lambda x, y: 0.5 / y),
        (lambda x: np.maximum(x, 0.5), lambda x: x > 0.5),
        (lambda x: np.where(x > 0, x, 0), lambda x: np.where(x > 0, 1, 0)),
    ],
    ids=["abs", "round", "log", "sqrt", "clip", "integers"],
)
def test_kinks_and_domains_are_respected(f: Any, df: Any) -> None:
    ck.Activation(f, df)


def wrong_above_two_fifths(x: Array) -> Any:
    return np.where(x > 0.4, np.cos(x) + 0.01, np.cos(x))


def test_a_bound_far_from_zero_is_found() -> None:
    with pytest.raises(ValueError, match="gives 1, central differences of the function f give 0"):
        ck.Activation(lambda x: np.clip(x, 0, 6), lambda x: x > 0)
    ck.Activation(lambda x: np.clip(x, 0, 6), lambda x: (x > 0) & (x < 6))


@pytest.mark.parametrize(("scale", "offset"), [(1, 1e8), (1e6, 0), (1e-6, 0), (1, 0)])
def test_rounding_is_no_wrong_derivative(scale: float, offset: float) -> None:
    def f(x: Any) -> Any:
        return scale * np.tanh(x) + offset

    ck.Activation(f, lambda x: scale / np.cosh(x) ** 2)
    with pytest.raises(ValueError, match="derivative df is wrong"):
        ck.Activation(f, lambda x: 2 * scale / np.cosh(x) ** 2)


def test_a_function_of_float32_only_is_told_so() -> None:
    with pytest.raises(ValueError, match="the function f must keep to float64 where it is given"):
        ck.Activation(lambda x: np.tanh(x.astype(np.float32)), lambda x, y: 1 - y * y)


def test_the_worst_entry_of_a_wrong_derivative_is_named() -> None:
    with pytest.raises(ValueError, match="derivative df is wrong") as caught:
        ck.Activation(np.sin, wrong_above_two_fifths, name="wave")
    text = str(caught.value)
    assert text.startswith("activation 'wave': ") and "df must return dy/dx at each x" in text
    words = text.split()
    at, given, expected = (
        float(words[words.index(w) + k].rstrip(","))
        for w, k in (("=", 1), ("gives", 1), ("give", 1))
    )
    assert at > 0.4
    assert given == pytest.approx(np.cos(at) + 0.01, abs=1e-5)
    assert expected == pytest.approx(np.cos(at), abs=1e-5)


@pytest.mark.parametrize(
    ("f", "df", "error", "message"),
    [
        (3, np.cos, TypeError, "f must be a function, got 3"),
        (np.sin, None, TypeError, "df must be a function, got None"),
        (lambda x: x / x.sum(), np.ones_like, ValueError, "gives a number another result"),
        (lambda x: x.sum(), np.ones_like, ValueError, r"function f returned shape \(\)"),
        (lambda x: x.tolist(), np.ones_like, TypeError, "function f returned list"),
        (lambda x: x + 1j, np.ones_like, TypeError, "function f returned complex128"),
        (lambda x: x * np.nan, np.ones_like, ValueError, "gave no finite numbers"),
        (np.sin, lambda x: x[:1], ValueError, r"df returned shape \(1,\), expected \(40,\)"),
        (lambda x: np.sin(x, out=x), np.cos, ValueError, "read-only; .* work on a copy"),
        (lambda x: {}[1], np.cos, KeyError, "function f raised KeyError: 1"),
    ],
)
def test_functions_that_do_not_fit(f: Any, df: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        ck.Activation(f, df, name="mine")
    assert "activation 'mine'" in str(caught.value)


def test_it_is_an_activation_function() -> None:
    own = OWN["silu"]
    assert isinstance(own, ck.activations.ActivationFunction) and activations.get(own) is own
    assert repr(own) == "silu" and own.differentiable and not own.row_wise
    assert own == ck.Activation(swish, swish_slope, name="other") and own != activations.silu
    assert own(X[:1]).dtype == np.float32 and own([0, 1]).dtype == np.float32
    assert own(ck.Input((3,))).shape == (None, 3)
    with pytest.raises(TypeError, match="has no"):
        own(X, alpha=0.1)
    assert activations.get(layers.Activation(own)) is own


def test_a_plain_function_is_told_the_way() -> None:
    with pytest.raises(TypeError, match=r"activation=relu .*ck.Activation\(f, df\).*did you mean"):
        layers.Dense(3, activation=relu)


def test_recurrent_layers_say_what_they_take() -> None:
    with pytest.raises(ValueError, match=f"activation={OWN['tanh'].name!r} is .*only "):
        layers.LSTM(3, activation=OWN["tanh"])


@pytest.mark.parametrize("way", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(way: Any) -> None:
    model = cnn(OWN["silu"], OWN["relu"])
    model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(way(model).predict(X, verbose=0), model.predict(X, verbose=0))
