"""Embedding, CategoryEncoding and RepeatVector."""

from __future__ import annotations

import numpy as np
import pytest

import convkit as ck
from convkit import layers
from layers.test_recurrent import shake


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "float32", "float64"])
def test_embedding_looks_rows_up(dtype):
    ck.set_seed(1)
    model = ck.Sequential([ck.Input((5,)), layers.Embedding(10, 4)])
    x = np.random.default_rng(0).integers(0, 10, (3, 5)).astype(dtype)
    (table,) = model.get_weights()
    assert np.abs(table).max() <= 0.05 and table.std() > 0.02  # Keras's "uniform"
    assert (model.predict(x) == table[x.astype(int)]).all()
    assert model.output_shape == (None, 5, 4)
    assert model.count_params() == 40
    images = ck.Sequential([ck.Input((2, 3)), layers.Embedding(10, 4)])
    assert images.output_shape == (None, 2, 3, 4)


def test_keras_arguments_of_embedding():
    table = np.arange(6.0).reshape(3, 2)
    for weights in (table, [table]):
        model = ck.Sequential([layers.Embedding(3, 2, weights=weights, input_length=4)])
        assert (model.get_weights()[0] == table).all()
        assert model.output_shape == (None, 4, 2)


def test_gradients_of_an_embedding():
    model = ck.Sequential(
        [ck.Input((5,)), layers.Embedding(6, 3), layers.Flatten(), layers.Dense(2, "softmax")]
    )
    shake(model)
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = np.random.default_rng(0).integers(0, 6, (4, 5)), np.arange(4) % 2
    assert ck.testing.compare(model, x, y).agrees
    report = ck.testing.check_gradients(model, x, y)
    assert report.passed, report
    assert report.entries == model.count_params()


@pytest.mark.parametrize("last", [(), (1,)])
def test_one_hot(last):
    model = ck.Sequential(
        [ck.Input((5, *last)), layers.CategoryEncoding(num_tokens=7, output_mode="one_hot")]
    )
    x = np.random.default_rng(0).integers(0, 7, (3, 5))
    assert (model.predict(x.reshape(3, 5, *last)) == np.eye(7)[x]).all()
    assert model.output_shape == (None, 5, 7)
    assert model.count_params() == 0


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.Embedding(10, 4, name="words"),
        lambda: layers.CategoryEncoding(10, "one_hot", name="words"),
        lambda: layers.TimeDistributed(layers.Embedding(10, 4, name="words")),
    ],
)
@pytest.mark.parametrize(
    ("value", "dtype"),
    [(10, "uint8"), (-1, "int64"), (0.5, "float32"), (np.nan, "float32"), (np.inf, "float64")],
)
def test_numbers_of_nothing_are_refused_up_front(layer, value, dtype):
    model = ck.Sequential([ck.Input((3, 2)), layer(), layers.Flatten(), layers.Dense(1)])
    model.compile("sgd", "mse")
    x = np.zeros((5, 3, 2), dtype)
    x[3, 2, 1] = value
    text = rf"x\[3, 2, 1\] is {value}, and layer 'words' .* 0 to 9 \((input_dim|num_tokens)=10\)"
    for call in (
        lambda: model.predict(x),
        lambda: model.fit(x, np.zeros(5), verbose=0),
        lambda: model.evaluate(x, np.zeros(5), verbose=0),
    ):
        with pytest.raises(ValueError, match=text):
            call()
    assert np.isfinite(model.predict(x[:3])).all()


def test_an_embedding_further_on_gives_nan():
    """What a layer computed cannot be checked up front; nothing is read outside the table."""
    model = ck.Sequential([ck.Input((2,)), layers.Activation("linear"), layers.Embedding(3, 2)])
    y = model.predict(np.array([[0, 3], [-1, 2]], "float32"))
    assert np.isnan(y).all(axis=-1).tolist() == [[False, True], [True, False]]


def test_repeat_vector():
    model = ck.Sequential([ck.Input((3,)), layers.RepeatVector(4)])
    x = np.random.default_rng(0).standard_normal((2, 3)).astype("float32")
    assert (model.predict(x) == np.repeat(x[:, None], 4, axis=1)).all()
    assert model.output_shape == (None, 4, 3)


@pytest.mark.parametrize("n", [1, 3])
def test_gradients_of_an_autoencoder_of_sequences(n):
    model = ck.Sequential(
        [
            ck.Input((n, 2)),
            layers.GRU(3),
            layers.RepeatVector(n),
            layers.GRU(3, return_sequences=True),
            layers.TimeDistributed(layers.Dense(2)),
        ]
    )
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).standard_normal((2, n, 2)).astype("float32")
    assert ck.testing.compare(model, x, x).agrees
    report = ck.testing.check_gradients(model, x, x)
    assert report.passed, report


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("input_dim must be a positive integer", lambda: layers.Embedding(0, 3)),
        ("output_dim must be a positive integer", lambda: layers.Embedding(3, 2.5)),
        (r"at most 2\*\*24 = 16777216", lambda: layers.Embedding((1 << 24) + 1, 1)),
        ("embeddings_constraint is not supported",
         lambda: layers.Embedding(3, 2, embeddings_constraint="l2")),
        (r"weights have shape \(2, 2\), expected \(3, 2\)",
         lambda: layers.Embedding(3, 2, weights=np.eye(2))),
        (r"mask_zero=True needs sequences of numbers \(N, T\), got \(None, 3, 4\)",
         lambda: layers.Embedding(3, 2, mask_zero=True)(ck.Input((3, 4)))),
        ('give output_mode="one_hot"', lambda: layers.CategoryEncoding(3)),
        ("num_tokens must be", lambda: layers.CategoryEncoding(output_mode="one_hot")),
        ("use an Embedding", lambda: layers.CategoryEncoding(5000, "one_hot")),
        ("sparse=True is not", lambda: layers.CategoryEncoding(5, "one_hot", sparse=True)),
        ("n must be a positive", lambda: layers.RepeatVector(0)),
        ("expects rank 2", lambda: layers.RepeatVector(2)(ck.Input((3, 4)))),
    ],
)  # fmt: skip
def test_errors(message, call):
    with pytest.raises(ValueError, match=message):
        call()
