"""Lambda: a user's function in a model, its gradient, and everything that can be wrong with it."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers
from convkit.ops.registry import Array

X = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
Y = np.arange(6) % 3


def swish(x: Array) -> Any:
    return x / (1 + np.exp(-x))


def swish_gradient(dy: Array, x: Array, y: Array) -> Any:
    s = 1 / (1 + np.exp(-x))
    return dy * (s + x * s * (1 - s))


def pairs(x: Array) -> Any:
    """Products of neighbours: another shape."""
    return x[:, :-1] * x[:, 1:]


def pairs_gradient(dy: Array, x: Array, y: Array) -> Any:
    dx = np.zeros_like(x)
    dx[:, :-1] += dy * x[:, 1:]
    dx[:, 1:] += dy * x[:, :-1]
    return dx


def network(*between: Any) -> ck.Sequential:
    model = ck.Sequential([ck.Input((4,)), layers.Dense(5), *between, layers.Dense(3, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_forward_is_the_function() -> None:
    model = ck.Sequential([ck.Input((4,)), layers.Lambda(pairs)])
    assert model.output_shape == (None, 3)
    np.testing.assert_array_equal(model.predict(X, verbose=0), pairs(X))


def test_it_trains_like_the_layer_that_it_spells_out() -> None:
    a = network(layers.Lambda(swish, gradient=swish_gradient))
    b = network(layers.Activation("silu"))
    b.set_weights(a.get_weights())
    for model in (a, b):
        model.fit(X, Y, batch_size=4, epochs=5, shuffle=False, verbose=0)
    for p, q in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(p, q, atol=1e-5)


def test_executors_and_gradients() -> None:
    model = network(layers.Lambda(pairs, gradient=pairs_gradient), layers.Dense(2, "tanh"))
    for other in ("native", "eager"):
        assert ck.testing.compare(model, X, Y, "reference", other).agrees
    report = ck.testing.check_gradients(model, X, Y)
    assert report.passed, report


def test_an_output_shape_is_not_asked_of_the_function() -> None:
    batches = []

    def function(x: Array) -> Any:
        batches.append(x.dtype.name)
        return x[:, None]

    layer = layers.Lambda(function, (1, 4))
    assert layer(ck.Input((4,))).shape == (None, 1, 4)
    assert "float32" not in batches
    with pytest.raises(ValueError, match=r"returned shape \(2, 1, 4\), expected \(2, 4\)"):
        layers.Lambda(function, output_shape=(4,))(ck.Input((4,)))


def test_without_gradient_before_all_weights() -> None:
    model = ck.Sequential([ck.Input((4,)), layers.Lambda(np.sign), layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    before = model.get_weights()[0]
    model.fit(X, Y, verbose=0)
    assert not np.array_equal(model.get_weights()[0], before)


def test_without_gradient_after_weights() -> None:
    message = (
        r"layer 'sign' \(Lambda\) has no gradient, and the weights of layer 'first' before it are "
        "to be trained; give it gradient=, move it before all layers with weights, or set "
        "trainable = False"
    )
    model = ck.Sequential(
        [
            ck.Input((4,)),
            layers.Dense(5, name="first"),
            layers.Lambda(np.sign, name="sign"),
            layers.Dense(3, "softmax"),
        ]
    )
    with pytest.raises(ValueError, match=message):
        model.compile("sgd", "sparse_categorical_crossentropy")
    model.get_layer("first").trainable = False  # the way out
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(X, Y, verbose=0)
    late = ck.Sequential([layers.Dense(5), layers.Lambda(np.sign), layers.Dense(3, "softmax")])
    late.compile("sgd", "sparse_categorical_crossentropy")  # it has no shapes yet
    with pytest.raises(ValueError, match=r"\(Lambda\) has no gradient"):
        late.fit(X, Y, verbose=0)


def wrong_everywhere(dy: Array, x: Array, y: Array) -> Any:
    return dy * x


def wrong_once(dy: Array, x: Array, y: Array) -> Any:
    dx = np.array(swish_gradient(dy, x, y))
    dx[1, 2] += 0.5
    return dx


@pytest.mark.parametrize("gradient", [wrong_everywhere, wrong_once])
def test_a_wrong_gradient_is_refused(gradient: Any) -> None:
    with pytest.raises(ValueError, match=r"'s' \(Lambda\): the gradient is wrong. At x\[") as error:
        layers.Lambda(swish, gradient=gradient, name="s")(ck.Input((4,)))
    if gradient is wrong_once:
        assert "x[1, 2]" in str(error.value)


@pytest.mark.parametrize(
    ("function", "gradient"),
    [
        (lambda x: np.abs(x), lambda dy, x, y: dy * np.sign(x)),
        (lambda x: np.maximum(x, 0.5), lambda dy, x, y: dy * (x > 0.5)),
        (lambda x: np.log(x), lambda dy, x, y: dy / x),
        (lambda x: np.arccosh(x), lambda dy, x, y: dy / np.sqrt(x * x - 1)),
        (lambda x: x.max(axis=1, keepdims=True), lambda dy, x, y: dy * (x == y)),
        (lambda x: 1 / x, lambda dy, x, y: -dy * y * y),
    ],
    ids=["abs", "clip", "log", "arccosh", "max", "reciprocal"],
)
def test_kinks_and_domains_are_respected(function: Any, gradient: Any) -> None:
    layers.Lambda(function, gradient=gradient)(ck.Input((30,)))


@pytest.mark.parametrize(
    ("gradient", "error", "message"),
    [
        (lambda dy, x, y: dy[:1], ValueError, r"the gradient returned shape \(1, 4\), expected"),
        (lambda dy, x, y: None, TypeError, "the gradient returned NoneType"),
        (lambda dy, x, y: dy * np.nan, ValueError, "the gradient is wrong"),
    ],
)
def test_gradients_that_are_none(gradient: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        layers.Lambda(lambda x: x * x, gradient=gradient)(ck.Input((4,)))


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: x.sum(), ValueError, r"made shape \(\) of a batch of shape \(2, 4\)"),
        (lambda x: x.T, ValueError, "one row for each row of x"),
        (lambda x: x - x.mean(axis=0), ValueError, "another result in a batch than alone"),
        (lambda x: x.astype("f8"), TypeError, "returned float64, expected an array of float32"),
        (lambda x: x > 0, TypeError, "returned bool"),
        (lambda x: list(x), TypeError, "returned list"),
        (lambda x: x.__setitem__(0, 1), ValueError, r"read-only; .* work on a copy, x = x.copy"),
        (lambda x: np.exp(x, out=x), ValueError, r"read-only; .* work on a copy, x = x.copy"),
        (lambda x: x[:, {}[3]], KeyError, "the function raised KeyError: 3"),
        (lambda x: x * (1 // 0), ZeroDivisionError, "the function raised ZeroDivisionError"),
    ],
)
def test_functions_that_do_not_fit(function: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        layers.Lambda(function, name="mine")(ck.Input((4,)))
    assert "layer 'mine' (Lambda)" in str(caught.value)


def test_a_function_that_writes_to_x_is_told_also_with_an_output_shape() -> None:
    """The function is tried on samples alone, where a ValueError may stand for its domain."""
    with pytest.raises(ValueError, match=r"'mine' \(Lambda\): the function raised .*read-only"):
        layers.Lambda(lambda x: np.exp(x, out=x), (4,), name="mine")(ck.Input((4,)))


def test_a_domain_may_be_kept_by_raising() -> None:
    def root(x: Array) -> Any:
        if (x < 0).any():
            raise ValueError("below 0")
        return np.sqrt(x)

    layer = layers.Lambda(root, gradient=lambda dy, x, y: dy / (2 * y), name="root")
    model = ck.Sequential([ck.Input((4,)), layer])
    np.testing.assert_array_equal(model.predict(X**2, verbose=0), np.sqrt(X**2))
    with pytest.raises(ValueError, match=r"'root' \(Lambda\): the function raised .*: below 0"):
        model.predict(X, verbose=0)


def test_a_gradient_that_raises_names_its_layer() -> None:
    def gradient(dy: Array, x: Array, y: Array) -> Any:
        dy *= x
        return dy

    layer = layers.Lambda(lambda x: x * x, gradient=gradient, name="mine")
    with pytest.raises(ValueError, match=r"'mine' \(Lambda\): the gradient .*read-only; .*copy"):
        layer(ck.Input((4,)))


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (TypeError, "function must be a function, got 3", lambda: layers.Lambda(3)),
        (TypeError, "gradient must be a function", lambda: layers.Lambda(swish, gradient=1)),
        (ValueError, "functools.partial", lambda: layers.Lambda(swish, arguments={"a": 1})),
        (ValueError, "mask and arguments", lambda: layers.Lambda(swish, mask=swish)),
        (ValueError, "output_shape must be a tuple", lambda: layers.Lambda(swish, (None, 3))),
    ],
)
def test_arguments(error: Any, message: str, make: Any) -> None:
    with pytest.raises(error, match=message):
        make()


def test_a_function_that_fails_later_names_its_layer() -> None:
    def changes(x: Array) -> Any:
        return x if len(x) <= 2 else x[:1]

    model = ck.Sequential([ck.Input((4,)), layers.Lambda(changes, name="late")])
    with pytest.raises(
        ValueError, match=r"'late' \(Lambda\): the function returned shape \(1, 4\)"
    ):
        model.predict(X, verbose=0)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(way: Any) -> None:
    model = network(layers.Lambda(swish, gradient=swish_gradient))
    model.fit(X, Y, verbose=0)
    other = way(model)
    np.testing.assert_array_equal(other.predict(X, verbose=0), model.predict(X, verbose=0))
    model.fit(X, Y, verbose=0)
    other.fit(X, Y, verbose=0)
    for p, q in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)


def test_one_layer_used_on_two_shapes() -> None:
    layer = layers.Lambda(pairs)
    assert layer(ck.Input((4,))).shape == (None, 3)
    assert layer(ck.Input((7, 2))).shape == (None, 6, 2)
