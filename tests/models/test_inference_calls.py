"""Layers and models called with training=False: as in prediction, even while fit trains."""

import copy

import numpy as np
import pytest

import convkit as ck
from convkit import layers

X = np.random.default_rng(0).standard_normal((64, 4)).astype("f4") * 3 + 5
Y = X.sum(1, keepdims=True)


def base():
    return ck.Sequential(
        [
            ck.Input((4,)), layers.Dense(6, name="hidden"),
            layers.BatchNormalization(name="norm"), layers.Dropout(0.5, name="drop"),
        ],
        name="base",
    )  # fmt: skip


def finished(inner, **options):
    x = ck.Input((4,))
    model = ck.Model(x, layers.Dense(1, name="out")(inner(x, **options)))
    model.compile("sgd", "mse")
    return model


def test_batch_normalization_stays_in_inference_mode_and_is_trained():
    inner = base()
    model = finished(inner, training=False)
    inner.trainable = True  # as in fine tuning
    norm, hidden = inner.get_layer("norm"), inner.get_layer("hidden")
    before, kernel = norm.get_weights(), hidden.get_weights()[0]
    first = model.evaluate(X, Y, batch_size=64, verbose=0)
    history = model.fit(X, Y, batch_size=64, epochs=1, verbose=0)
    # Neither dropped values nor statistics of the batch: the loss is that of evaluate.
    assert history.history["loss"][0] == pytest.approx(first, rel=1e-6)
    gamma, beta, mean, variance = norm.get_weights()
    np.testing.assert_array_equal(mean, before[2])
    np.testing.assert_array_equal(variance, before[3])
    assert (gamma != before[0]).all() and (beta != before[1]).all()
    assert (hidden.get_weights()[0] != kernel).all()


def test_without_the_argument_the_statistics_move():
    inner = base()
    model = finished(inner)
    model.fit(X, Y, batch_size=64, epochs=1, verbose=0)
    assert (inner.get_layer("norm").get_weights()[2] != 0).all()


def test_it_holds_through_copies_and_models_of_models():
    inner = base()
    middle = finished(inner, training=False)
    outer = finished_twice(middle)
    for model in (copy.deepcopy(middle), outer, copy.deepcopy(outer)):
        model.compile("sgd", "mse")
        ops = [i.pass_name for i in model.program("train", 8).instructions if i.op == "batch_norm"]
        assert ops == ["inference", "backward_inference"]
        assert not any(i.op == "dropout" for i in model.program("train", 8).instructions)


def finished_twice(middle):
    x = ck.Input((4,))
    return ck.Model(x, layers.Dense(1, name="last")(middle(x)))


def test_gradients_through_pooling_and_normalization_in_inference_mode():
    x = ck.Input((6, 6, 2))
    inner = ck.Sequential(
        [
            ck.Input((6, 6, 2)), layers.Conv2D(3, 3), layers.BatchNormalization(),
            layers.MaxPooling2D(2), layers.Flatten(),
        ]
    )  # fmt: skip
    model = ck.Model(x, layers.Dense(2, "softmax")(inner(x, training=False)))
    model.compile("sgd", "sparse_categorical_crossentropy")
    rng = np.random.default_rng(1)
    images, labels = rng.standard_normal((4, 6, 6, 2)), rng.integers(0, 2, 4)
    ck.testing.check_gradients(model, images, labels)


def test_one_layer():
    x = ck.Input((4,))
    model = ck.Model(x, layers.Dense(1)(layers.Dropout(0.5)(x, training=False)))
    model.compile("sgd", "mse")
    assert not any(i.op == "dropout" for i in model.program("train", 8).instructions)
    for layer in (layers.GRU(3), layers.Bidirectional(layers.GRU(3))):
        assert layer(ck.Input((5, 4)), training=False).call.inference


def test_training_is_refused_elsewhere():
    x = ck.Input((4,))
    with pytest.raises(ValueError, match=r"layer 'drop' \(Dropout\): training=True"):
        layers.Dropout(0.5, name="drop")(x, training=True)
    with pytest.raises(ValueError, match="'base': training=True is not supported"):
        base()(x, training=True)
    with pytest.raises(ValueError, match="'base': training=True is not supported"):
        base()(X, training=True)
    assert base()(X, training=False).shape == (64, 6)
    with pytest.raises(ValueError, match="training=False and cannot be part of a Sequential"):
        ck.Sequential([finished(base(), training=False), layers.Dense(2)])
