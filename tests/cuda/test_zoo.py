"""Every network of the zoo trains on the GPU to the losses of the reference, on small shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit.ops.registry import Array

M, L = ck.models, ck.layers


def images(n: int, *shape: int, classes: int = 10) -> tuple[Array, Array]:
    rng = np.random.default_rng(2)
    return rng.standard_normal((n, *shape)).astype("f4"), rng.integers(0, classes, n)


def text(n: int, steps: int, kinds: int) -> tuple[Array, Array]:
    numbers = np.random.default_rng(3).integers(0, kinds, (n, steps + 1))
    return numbers[:, :-1], numbers[:, 1:]


def bidirectional() -> Any:
    layers = [
        ck.Input((6, 5)), L.Bidirectional(L.GRU(4, return_sequences=True)),
        L.LSTM(3), L.Dense(3, "softmax"),
    ]  # fmt: skip
    return ck.Sequential(layers)


def mixed() -> Any:
    """Layers that no other network here has."""
    layers = [
        ck.Input((8, 9, 4)), L.RandomFlip(), L.Conv2D(8, 3, padding="same", groups=2),
        L.BatchNormalization(), L.Activation("gelu"), L.DepthwiseConv2D(3, padding="same"),
        L.LocalResponseNormalization(), L.MaxPooling2D(2), L.UpSampling2D(2), L.ZeroPadding2D(1),
        L.AveragePooling2D(3, 2, "same"), L.Dropout(0.3), L.Conv2DTranspose(4, 3, strides=2),
        L.GlobalAveragePooling2D(), L.Dense(5, "softmax"),
    ]  # fmt: skip
    return ck.Sequential(layers)


def embedded() -> Any:
    layers = [
        ck.Input((7,), dtype="int32"), L.Embedding(11, 6, mask_zero=True), L.LSTM(5),
        L.Dense(4, "softmax"),
    ]  # fmt: skip
    return ck.Sequential(layers)


Network = tuple[Callable[[], Any], tuple[Array, Array]]
SMALL: dict[str, Network] = {
    "lenet5 modern": (M.lenet5, images(6, 28, 28, 1)),
    "lenet5 caffe": (lambda: M.lenet5("caffe"), images(2, 28, 28, 1)),
    "lenet5 1998": (lambda: M.lenet5("1998"), images(3, 32, 32, 1)),
    "mlp": (M.mlp, images(9, 28, 28)),
    "rnn_classifier": (lambda: M.rnn_classifier(units=7, input_shape=(5, 6)), images(5, 5, 6)),
    "char_rnn simple": (lambda: M.char_rnn(9, steps=6, units=8), text(4, 6, 9)),
    "char_rnn lstm": (
        lambda: M.char_rnn(9, steps=6, cell="lstm", units=8, layers=2),
        text(4, 6, 9),
    ),
    "char_rnn gru": (lambda: M.char_rnn(9, steps=6, cell="gru", units=8), text(4, 6, 9)),
    "bidirectional": (bidirectional, images(4, 6, 5, classes=3)),
    "embedded": (embedded, (text(6, 7, 11)[0], np.arange(6) % 4)),
    "mixed": (mixed, images(5, 8, 9, 4, classes=5)),
}
LARGE: dict[str, Network] = {
    "alexnet cifar": (lambda: M.alexnet("cifar"), images(2, 32, 32, 3)),
    "vgg16 cifar": (lambda: M.vgg16("cifar"), images(2, 32, 32, 3)),
}


def trained(build: Callable[[], Any], x: Array, y: Array, device: str, kind: str) -> Any:
    """Losses of two steps, and the weights after them."""
    ck.set_seed(4)
    model = build()
    loss = "sparse_categorical_crossentropy"
    model.compile(ck.optimizers.SGD(0.01, momentum=0.9), loss, metrics=["accuracy"], device=device)
    model.executor = kind
    losses = [model.train_on_batch(x, y)[0] for _ in range(2)]
    return losses, model.get_weights(), model.predict(x, batch_size=len(x), verbose=0)


@pytest.mark.parametrize("name", SMALL)
def test_it_trains_as_the_reference_says(name: str) -> None:
    build, (x, y) = SMALL[name]
    losses, weights, p = trained(build, x, y, "cuda", "native")
    right, right_weights, right_p = trained(build, x, y, "cpu", "reference")
    np.testing.assert_allclose(losses, right, rtol=2e-5)
    np.testing.assert_allclose(p, right_p, rtol=1e-3, atol=1e-4)
    for a, b in zip(weights, right_weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", LARGE)
def test_each_kernel_of_a_large_one_is_within_its_bound(name: str) -> None:
    """Whole steps grow roundings: batches of two, normalised, in sixteen layers."""
    build, (x, y) = LARGE[name]
    ck.set_seed(4)
    model = build()
    loss = "sparse_categorical_crossentropy"
    model.compile(ck.optimizers.SGD(0.01, momentum=0.9), loss, device="cuda")
    found = ck.testing.compare(model, x, y, "reference", "eager")
    assert found.agrees, str(found)
    assert np.isfinite(model.train_on_batch(x, y))
