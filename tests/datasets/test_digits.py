"""The embedded digits: the bytes themselves, the split, and the upscaling."""

import hashlib

import numpy as np
import pytest

from convkit.datasets import digits


def pooled(**arguments):
    (x_train, y_train), (x_test, y_test) = digits.load_data(**arguments)
    return np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test])


def test_embedded_bytes():
    values, labels = digits._load()
    assert (values.shape, values.dtype, values.max()) == ((1797, 8, 8), np.uint8, 16)
    assert (labels.shape, labels.dtype) == ((1797,), np.uint8)
    assert np.bincount(labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert hashlib.sha256(values.tobytes()).hexdigest() == (
        "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3"
    )
    assert hashlib.sha256(labels.tobytes()).hexdigest() == (
        "8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0"
    )


def test_default_shapes_and_scale():
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    assert (x_train.shape, y_train.shape) == ((1500, 8, 8), (1500,))
    assert (x_test.shape, y_test.shape) == ((297, 8, 8), (297,))
    assert {a.dtype for a in (x_train, y_train, x_test, y_test)} == {np.dtype(np.uint8)}
    levels = [(value * 255 + 8) // 16 for value in range(17)]
    assert np.unique(x_train).tolist() == levels and levels[-1] == 255 and levels[8] == 128


def test_split_is_frozen():
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    digest = hashlib.sha256()
    for array in (x_train, y_train, x_test, y_test):
        digest.update(array.tobytes())
    assert digest.hexdigest() == "4e711d3b5916d356d0059fc38d9e1e03345ba270d3366f3a78bd0b4907134892"


@pytest.mark.parametrize("test_size", [0, 1, 10, 297, 500, 1796])
def test_split_is_a_stratified_partition(test_size):
    (x_train, y_train), (x_test, y_test) = digits.load_data(test_size=test_size, seed=5)
    assert (len(x_train), len(x_test)) == (1797 - test_size, test_size)
    values, labels = digits._load()

    def rows(x, y):
        return sorted(image.tobytes() + bytes([label]) for image, label in zip(x, y))

    scaled = ((values.astype(int) * 255 + 8) // 16).astype(np.uint8)
    everything = rows(np.concatenate([x_train, x_test]), np.concatenate([y_train, y_test]))
    assert everything == rows(scaled, labels)
    share = np.bincount(labels) * test_size / 1797
    assert (np.abs(np.bincount(y_test, minlength=10) - share) < 1).all()


def test_seeds():
    (first, y_first), _ = digits.load_data(seed=1)
    (again, y_again), _ = digits.load_data(seed=1)
    (other, _), _ = digits.load_data(seed=2)
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(y_first, y_again)
    assert (first != other).any()
    first[:] = 0  # a caller may write without harm to the next one
    (fresh, _), _ = digits.load_data(seed=1)
    np.testing.assert_array_equal(fresh, again)


def test_both_sets_are_shuffled():
    (_, y_train), (_, y_test) = digits.load_data()
    for y in (y_train, y_test):
        assert (np.diff(y.astype(int)) < 0).mean() > 0.3  # sorted labels would never fall


def bilinear(image, size):
    """The textbook formula for one image of 0 to 16, pixel by pixel, before rounding."""
    out = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            y, x = (min(max((k + 0.5) * 8 / size - 0.5, 0), 7) for k in (i, j))
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, 7), min(x0 + 1, 7)
            fy, fx = y - y0, x - x0
            top = image[y0, x0] * (1 - fx) + image[y0, x1] * fx
            bottom = image[y1, x0] * (1 - fx) + image[y1, x1] * fx
            out[i, j] = top * (1 - fy) + bottom * fy
    return out * 255 / 16


@pytest.mark.parametrize("size", [8, 9, 13, 16, 28, 32, 33])
def test_upscaling_is_bilinear(size):
    values, _ = digits._load()
    for index in (0, 7, 1796):
        exact = bilinear(values[index], size)
        scaled = digits._upscale(values[index : index + 1], size)[0]
        assert np.abs(scaled - exact).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("size", [9, 28, 32])
def test_upscaling_properties(size):
    full = np.full((1, 8, 8), 16, np.uint8)
    assert (digits._upscale(full, size) == 255).all()
    assert (digits._upscale(np.zeros_like(full), size) == 0).all()
    values, _ = digits._load()
    scaled = digits._upscale(values[:100], size)
    assert scaled.shape == (100, size, size) and scaled.dtype == np.uint8
    for axis in (1, 2):
        mirrored = digits._upscale(np.flip(values[:100], axis), size)
        np.testing.assert_array_equal(mirrored, np.flip(scaled, axis))
    turned = digits._upscale(values[:100].transpose(0, 2, 1), size)
    np.testing.assert_array_equal(turned, scaled.transpose(0, 2, 1))
    brightness = values[:100].mean((1, 2)) * 255 / 16
    assert np.abs(scaled.mean((1, 2)) - brightness).max() < 8


def test_size_changes_neither_labels_nor_order():
    (small, y_small), _ = digits.load_data()
    (large, y_large), _ = digits.load_data(size=np.int64(24))
    np.testing.assert_array_equal(y_small, y_large)
    np.testing.assert_array_equal(small, large[:, 1::3, 1::3])  # centres coincide at factor 3
    np.testing.assert_array_equal(pooled(size=8)[0], pooled()[0])


def test_a_linear_model_reads_the_digits():
    (x_train, y_train), (x_test, y_test) = digits.load_data()
    x = np.column_stack([x_train.reshape(-1, 64) / 255, np.ones(len(x_train))])
    weights = np.linalg.lstsq(x, np.eye(10)[y_train], rcond=None)[0]
    x = np.column_stack([x_test.reshape(-1, 64) / 255, np.ones(len(x_test))])
    assert ((x @ weights).argmax(1) == y_test).mean() > 0.9


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"size": 7}, ValueError),
        ({"size": 0}, ValueError),
        ({"size": 28.0}, TypeError),
        ({"test_size": -1}, ValueError),
        ({"test_size": 1797}, ValueError),
        ({"test_size": 0.2}, TypeError),
        ({"seed": -1}, ValueError),
        ({"seed": None}, TypeError),
    ],
)
def test_arguments_out_of_range(arguments, error):
    with pytest.raises(error):
        digits.load_data(**arguments)
