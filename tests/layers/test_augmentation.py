"""Random layers: what they do in training, that they do nothing else, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers
from convkit.ops.activation import activation_params
from convkit.ops.augment import drawn_numbers
from convkit.ops.registry import Step
from models.conftest import images

SHAPE = (8, 6, 3)
ALL: dict[str, Any] = {
    "flip": lambda **k: layers.RandomFlip(**k),
    "shift": lambda **k: layers.RandomTranslation(0.3, (-0.2, 0.4), **k),
    "zoom": lambda **k: layers.RandomZoom(0.3, **k),
    "zoom both": lambda **k: layers.RandomZoom((-0.3, 0.1), (0.1, 0.2), fill_mode="wrap", **k),
    "rotate": lambda **k: layers.RandomRotation(0.1, fill_mode="constant", **k),
    "crop": lambda **k: layers.RandomCrop(5, 4, **k),
}
each = pytest.mark.parametrize("make", ALL.values(), ids=ALL)


@pytest.fixture(autouse=True)
def _seed() -> Any:
    before = ck.random._seed
    ck.set_seed(11)
    yield
    ck.random._seed = before


@pytest.fixture
def x() -> Any:
    return np.random.default_rng(0).standard_normal((9, *SHAPE)).astype(np.float32)


class Seen(layers.Layer):
    """Keeps what goes through it in its only weight, which training leaves alone."""

    def __init__(self, count: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.count = count

    def build(self, input_shape: Any) -> None:
        self.kept = self.add_weight("kept", (self.count, *input_shape[1:]), trainable=False)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def emit(self, builder: Any, inputs: Any) -> Any:
        if builder.training:
            kept = builder.parameter(self.kept)
            builder.after_step(
                "activation", "forward", [inputs[0]], activation_params(), out=[kept]
            )
        return inputs[0]


def model_of(layer: Any, count: int = 9, first: Any = (), **options: Any) -> Any:
    model = ck.Sequential(
        [ck.Input(SHAPE), *first, layer, Seen(count, name="seen"), layers.Flatten(),
         layers.Dense(2, name="out")]
    )  # fmt: skip
    model.compile("sgd", "mse", **options)
    return model


def augmented(layer: Any, x: Any, steps: int = 1, executor: str = "native", **options: Any) -> Any:
    """What the layer made of x in the last of so many steps."""
    model = model_of(layer, len(x), **options)
    model.executor = executor
    y = np.zeros((len(x), 2))
    for _ in range(steps):
        model.fit(x, y, batch_size=len(x), shuffle=False, verbose=0)
    return model.get_layer("seen").get_weights()[0]


@each
def test_only_training_changes_images(make: Any, x: Any) -> None:
    model = ck.Sequential([ck.Input(SHAPE), make()])
    y = model.predict(x, verbose=0)
    height, width = y.shape[1:3]
    top, left = (8 - height) // 2, (6 - width) // 2
    np.testing.assert_array_equal(y, x[:, top : top + height, left : left + width])
    assert (augmented(make(), x) != y).any()


@each
def test_every_executor_and_any_number_of_threads_draws_the_same(make: Any, x: Any) -> None:
    layer = make(seed=3)
    want = augmented(layer, x, steps=2)
    threads = ck.get_num_threads()
    try:
        for n in (1, 3):
            ck.set_num_threads(n)
            np.testing.assert_array_equal(augmented(make(seed=3), x, steps=2), want)
    finally:
        ck.set_num_threads(threads)
    for executor in ("eager", "reference"):
        got = augmented(make(seed=3), x, steps=2, executor=executor)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


@each
def test_steps_seeds_and_layers_differ(make: Any, x: Any) -> None:
    first = augmented(make(), x)
    np.testing.assert_array_equal(augmented(make(), x), first)
    assert (augmented(make(), x, steps=2) != first).any()
    assert (augmented(make(seed=1), x) != first).any()
    assert (augmented(make(seed=1), x) != augmented(make(seed=2), x)).any()
    ck.set_seed(12)
    assert (augmented(make(), x) != first).any()


def test_two_layers_of_a_kind_draw_apart(x: Any) -> None:
    once = augmented(layers.RandomFlip("horizontal"), x)
    twice = augmented(layers.RandomFlip("horizontal"), x, first=[layers.RandomFlip("horizontal")])
    assert (once != twice).any() and (twice != x).any()


@pytest.mark.parametrize("mode", ["horizontal", "vertical", "horizontal_and_vertical"])
def test_flips_are_those_of_the_numbers_drawn(mode: str, x: Any) -> None:
    layer = layers.RandomFlip(mode)
    got = augmented(layer, x)
    numbers = drawn_numbers(layer._params(1 << 30), Step(step=0, seed=11), len(x))
    for image, source, (r, s) in zip(got, x, numbers, strict=True):
        expected = source[::-1] if "vertical" in mode and r >= 0.5 else source
        expected = expected[:, ::-1] if "horizontal" in mode and s >= 0.5 else expected
        np.testing.assert_array_equal(image, expected)
    assert (got != x).any() and any((a == b).all() for a, b in zip(got, x, strict=True))


def test_a_padded_crop_shifts_by_whole_pixels(x: Any) -> None:
    """The usual augmentation of small images: padded by 2, then cropped to their size."""
    got = augmented(layers.RandomCrop(8, 6), x, first=[layers.ZeroPadding2D(2)])
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    places = [
        [(i, j) for i in range(5) for j in range(5) if (p[i : i + 8, j : j + 6] == g).all()]
        for p, g in zip(padded, got, strict=True)
    ]
    assert all(len(p) == 1 for p in places) and len({p[0] for p in places}) > 3


def test_pixels_are_scaled_on_the_way(x: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, x.shape, np.uint8)
    got = augmented(layers.RandomFlip(), pixels, first=[layers.Rescaling(1 / 255)])
    want = augmented(layers.RandomFlip(), pixels.astype(np.float32) * np.float32(1 / 255))
    np.testing.assert_array_equal(got, want)


@each
def test_layers_before_get_their_gradient(make: Any, x: Any) -> None:
    """A 1 x 1 convolution before and after: the loss is the same, and so are the gradients."""
    results = []
    for before in (True, False):
        ck.set_seed(11)
        point = layers.Conv2D(3, 1, name="point", use_bias=False)
        parts = [point, make(seed=1)] if before else [make(seed=1), point]
        model = ck.Sequential([ck.Input(SHAPE), *parts, layers.Flatten(), layers.Dense(2)])
        model.compile(ck.optimizers.SGD(0.1), "mse")
        rng = np.random.default_rng(1)
        model.set_weights([rng.standard_normal(w.shape) / 9 for w in model.get_weights()])
        model.fit(x, np.ones((9, 2)), batch_size=9, shuffle=False, verbose=0)
        results.append(point.get_weights()[0])
    np.testing.assert_allclose(*results, rtol=0, atol=1e-5)


def test_training_goes_on_from_a_step_as_if_it_had_not_stopped() -> None:
    x, y = images(24)

    def train(*parts: int) -> Any:
        ck.set_seed(3)
        model = ck.Sequential(
            [ck.Input((8, 8, 1)), layers.RandomTranslation(0.2, 0.2), layers.Flatten(),
             layers.Dense(4, "softmax")]
        )  # fmt: skip
        model.compile("sgd", "sparse_categorical_crossentropy")
        done = 0
        for epochs in parts:
            model.fit(x / 255, y, batch_size=8, initial_epoch=done, epochs=done + epochs, verbose=0)
            done += epochs
        return model.get_weights()

    for a, b in zip(train(4), train(1, 2, 1), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: layers.RandomFlip("both"), "'horizontal_and_vertical', got 'both'"),
        (lambda: layers.RandomTranslation(2, 0), r"height is \(-2, 2\), .* from -1 to 1"),
        (lambda: layers.RandomTranslation(0, (0.3, 0.1)), "width_factor must be a number, or two"),
        (lambda: layers.RandomTranslation("a", 0), "height_factor must be a number"),
        (lambda: layers.RandomTranslation(0, 0, fill_mode="mirror"), "fill_mode must be one of"),
        (lambda: layers.RandomTranslation(0, 0, interpolation="cubic"), "interpolation must be"),
        (lambda: layers.RandomZoom((-1, 0)), "from -0.99 to 100 for 'zoom'"),
        (lambda: layers.RandomRotation(np.nan), "factor must be a number"),
        (lambda: layers.RandomCrop(0, 3), "size must be positive"),
        (lambda: layers.RandomFlip(data_format="channels_first"), "np.moveaxis"),
        (lambda: layers.RandomCrop(9, 3)(ck.Input(SHAPE)), "9 x 3 pixels does not fit .* 8 x 6"),
        (lambda: layers.RandomFlip()(ck.Input((5, 5))), r"expects images \(N, H, W, C\)"),
    ],
)
def test_refused(make: Any, words: str) -> None:
    with pytest.raises((ValueError, TypeError), match=words):
        make()
