"""Subsampling2D: against a loop of NumPy, as an average, its gradients, and misuse."""

import numpy as np
import pytest

import convkit as ck
from convkit.layers import Subsampling2D


def loop(x, coefficient, bias, size, stride):
    """Sum of each window times the map's coefficient, plus its bias."""
    n, h, w, c = x.shape
    p, q = (h - size[0]) // stride[0] + 1, (w - size[1]) // stride[1] + 1
    y = np.zeros((n, p, q, c))
    for i in range(p):
        for j in range(q):
            top, left = i * stride[0], j * stride[1]
            window = x[:, top : top + size[0], left : left + size[1]].astype(np.float64)
            y[:, i, j] = window.sum(axis=(1, 2)) * coefficient + bias
    return y


@pytest.mark.parametrize(("size", "strides"), [(2, None), ((3, 2), (1, 2)), (1, 1), ((7, 6), None)])
def test_against_a_loop(size, strides):
    rng = np.random.default_rng(0)
    layer = Subsampling2D(size, strides, activation="scaled_tanh")
    model = ck.Sequential([ck.Input((7, 6, 5)), layer])
    coefficient, bias = rng.standard_normal((2, 5)).astype("f4")
    model.set_weights([coefficient, bias])
    x = rng.standard_normal((3, 7, 6, 5)).astype("f4")
    expected = loop(x, coefficient, bias, layer.pool_size, layer.strides)
    y = model.predict(x, verbose=0)
    assert model.output_shape == (None, *y.shape[1:])
    np.testing.assert_allclose(y, 1.7159 * np.tanh(2 / 3 * expected), rtol=2e-5, atol=1e-6)


def test_padding_adds_zeros():
    model = ck.Sequential([ck.Input((3, 3, 1)), Subsampling2D(2, 1, "same", use_bias=False)])
    model.set_weights([np.ones(1)])
    x = np.arange(9, dtype="f4").reshape(1, 3, 3, 1)
    y = model.predict(x, verbose=0)[0, ..., 0]
    np.testing.assert_allclose(y, [[8, 12, 7], [20, 24, 13], [13, 15, 8]], rtol=1e-6)


def test_it_begins_as_an_average():
    layer = Subsampling2D((2, 3), name="s2")
    model = ck.Sequential([ck.Input((6, 6, 4)), layer])
    assert [(p.path, p.shape) for p in layer.weights] == [
        ("s2.coefficient", (4,)),
        ("s2.bias", (4,)),
    ]
    x = np.random.default_rng(0).standard_normal((2, 6, 6, 4)).astype("f4")
    average = ck.reference.avg_pool2d(x, (2, 3))
    np.testing.assert_allclose(model.predict(x, verbose=0), average, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"use_bias": False}, {"padding": "same", "strides": 1}])
def test_gradients(options):
    model = ck.Sequential([
        ck.Input((6, 5, 2)),
        ck.layers.Conv2D(3, 2, activation="tanh"),
        Subsampling2D(2, activation="scaled_tanh", **options),
        ck.layers.Flatten(),
        ck.layers.Dense(2, "softmax"),
    ])  # fmt: skip
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 6, 5, 2)).astype("f4"), rng.integers(0, 2, 3)
    report = ck.testing.check_gradients(model, x, y, max_entries=40)
    assert report.passed, str(report)
    assert report.skipped == 0
    assert ck.testing.compare(model, x, y).agrees


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Subsampling2D(0), "pool_size must be a positive integer"),
        (lambda: Subsampling2D((2, 2, 2)), "pool_size must be an integer or two"),
        (lambda: Subsampling2D(2, data_format="channels_first"), "leave data_format out"),
        (lambda: Subsampling2D(9)(ck.Input((6, 5, 2))), r"layer 'subsampling2d.*'.*\[pool2d\]"),
        (lambda: Subsampling2D(2, padding="some")(ck.Input((6, 5, 2))), "padding"),
        (lambda: Subsampling2D(2)(ck.Input((6,))), "put Subsampling2D layers before Flatten"),
    ],
)
def test_misuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_shared_layer_keeps_its_maps():
    layer = Subsampling2D(2)
    layer(ck.Input((6, 6, 3)))
    with pytest.raises(ValueError, match="coefficients for 3 maps, got 4"):
        layer(ck.Input((6, 6, 4)))
