"""Normalization: what it measures, in parts and from files, and what it makes of data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit.layers import standardization


def made(layer: Any, x: Any) -> Any:
    return ck.Sequential([ck.Input(np.shape(x)[1:]), layer]).predict(x, verbose=0)


@pytest.fixture
def x() -> Any:
    rng = np.random.default_rng(0)
    return (rng.standard_normal((50, 3, 4)) * [1, 10, 0.1, 5] + [0, 100, -7, 1e3]).astype("f4")


@pytest.fixture(params=[7, 1 << 20])
def block(request: Any, monkeypatch: Any) -> Any:
    monkeypatch.setattr(standardization, "BLOCK", request.param)


@pytest.mark.usefixtures("block")
def test_mean_and_variance_are_numpys(x: Any, tmp_path: Any) -> None:
    wide = x.astype(float)
    mean, variance = wide.mean((0, 1)), wide.var((0, 1))
    np.save(tmp_path / "x.npy", x)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    pairs = [(x[:20], None), (x[20:], None)]
    for data in (x, wide, mapped, x.tolist(), iter(pairs), iter([x[:7], x[7:]])):
        layer = ck.layers.Normalization()
        layer.adapt(data)
        y = made(layer, x)
        np.testing.assert_allclose(layer.mean, mean, rtol=1e-6)
        np.testing.assert_allclose(layer.variance, variance, rtol=1e-6)
        expected = (wide - mean) / np.sqrt(variance)
        # x less the mean is off by the rounding of the mean.
        bound = np.spacing(np.abs(mean).astype("f4")) / np.sqrt(variance) + 1e-5
        assert (np.abs(y - expected) <= bound).all()


def test_one_mean_for_everything(x: Any) -> None:
    layer = ck.layers.Normalization(axis=None)
    layer.adapt(x)
    np.testing.assert_allclose(layer._measured, [x.mean(dtype=float), x.var(dtype=float)])
    y = made(layer, x)
    assert abs(y.mean(dtype=float)) < 1e-4 and abs(y.var(dtype=float) - 1) < 1e-4


def test_a_column_of_a_table() -> None:
    column = np.array([1.0, 2, 3, 6])
    layer = ck.layers.Normalization(axis=None)
    layer.adapt(column)
    np.testing.assert_array_equal(layer._measured, [3, 3.5])
    y = made(layer, column[:, None])
    np.testing.assert_allclose(y[:, 0], (column - 3) / 3.5**0.5, rtol=1e-6)
    with pytest.raises(ValueError, match="x\\[:, None\\]"):
        ck.layers.Normalization().adapt(column)


def test_given_numbers() -> None:
    x = np.array([[1.0, 2.0], [3.0, 6.0]])
    y = made(ck.layers.Normalization(mean=[1, 2], variance=[4, 16]), x)
    np.testing.assert_array_equal(y, [[0, 0], [1, 1]])
    np.testing.assert_array_equal(made(ck.layers.Normalization(mean=1, variance=4), x)[0], [0, 0.5])


def test_a_feature_without_variance_is_zero() -> None:
    layer = ck.layers.Normalization()
    layer.adapt(np.full((5, 2), 3.0))
    np.testing.assert_array_equal(made(layer, np.full((5, 2), 3.0)), 0)


def test_before_and_after_it_has_measured(x: Any) -> None:
    layer = ck.layers.Normalization()
    model = ck.Sequential([ck.Input((3, 4)), layer])
    np.testing.assert_allclose(model.predict(x, verbose=0), x, rtol=1e-6)
    layer.adapt(x)
    assert abs(model.predict(x, verbose=0).mean()) < 1e-3
    layer.adapt(x[:10] * 2)  # anew
    np.testing.assert_allclose(layer.mean, 2 * x[:10].mean((0, 1), dtype=float), rtol=1e-6)


def test_training_leaves_it_alone_and_passes_gradients(x: Any) -> None:
    layer = ck.layers.Normalization()
    layer.adapt(x)
    model = ck.Sequential(
        [ck.Input((3, 4)), ck.layers.Dense(4), layer, ck.layers.Flatten(), ck.layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(x / 1000, np.ones((50, 1)), verbose=0)
    after = model.get_weights()
    changed = [(a != b).any() for a, b in zip(before, after, strict=True)]
    assert changed == [True, True, False, False, True, True]
    assert all(np.isfinite(w).all() for w in after)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda n: n(axis=[1, 2]), "axis must be -1"),
        (lambda n: n(axis=1)(ck.Input((3, 4))), "axis=1 is not supported"),
        (lambda n: n(mean=1.0), "come together"),
        (lambda n: n(mean=1.0, variance=-1.0), "the variance not negative"),
        (lambda n: n(invert=True), "invert=True is not supported"),
        (lambda n: n(mean=1.0, variance=1.0).adapt(np.ones((2, 2))), "was given mean"),
        (lambda n: n().adapt(np.ones((0, 2))), "data is empty"),
        (lambda n: n().adapt(iter([])), "data is empty"),
        (lambda n: n().adapt(np.ones(3)), r"x\[:, None\]"),
        (lambda n: n().adapt(np.array([[np.nan]])), "NaN"),
        (lambda n: n().adapt(iter([np.ones((2, 2)), np.ones((2, 3))])), "2 features first and"),
        (lambda n: n(mean=[1, 2], variance=[1, 2])(ck.Input((3,))), "do not fit data with 3"),
    ],
)
def test_refused(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call(ck.layers.Normalization)
    with pytest.raises(TypeError, match="text"):
        ck.layers.Normalization().adapt(np.array([["a"]]))
