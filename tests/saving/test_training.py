"""Saved models train on to the same bits; what compile was given and frozen weights come back."""

import numpy as np
import pytest

import convkit as ck
from convkit import Input, layers
from models.conftest import blobs, classifier, convnet, images, seeded  # noqa: F401
from saving.roundtrip import check, through_a_file


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: ck.optimizers.Adam(0.01, global_clipnorm=1.0),
        lambda: ck.optimizers.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
        lambda: ck.optimizers.SGD(ck.schedules.ExponentialDecay(0.1, 3, 0.9)),
        lambda: ck.optimizers.Adagrad(0.1, initial_accumulator_value=0.3),
        lambda: ck.optimizers.RMSprop(momentum=0.5, centered=True),
    ],
)
def test_training_goes_on_to_the_same_bits(optimizer, tmp_path):
    x, y = images()
    model = convnet()
    model.compile(
        optimizer(), "sparse_categorical_crossentropy", metrics=["accuracy"], regularizer="l2"
    )
    model.fit(x, y, epochs=2, batch_size=8, verbose=0)
    made = through_a_file(model, tmp_path)
    assert made.optimizer.iterations == model.optimizer.iterations == 10
    assert made.optimizer.get_config() == model.optimizer.get_config()
    one, other = (m.fit(x, y, epochs=2, batch_size=8, verbose=0).history for m in (model, made))
    assert one == other
    for a, b in zip(model.get_weights(), made.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(model.store.slots, made.store.slots)
    assert made.optimizer.iterations == 20


@pytest.mark.parametrize("name", ["LBFGS", "BFGS", "ConjugateGradient", "LevenbergMarquardt"])
def test_full_batch_training_goes_on_to_the_same_bits(name, tmp_path):
    x, y = blobs(30)
    targets = np.eye(3, dtype="float32")[y]
    model = classifier(loss="mse", optimizer=getattr(ck.optimizers, name)(), metrics=None)
    model.fit(x, targets, epochs=3, verbose=0)
    made = through_a_file(model, tmp_path)
    one, other = (m.fit(x, targets, epochs=3, verbose=0).history for m in (model, made))
    assert one == other
    for a, b in zip(model.get_weights(), made.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_multipliers_of_learning_rates_come_back(tmp_path):
    model = ck.Sequential([Input((4,)), layers.Dense(3, lr_multiplier=0.5), layers.Dense(2)])
    model.layers[1].lr_multiplier = 3.0
    model.layers[1].bias.lr_multiplier = 2.0
    made = check(model, tmp_path)
    assert [layer.lr_multiplier for layer in made.layers] == [0.5, 3.0]
    assert [p.multiplier for p in made.parameters] == [0.5, 0.5, 3.0, 6.0]


def test_what_compile_was_given_comes_back(tmp_path):
    model = classifier(
        optimizer=ck.optimizers.SGD(0.1),
        loss=ck.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        metrics=["acc", "mse", ck.losses.MeanSquaredError()],
        weighted_metrics=[ck.metrics.CategoricalAccuracy(name="hits")],
        run_eagerly=True,
    )
    model.optimizer.learning_rate = 0.02  # as a callback does
    model.optimizer.global_clipnorm = 3.0
    made = through_a_file(model, tmp_path)
    assert made.optimizer.learning_rate == 0.02 and made.optimizer.global_clipnorm == 3
    assert made.loss.get_config() == model.loss.get_config()
    assert made.metrics_names == model.metrics_names and made.run_eagerly
    with pytest.raises(ck.NotCompiledError):
        ck.load_model(tmp_path / "model.convkit", compile=False).fit(*blobs(), verbose=0)


def test_include_optimizer_false_leaves_out_what_compile_was_given(tmp_path):
    model = classifier(optimizer=ck.optimizers.SGD(lambda step: 0.1))
    with pytest.raises(TypeError, match=r"learning_rate cannot be saved.*include_optimizer=False"):
        model.save(tmp_path / "m.convkit")
    path = model.save(tmp_path / "m.convkit", include_optimizer=False)
    with pytest.raises(ck.NotCompiledError):
        ck.load_model(path).fit(*blobs(), verbose=0)


def test_frozen_layers_and_weights_stay_frozen(tmp_path):
    model = ck.Sequential(
        [Input((5, 3)), layers.Bidirectional(layers.LSTM(2)), layers.Dense(3, name="d"),
         layers.Dense(2)]
    )  # fmt: skip
    model.layers[0].forward_layer.trainable = False
    model.get_layer("d").trainable = False
    model.layers[2].bias.trainable = False
    made = check(model, tmp_path)
    assert not made.layers[0].forward_layer.trainable and made.layers[0].backward_layer.trainable
    made.get_layer("d").trainable = True
    assert made.get_layer("d").kernel.trainable and not made.layers[2].bias.trainable
    whole = ck.Sequential([Input((2,)), layers.Dense(3)])
    whole.trainable = False
    assert not check(whole, tmp_path).trainable
