"""ZeroPadding2D, Cropping2D, UpSampling2D and Permute: against NumPy, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers
from convkit.program.program import Program
from program.graphs import calls, compiled, named

IMAGE = (6, 5, 2)


def output(layer: Any, x: Any) -> Any:
    """What a model of this one layer makes of x."""
    model = ck.Sequential([ck.Input(x.shape[1:]), layer])
    y = model.predict(x, verbose=0)
    assert y.shape[1:] == model.output_shape[1:]
    return y


@pytest.fixture
def x() -> Any:
    return np.random.default_rng(0).standard_normal((3, *IMAGE)).astype(np.float32)


@pytest.mark.parametrize(
    ("padding", "sides"),
    [
        (1, ((1, 1), (1, 1))),
        ((2, 3), ((2, 2), (3, 3))),
        (((1, 0), (2, 3)), ((1, 0), (2, 3))),
    ],
)
def test_padding_and_cropping(x: Any, padding: Any, sides: Any) -> None:
    padded = np.pad(x, ((0, 0), *sides, (0, 0)))
    np.testing.assert_array_equal(output(layers.ZeroPadding2D(padding), x), padded)
    np.testing.assert_array_equal(output(layers.Cropping2D(padding), padded), x)


def test_defaults(x: Any) -> None:
    assert output(layers.ZeroPadding2D(), x).shape == (3, 8, 7, 2)
    np.testing.assert_array_equal(output(layers.Cropping2D(), x), x)
    assert output(layers.UpSampling2D(), x).shape == (3, 12, 10, 2)


def test_upsampling(x: Any) -> None:
    y = output(layers.UpSampling2D((2, 3)), x)
    np.testing.assert_array_equal(y, x.repeat(2, axis=1).repeat(3, axis=2))
    ramp = np.arange(4, dtype=np.float32).reshape(1, 1, 4, 1)
    y = output(layers.UpSampling2D((1, 2), interpolation="bilinear"), ramp)
    np.testing.assert_array_equal(y.ravel(), [0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3])


@pytest.mark.parametrize("dims", [(1, 2, 3), (3, 1, 2), (2, 1, 3), (3, 2, 1)])
def test_permute(x: Any, dims: tuple[int, ...]) -> None:
    np.testing.assert_array_equal(output(layers.Permute(dims), x), x.transpose(0, *dims))


def test_names_and_weights(x: Any) -> None:
    ck.layers.reset_names()
    for kind, name in (
        (layers.ZeroPadding2D, "zero_padding2d"),
        (layers.Cropping2D, "cropping2d"),
        (layers.UpSampling2D, "up_sampling2d"),
    ):
        layer = kind()
        layer(ck.Input(IMAGE))
        assert layer.name == name and layer.count_params() == 0


def autoencoder() -> ck.Sequential:
    return ck.Sequential(
        [
            ck.Input(IMAGE),
            layers.Dense(2),
            layers.ZeroPadding2D(((1, 0), (0, 1))),
            layers.Permute((2, 3, 1)),
            layers.Dense(5),
            layers.UpSampling2D((2, 1), interpolation="bilinear"),
            layers.Dense(3),
            layers.UpSampling2D(2),
            layers.Cropping2D(((1, 2), (0, 3))),
            layers.Flatten(),
            layers.Dense(3, "softmax"),
        ]
    )


def test_they_train(x: Any) -> None:
    model = autoencoder()
    model.compile("sgd", "sparse_categorical_crossentropy")
    y = np.arange(3)
    assert ck.testing.compare(model, x, y).agrees
    report = ck.testing.check_gradients(model, x[:2], y[:2], max_entries=20)
    assert report.passed, report


def padded(layer: Any, *conv: Any, **options: Any) -> ck.Sequential:
    return ck.Sequential([ck.Input(IMAGE), layer, layers.Conv2D(3, *conv, **options)])


@pytest.mark.parametrize("mode", ["train", "predict"])
@pytest.mark.parametrize("options", [{}, {"padding": "same", "strides": 2, "activation": "relu"}])
def test_padding_goes_into_the_convolution_after_it(
    x: Any, mode: str, options: dict[str, Any]
) -> None:
    model = padded(layers.ZeroPadding2D(((1, 2), (0, 3))), 3, **options)
    program = compiled(model, mode)
    assert not named(program, "pad2d")
    wide = np.pad(x, ((0, 0), (1, 2), (0, 3), (0, 0)))
    rng = np.random.default_rng(1)
    weights = [rng.standard_normal(w.shape).astype(np.float32) for w in model.get_weights()]
    model.set_weights(weights)
    plain = ck.Sequential([ck.Input(wide.shape[1:]), layers.Conv2D(3, 3, **options)])
    plain.executor = "reference"
    plain.set_weights(weights)
    expected = plain.predict(wide, verbose=0)
    # A sum of 3 * 3 * 2 products and a bias, the order free, and the reference's own rounding: each
    # may be off by half a unit in the last place of the sum of the terms' magnitudes.
    plain.set_weights([np.abs(w) for w in weights])
    magnitude = plain.predict(np.abs(wide), verbose=0)
    terms = weights[0][..., 0].size + 1
    error = np.abs(model.predict(x, verbose=0) - expected)
    assert (error <= (terms + 2) * 2.0**-24 * magnitude).all()


def test_padding_that_another_layer_reads_stays() -> None:
    start = ck.Input(IMAGE)
    wide = layers.ZeroPadding2D()(start)
    both = layers.concatenate([layers.Conv2D(2, 3, padding="same")(wide), wide])
    assert len(named(compiled(ck.Model(start, both), "predict"), "pad2d")) == 1
    kept = ck.Model(start, [wide, layers.Conv2D(2, 3)(wide)])
    assert len(named(compiled(kept, "predict"), "pad2d")) == 1


def test_cropping_and_other_readers_do_not_fuse() -> None:
    for layer in (layers.Cropping2D(1), layers.UpSampling2D()):
        program = compiled(padded(layer, 3), "predict")
        assert len(calls(program)) == 3
    pooled = ck.Sequential([ck.Input(IMAGE), layers.ZeroPadding2D(), layers.MaxPooling2D()])
    assert "pad2d.forward" in calls(compiled(pooled, "predict"))


def test_listing_names_sizes_and_axes() -> None:
    program: Program = compiled(autoencoder(), "predict")
    text = str(program)
    assert "size=2x1, interpolation=bilinear" in text
    assert "axes=0x2x3x1x4x5" in text


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (
            ValueError,
            r"'z' \(ZeroPadding2D\): .* non-negative",
            lambda: layers.ZeroPadding2D(-1, name="z"),
        ),
        (ValueError, "padding must be an int, a pair", lambda: layers.ZeroPadding2D("same")),
        (ValueError, "data_format", lambda: layers.ZeroPadding2D(1, "channels_first")),
        (
            ValueError,
            "leaves nothing of an image of 6 x 5",
            lambda: layers.Cropping2D(3)(ck.Input(IMAGE)),
        ),
        (ValueError, "expects rank 4 input", lambda: layers.Cropping2D(1)(ck.Input((4,)))),
        (ValueError, "size must be a positive integer", lambda: layers.UpSampling2D(0)),
        (
            ValueError,
            "one of 'nearest', 'bilinear', got 'bicubic'",
            lambda: layers.UpSampling2D(2, interpolation="bicubic"),
        ),
        (ValueError, "must be a permutation of 1, 2", lambda: layers.Permute((0, 1))),
        (ValueError, "must be a permutation", lambda: layers.Permute((1, 1))),
        (ValueError, "at most 5 axes", lambda: layers.Permute((1, 2, 3, 4, 5, 6))),
        (
            ValueError,
            r"dims \(2, 1\) is for samples of 2 axes, got input \(None, 6, 5, 2\)",
            lambda: layers.Permute((2, 1))(ck.Input(IMAGE)),
        ),
    ],
)
def test_refused(error: type[Exception], message: str, make: Any) -> None:
    with pytest.raises(error, match=message):
        make()
