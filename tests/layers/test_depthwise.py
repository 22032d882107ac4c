"""DepthwiseConv2D and SeparableConv2D: against loops, their weights, and what they refuse."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers

SHAPE = (7, 6, 3)


def model_of(layer: Any) -> ck.Sequential:
    model = ck.Sequential([ck.Input(SHAPE), layer])
    rng = np.random.default_rng(1)
    model.set_weights([rng.standard_normal(w.shape) for w in model.get_weights()])
    return model


def loops(x: Any, w: Any, size: Any, pad: Any, stride: Any, dilation: Any) -> Any:
    """Channel c, filter m to channel c * multiplier + m."""
    multiplier = w.shape[3]
    y = np.zeros((len(x), *size, x.shape[3] * multiplier))
    for p, q, i, j in itertools.product(*map(range, (*size, *w.shape[:2]))):
        h = p * stride[0] + i * dilation[0] - pad[0]
        v = q * stride[1] + j * dilation[1] - pad[1]
        if not (0 <= h < x.shape[1] and 0 <= v < x.shape[2]):
            continue
        for c, m in itertools.product(range(x.shape[3]), range(multiplier)):
            y[:, p, q, c * multiplier + m] += x[:, h, v, c] * w[i, j, c, m]
    return y


@pytest.mark.parametrize("multiplier", [1, 2, 3])
@pytest.mark.parametrize(
    ("kernel", "options", "size", "pad"),
    [
        (3, {}, (5, 4), (0, 0)),
        ((2, 3), {"padding": "same"}, (7, 6), (0, 1)),
        (3, {"strides": 2, "padding": "same"}, (4, 3), (1, 0)),
        (2, {"dilation_rate": (3, 2)}, (4, 4), (0, 0)),
        (3, {"strides": (2, 1), "padding": 1}, (4, 6), (1, 1)),
    ],
    ids=str,
)
def test_against_loops(
    kernel: Any, options: dict[str, Any], size: Any, pad: Any, multiplier: int
) -> None:
    layer = layers.DepthwiseConv2D(kernel, depth_multiplier=multiplier, **options)
    model = model_of(layer)
    assert model.output_shape == (None, *size, 3 * multiplier)
    x = np.random.default_rng(0).standard_normal((2, *SHAPE)).astype(np.float32)
    w, b = model.get_weights()
    assert w.shape == (*layer.kernel_size, 3, multiplier) and b.shape == (3 * multiplier,)
    expected = loops(x.astype(float), w, size, pad, layer.strides, layer.dilation_rate) + b
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-5)


@pytest.mark.parametrize("multiplier", [1, 2])
def test_separable_is_depthwise_then_pointwise(multiplier: int) -> None:
    layer = layers.SeparableConv2D(4, 3, depth_multiplier=multiplier, activation="tanh")
    model = model_of(layer)
    x = np.random.default_rng(0).standard_normal((2, *SHAPE)).astype(np.float32)
    d, p, b = model.get_weights()
    assert [w.name for w in layer.weights] == ["depthwise_kernel", "pointwise_kernel", "bias"]
    assert d.shape == (3, 3, 3, multiplier) and p.shape == (1, 1, 3 * multiplier, 4)
    middle = loops(x.astype(float), d, (5, 4), (0, 0), (1, 1), (1, 1))
    expected = np.tanh(middle @ p[0, 0].astype(float) + b)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-5)
    assert layer.count_params() == 27 * multiplier + 12 * multiplier + 4


def test_names_of_weights() -> None:
    layer = layers.DepthwiseConv2D(3, name="dw")
    layer(ck.Input(SHAPE))
    assert [w.path for w in layer.weights] == ["dw.kernel", "dw.bias"]
    assert layer.kernel is layer.weights[0]


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.DepthwiseConv2D(3, strides=2, activation="relu"),
        lambda: layers.DepthwiseConv2D(2, depth_multiplier=2, use_bias=False, padding="same"),
        lambda: layers.SeparableConv2D(4, 3, depth_multiplier=2, activation="relu"),
        lambda: layers.SeparableConv2D(4, 3, use_bias=False, strides=2),
    ],
    ids=["depthwise", "two filters", "separable", "separable, no bias"],
)
def test_they_train(layer: Any) -> None:
    model = ck.Sequential(
        [
            ck.Input(SHAPE),
            layers.Conv2D(3, 1),
            layer(),
            layers.Flatten(),
            layers.Dense(3, "softmax"),
        ]
    )
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, *SHAPE)).astype(np.float32), np.arange(3)
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert ck.testing.compare(model, x, y).agrees
    report = ck.testing.check_gradients(model, x[:2], y[:2], max_entries=30)
    assert report.passed, report


@pytest.mark.parametrize(
    ("message", "make"),
    [
        (
            "depth_multiplier must be a positive",
            lambda: layers.DepthwiseConv2D(3, depth_multiplier=0),
        ),
        ("filters must be a positive integer", lambda: layers.SeparableConv2D(0, 3)),
        ("does not fit into an image", lambda: layers.DepthwiseConv2D(9)(ck.Input(SHAPE))),
        ("expects rank 4 input", lambda: layers.SeparableConv2D(3, 3)(ck.Input((4, 4)))),
        (
            "depthwise_constraint is not supported",
            lambda: layers.DepthwiseConv2D(3, depthwise_constraint="l2"),
        ),
    ],
)
def test_refused(message: str, make: Any) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_other_channels_than_the_weights_are_for_are_refused() -> None:
    layer = layers.DepthwiseConv2D(3)
    layer(ck.Input(SHAPE))
    with pytest.raises(ValueError, match="has weights for 3 channels, got 4"):
        layer(ck.Input((7, 7, 4)))
