"""Function: layers of one's own with weights, in NumPy, inside the native executor."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers
from convkit.ops.registry import Array

X = np.random.default_rng(0).standard_normal((48, 4)).astype(np.float32)
Y = np.arange(48) % 3


class Affine(layers.Function):
    """Dense, spelt out."""

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: Any) -> None:
        self.add_weight("kernel", (input_shape[-1], self.units), "glorot_uniform")
        self.add_weight("bias", (self.units,))

    def forward(self, x: Array, kernel: Array, bias: Array) -> Any:  # type: ignore[override]
        return x @ kernel + bias

    def backward(self, dy: Array, y: Array, *arrays: Array) -> Any:
        x, kernel, _ = arrays
        return dy @ kernel.T, x.T @ dy, dy.sum(axis=0)


class Product(layers.Function):
    takes_list = True

    def forward(self, a: Array, b: Array) -> Any:  # type: ignore[override]
        return a * b

    def backward(self, dy: Array, y: Array, *arrays: Array) -> Any:
        a, b = arrays
        return dy * b, dy * a


def network(dense: Any) -> ck.Model:
    ck.set_seed(3)
    x = ck.Input((4,))
    h = Product()([dense(5)(x), dense(5)(x)])
    model = ck.Model(x, layers.Softmax()(dense(3)(h)))
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def test_it_trains_like_the_layer_that_it_spells_out() -> None:
    own, built_in = network(Affine), network(layers.Dense)
    for model in (own, built_in):
        model.fit(X, Y, batch_size=16, epochs=5, shuffle=False, verbose=0)
    for p, q in zip(own.get_weights(), built_in.get_weights(), strict=True):
        np.testing.assert_allclose(p, q, atol=2e-5)
    assert own.executor == "native"


def test_executors_and_gradients() -> None:
    model = network(Affine)
    for other in ("native", "eager"):
        assert ck.testing.compare(model, X, Y, "reference", other).agrees
    report = ck.testing.check_gradients(model, X, Y)
    assert report.passed, report


def test_frozen_weights_have_no_gradient() -> None:
    model = network(Affine)
    for layer in model.layers[1:3]:
        layer.trainable = False
    model.compile("adam", "sparse_categorical_crossentropy")
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [False] * 4 + [True] * 2


class Wrong(Affine):
    def backward(self, dy: Array, y: Array, *arrays: Array) -> Any:
        dx, dkernel, dbias = super().backward(dy, y, *arrays)
        return dx, dkernel * self.factor, dbias

    factor = 1.5


def test_a_wrong_gradient_is_refused_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"'w' \(Wrong\): the backward is wrong. At kernel\["):
        Wrong(3, name="w")(ck.Input((4,)))
    layer = Wrong(3)
    layer.factor = 1.0
    layer(ck.Input((4,)))
    layer.factor = 2.0
    with pytest.raises(ValueError, match="backward is wrong"):  # at another place
        layer(ck.Input((4,)))
    assert layer.built  # and stays as it was at the first


def made(build: Any = None, forward: Any = None, backward: Any = None) -> layers.Function:
    members = {"build": build, "forward": forward, "backward": backward}
    found = {name: f for name, f in members.items() if f is not None}
    return type("Mine", (layers.Function,), found)(name="mine")  # type: ignore[no-any-return]


def weighted(self: Any, input_shape: Any) -> None:
    self.add_weight("w", (input_shape[-1],), "ones")


@pytest.mark.parametrize(
    ("members", "error", "message"),
    [
        ({}, NotImplementedError, r"does not define forward\(self, x, \*weights\)"),
        ({"forward": lambda self, x: x.sum()}, ValueError, r"made shape \(\)"),
        ({"forward": lambda self, x: x - x.mean(axis=0)}, ValueError, "another result in a batch"),
        ({"forward": lambda self, x: x.astype(int)}, TypeError, "forward returned int64"),
        (
            {"forward": lambda self, x, w: x * w, "build": weighted},
            ValueError,
            "has trainable weights and no backward",
        ),
        (
            {
                "forward": lambda self, x, w: x * w,
                "build": weighted,
                "backward": lambda self, dy, y, x, w: dy * w,
            },
            TypeError,
            "returned ndarray, expected a tuple of 2: the gradients with respect to x, w",
        ),
        (
            {
                "forward": lambda self, x, w: x * w,
                "build": weighted,
                "backward": lambda self, dy, y, x, w: (dy * w, dy * x),
            },
            ValueError,
            r"backward returned shape \(2, 4\), expected \(4,\)",
        ),
    ],
)
def test_layers_that_do_not_fit(members: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        made(**members)(ck.Input((4,)))
    assert "layer 'mine' (Mine)" in str(caught.value)


def test_without_backward_before_all_weights() -> None:
    rank = made(forward=lambda self, x: np.argsort(np.argsort(x, 1), 1).astype(x.dtype))
    model = ck.Sequential([ck.Input((4,)), rank, layers.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(X, Y, verbose=0)
    late = ck.Sequential([ck.Input((4,)), layers.Dense(4), made(forward=lambda self, x: x)])
    with pytest.raises(ValueError, match=r"\(Mine\) has no gradient"):
        late.compile("sgd", "mse")


@pytest.mark.parametrize("way", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(way: Any) -> None:
    model = network(Affine)
    model.fit(X, Y, verbose=0)
    np.testing.assert_array_equal(way(model).predict(X, verbose=0), model.predict(X, verbose=0))
