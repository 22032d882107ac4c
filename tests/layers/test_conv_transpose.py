"""Conv2DTranspose: against loops, against the convolution whose transpose it is, and its sizes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers

SHAPE = (4, 3, 2)


def model_of(layer: Any, shape: tuple[int, ...] = SHAPE) -> ck.Sequential:
    model = ck.Sequential([ck.Input(shape), layer])
    rng = np.random.default_rng(1)
    model.set_weights([rng.standard_normal(w.shape) for w in model.get_weights()])
    return model


def loops(
    x: Any, w: Any, size: tuple[int, int], cut: tuple[int, int], stride: Any, dilation: Any
) -> Any:
    """Each pixel puts its filters down, from the top left corner less `cut`."""
    y = np.zeros((len(x), *size, w.shape[2]))
    for n, h, v, i, j in itertools.product(*map(range, (*x.shape[:3], *w.shape[:2]))):
        p = h * stride[0] + i * dilation[0] - cut[0]
        q = v * stride[1] + j * dilation[1] - cut[1]
        if 0 <= p < size[0] and 0 <= q < size[1]:
            y[n, p, q] += w[i, j] @ x[n, h, v]
    return y


# Keras's rules, worked out by hand: what comes out of 4 x 3, and what is cut off at the top left.
CASES: list[tuple[Any, dict[str, Any], tuple[int, int], tuple[int, int]]] = [
    (3, {}, (6, 5), (0, 0)),
    (3, {"padding": "same"}, (4, 3), (1, 1)),
    (3, {"strides": 2}, (9, 7), (0, 0)),
    (3, {"strides": 2, "padding": "same"}, (8, 6), (0, 0)),
    ((2, 5), {"strides": 2, "padding": "SAME"}, (8, 6), (0, 1)),
    (4, {"strides": 2, "padding": "same"}, (8, 6), (1, 1)),
    (2, {"strides": 3}, (12, 9), (0, 0)),
    (2, {"strides": 3, "padding": "same"}, (12, 9), (0, 0)),
    (3, {"strides": 3, "output_padding": (2, 0)}, (14, 9), (0, 0)),
    (3, {"strides": 2, "padding": "same", "output_padding": 0}, (7, 5), (1, 1)),
    (3, {"strides": 2, "padding": "same", "output_padding": 1}, (8, 6), (0, 0)),
    (4, {"strides": 3, "padding": "same", "output_padding": (1, 2)}, (10, 8), (1, 1)),
    ((3, 2), {"dilation_rate": (2, 3)}, (8, 6), (0, 0)),
    (3, {"dilation_rate": 2, "padding": "same"}, (4, 3), (2, 2)),
    ((3, 1), {"strides": (1, 2), "dilation_rate": (2, 1)}, (8, 6), (0, 0)),
]


@pytest.mark.parametrize(("kernel", "options", "size", "cut"), CASES, ids=str)
def test_against_loops(kernel: Any, options: dict[str, Any], size: Any, cut: Any) -> None:
    layer = layers.Conv2DTranspose(5, kernel, use_bias=False, **options)
    model = model_of(layer)
    assert model.output_shape == (None, *size, 5)
    x = np.random.default_rng(0).standard_normal((2, *SHAPE)).astype(np.float32)
    (w,) = model.get_weights()
    assert w.shape == (*layer.kernel_size, 5, 2)
    expected = loops(x.astype(float), w, size, cut, layer.strides, layer.dilation_rate)
    np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-5)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_it_is_the_transpose_of_a_convolution(stride: int, padding: str) -> None:
    """<conv(x), y> = <x, conv transposed (y)> for all x and y, with the same kernel."""
    options = {"strides": stride, "padding": padding, "use_bias": False}
    up = model_of(layers.Conv2DTranspose(3, 3, **options))
    large = up.output_shape[1:]
    down = ck.Sequential([ck.Input(large), layers.Conv2D(2, 3, **options)])
    assert down.output_shape == (None, *SHAPE)
    down.set_weights(up.get_weights())
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal((1, *s)).astype(np.float32) for s in (large, SHAPE))
    left = float((down.predict(x, verbose=0) * y).sum(dtype=np.float64))
    right = float((x * up.predict(y, verbose=0)).sum(dtype=np.float64))
    assert abs(left - right) < 1e-4 * max(abs(left), 1)


def test_bias_and_activation() -> None:
    options: dict[str, Any] = {"strides": 2, "padding": "same"}
    plain = model_of(layers.Conv2DTranspose(3, 3, use_bias=False, **options))
    full = model_of(layers.Conv2DTranspose(3, 3, activation="tanh", **options))
    b = np.array([0.5, -1, 2], np.float32)
    full.set_weights([plain.get_weights()[0], b])
    x = np.random.default_rng(0).standard_normal((2, *SHAPE)).astype(np.float32)
    expected = np.tanh(plain.predict(x, verbose=0).astype(float) + b)
    np.testing.assert_allclose(full.predict(x, verbose=0), expected, atol=1e-6)
    assert full.count_params() == 3 * 3 * 3 * 2 + 3
    assert [w.path.partition(".")[2] for w in full.layers[-1].weights] == ["kernel", "bias"]


@pytest.mark.parametrize(
    "options",
    [{}, {"strides": 2, "padding": "same"}, {"strides": (3, 2), "output_padding": (2, 1)}],
    ids=str,
)
def test_it_trains(options: dict[str, Any]) -> None:
    model = ck.Sequential(
        [
            ck.Input(SHAPE),
            layers.Conv2D(2, 1),
            layers.Conv2DTranspose(3, (3, 2), activation="tanh", **options),
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


def test_frozen_kernels_need_no_gradient() -> None:
    first, up = layers.Conv2D(2, 1), layers.Conv2DTranspose(3, 3, use_bias=False, trainable=False)
    model = ck.Sequential([ck.Input(SHAPE), first, up, layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    text = str(model.program("train", 2))
    assert "d.conv2d_transpose" not in text and f"d.{first.name}.kernel" in text


@pytest.mark.parametrize(
    ("message", "make"),
    [
        (
            "padding must be 'valid' or 'same', got 2",
            lambda: layers.Conv2DTranspose(3, 3, padding=2),
        ),
        (
            r"output_padding=2 must be less than strides=\(2, 2\)",
            lambda: layers.Conv2DTranspose(3, 3, 2, output_padding=2),
        ),
        (
            "output_padding must be a non-negative integer",
            lambda: layers.Conv2DTranspose(3, 3, 2, output_padding=-1),
        ),
        (
            r"'up' \(Conv2DTranspose\): an image of 1 x 1 would become 0 x 0, .*'same' and "
            r"output_padding=\(0, 0\); leave output_padding out",
            lambda: layers.Conv2DTranspose(3, 2, padding="same", output_padding=0, name="up")(
                ck.Input((1, 1, 2))
            ),
        ),
        ("has no groups", lambda: layers.Conv2DTranspose(2, 3, groups=2)),
        ("expects rank 4 input", lambda: layers.Conv2DTranspose(2, 3)(ck.Input((4, 4)))),
        ("data_format", lambda: layers.Conv2DTranspose(2, 3, data_format="channels_first")),
        (
            "kernel_constraint is not",
            lambda: layers.Conv2DTranspose(2, 3, kernel_constraint="max_norm"),
        ),
    ],
)
def test_refused(message: str, make: Any) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_other_channels_than_the_weights_are_for_are_refused() -> None:
    layer = layers.Conv2DTranspose(5, 3)
    layer(ck.Input(SHAPE))
    with pytest.raises(ValueError, match="has weights for 2 channels, got 3"):
        layer(ck.Input((4, 4, 3)))
