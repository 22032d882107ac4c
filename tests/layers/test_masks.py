"""Where masks go, and layers within layers that are frozen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers

N, T, C = 4, 6, 3


def padded(seed: int = 0) -> tuple[Any, Any]:
    """Sequences whose last two steps are padding, and targets of 100 there, of 0 elsewhere."""
    x = np.random.default_rng(seed).standard_normal((N, T, C)).astype(np.float32)
    x[:, -2:] = 0
    y = np.zeros((N, T, C), np.float32)
    y[:, -2:] = 100
    return x, y


def loss_of(build: Any) -> float:
    """The loss of a functional model on sequences of which only the padding is far off."""
    x, y = padded()
    start = ck.Input((T, C))
    model = ck.Model(start, build(layers.Masking()(start)))
    model.compile("sgd", "mse")
    return float(model.evaluate(x, y, verbose=0))


@pytest.mark.parametrize(
    "build",
    [
        lambda x: layers.add([x, layers.LSTM(C, return_sequences=True)(x)]),
        lambda x: layers.Dense(C)(layers.concatenate([x, layers.GRU(2, return_sequences=True)(x)])),
        lambda x: layers.LocalResponseNormalization()(x),
        lambda x: layers.Permute((1, 2))(x),
        lambda x: layers.Reshape((T, C))(layers.Reshape((T, C, 1))(x)),
        lambda x: layers.TimeDistributed(layers.Dense(C))(x),
        lambda x: layers.Lambda(lambda a: 2 * a)(x),
    ],
    ids=["add", "concatenate", "lrn", "permute", "reshape", "time_distributed", "lambda"],
)
def test_masks_pass_through(build: Any) -> None:
    """Padding counted would make the loss thousands."""
    assert loss_of(build) < 30


def test_losing_a_mask_is_a_warning() -> None:
    x, _ = padded()
    model = ck.Sequential([ck.Input((T, C)), layers.Masking(), layers.Permute((2, 1), name="turn")])
    with pytest.warns(UserWarning, match=r"'turn' \(Permute\) drops the mask of its input"):
        model.predict(x, verbose=0)
    start = ck.Input((T, C))
    half = ck.Model(start, layers.add([start, layers.Masking()(start)], name="sum"))
    with pytest.warns(UserWarning, match="'sum'"):
        half.predict(x, verbose=0)


def test_different_masks_are_not_joined() -> None:
    x, _ = padded()
    start = ck.Input((T, C))
    both = [layers.Masking(0.0)(start), layers.Masking(1.0)(start)]
    model = ck.Model(start, layers.add(both, name="sum"))
    with pytest.raises(ValueError, match=r"'sum' .* leave out different steps"):
        model.predict(x, verbose=0)


def test_a_lambda_may_take_the_steps_away() -> None:
    x, _ = padded()
    mean = layers.Lambda(lambda a: a.mean(1), output_shape=(C,))
    model = ck.Sequential([ck.Input((T, C)), layers.Masking(), mean, layers.Dense(2)])
    model.compile("sgd", "mse")
    model.fit(x, np.zeros((N, 2)), verbose=0)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(model.predict(x, verbose=0), x.mean(1) @ kernel + bias, atol=1e-5)


def normalised(wrapper: Any) -> tuple[Any, Any]:
    model = ck.Sequential([ck.Input((T, C)), wrapper, layers.Flatten(), layers.Dense(2)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(1).standard_normal((8, T, C)).astype(np.float32) + 3
    model.fit(x, np.zeros((8, 2)), verbose=0)
    return model, wrapper.get_weights()


@pytest.mark.parametrize("how", ["argument", "layer", "model"])
def test_freezing_a_wrapper_freezes_what_is_in_it(how: str) -> None:
    """Batch normalisation keeps its averages then, and normalises by them."""
    inner = layers.BatchNormalization()
    wrapper = layers.TimeDistributed(inner, trainable=how != "argument")
    if how == "layer":
        wrapper.trainable = False
    if how == "model":
        model = ck.Sequential([ck.Input((T, C)), wrapper, layers.Flatten(), layers.Dense(2)])
        model.trainable = False
        model.compile("sgd", "mse")
        model.fit(np.full((8, T, C), 3.0), np.zeros((8, 2)), verbose=0)
        weights = wrapper.get_weights()
    else:
        _, weights = normalised(wrapper)
    for found, expected in zip(weights, (1, 0, 0, 1)):
        np.testing.assert_array_equal(found, np.full(C, expected))
    assert not inner.trainable and wrapper.trainable_weights == []
    wrapper.trainable = True
    assert inner.trainable and len(wrapper.trainable_weights) == 2


def test_a_wrapper_that_is_not_frozen_moves_its_averages() -> None:
    _, (_, _, mean, _) = normalised(layers.TimeDistributed(layers.BatchNormalization()))
    np.testing.assert_allclose(mean, 0.03, atol=0.004)


def test_freezing_both_directions() -> None:
    wrapper = layers.Bidirectional(layers.GRU(2))
    wrapper.trainable = False
    model = ck.Sequential([ck.Input((T, C)), wrapper, layers.Dense(1)])
    model.compile("sgd", "mse")
    before = wrapper.get_weights()
    model.fit(padded()[0], np.ones((N, 1)), verbose=0)
    for a, b in zip(before, wrapper.get_weights()):
        np.testing.assert_array_equal(a, b)
    assert not wrapper.forward_layer.trainable and not wrapper.backward_layer.trainable


def test_batch_statistics_of_masked_steps_are_refused_within_a_wrapper() -> None:
    inner = layers.BatchNormalization(name="norm")
    model = ck.Sequential(
        [ck.Input((T, C)), layers.Masking(), layers.TimeDistributed(inner), layers.LSTM(2)]
    )
    model.compile("sgd", "mse")
    x, _ = padded()
    with pytest.raises(ValueError, match=r"'norm' .* cannot leave masked steps out"):
        model.fit(x, np.zeros((N, 2)), verbose=0)
    assert np.isfinite(model.evaluate(x, np.zeros((N, 2)), verbose=0))


def test_a_failed_connection_leaves_a_recurrent_layer_as_it_was() -> None:
    layer = layers.LSTM(2, stateful=True)
    with pytest.raises(ValueError, match="needs a fixed batch size"):
        layer(ck.Input((T, C)))
    assert layer(ck.Input((T, 7), batch_size=2)).shape == (None, 2)


def test_a_lambda_without_gradient_within_a_wrapper_is_refused_by_compile() -> None:
    inner = layers.Lambda(lambda a: 2 * a)
    model = ck.Sequential(
        [ck.Input((T, C)), layers.Dense(2), layers.TimeDistributed(inner), layers.Dense(2)]
    )
    with pytest.raises(ValueError, match="has no gradient"):
        model.compile("sgd", "mse")
