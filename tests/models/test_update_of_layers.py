"""Which weights a step moves and how far: clipping, multipliers, decay, and the state kept."""

import numpy as np
import pytest

import convkit as ck
from convkit import optimizers
from models.conftest import two_layers


def moved(optimizer, change=lambda model: None, **options):
    """How far each weight array goes in one step."""
    model, x, t = two_layers(optimizer, **options)
    change(model)
    before = model.get_weights()
    model.train_on_batch(x, t)
    return [(b - a).astype(float) for a, b in zip(before, model.get_weights(), strict=True)]


def test_clipnorm_clips_each_array_by_its_own_norm():
    free = moved(optimizers.SGD(1.0))
    norms = [np.linalg.norm(m) for m in free]
    most = sorted(norms)[1] * 1.01  # two arrays are below
    assert sum(n > most for n in norms) == 2
    for step, norm, clipped in zip(
        free, norms, moved(optimizers.SGD(1.0, clipnorm=most)), strict=True
    ):
        np.testing.assert_allclose(clipped, step * min(1, most / norm), rtol=1e-5, atol=1e-7)


def test_multipliers_of_layers_and_parameters():
    free = moved(optimizers.SGD(0.5))

    def change(model):
        model.get_layer("second").lr_multiplier = 3
        model.get_layer("second").bias.lr_multiplier = 2
        model.get_layer("first").bias.lr_multiplier = 0

    steps = moved(optimizers.SGD(0.5), change, lr_multiplier=0.1)
    for step, one, factor in zip(steps, free, (0.1, 0, 3, 6), strict=True):
        np.testing.assert_allclose(step, factor * one, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("executor", ["eager", "reference"])
def test_multipliers_are_the_same_in_every_executor(executor):
    def change(model):
        model.get_layer("second").lr_multiplier = 3
        model.get_layer("first").bias.lr_multiplier = 0

    def optimizer():
        made = optimizers.Adagrad(0.1, clipnorm=0.1, weight_decay=0.1)
        made.exclude_from_weight_decay(var_names=["bias"])
        return made

    def other(model):
        change(model)
        model.executor = executor

    for a, b in zip(moved(optimizer(), change), moved(optimizer(), other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_multiplier_of_0_leaves_the_state_alone():
    model, x, t = two_layers(optimizers.SGD(0.1, momentum=0.9))
    model.train_on_batch(x, t)
    first = model.get_layer("first")
    weights, slots = first.get_weights(), model.store.slots.copy()
    first.lr_multiplier = 0
    model.train_on_batch(x, t)
    assert all(np.array_equal(a, b) for a, b in zip(weights, first.get_weights(), strict=True))
    size = first.bias.offset + first.bias.size
    assert np.array_equal(model.store.slots[:, :size], slots[:, :size])
    assert (model.store.slots[:, size:] != slots[:, size:]).any()
    first.lr_multiplier = 1.0
    model.train_on_batch(x, t)
    assert not np.array_equal(weights[0], first.get_weights()[0])


def test_wrappers_hand_multipliers_on():
    inner = ck.layers.Dense(3)
    layer = ck.layers.TimeDistributed(inner, lr_multiplier=0.5)
    layer(ck.Input((5, 4)))
    assert [p.multiplier for p in inner.parameters] == [0.5, 0.5]
    both = ck.layers.Bidirectional(ck.layers.LSTM(3))
    both(ck.Input((5, 4)))
    both.lr_multiplier = 2
    assert {p.multiplier for p in both.parameters} == {2.0}


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        (-1, ValueError, "layer 'dense.*lr_multiplier is -1, expected a number of at least 0"),
        (float("nan"), ValueError, "lr_multiplier is nan"),
        ("2", TypeError, "lr_multiplier must be a number, not '2'"),
    ],
)
def test_multipliers_that_are_refused(value, error, message):
    with pytest.raises(error, match=message):
        ck.layers.Dense(3, lr_multiplier=value)
    layer = ck.layers.Dense(3)
    layer(ck.Input((4,)))
    with pytest.raises(error, match=message):
        layer.lr_multiplier = value
    with pytest.raises(error, match=r"parameter 'dense.*\.bias'"):
        layer.bias.lr_multiplier = value


def test_what_is_left_out_of_the_weight_decay():
    def optimizer(**options):
        # epsilon leaves nothing of Adam's own step.
        return optimizers.AdamW(0.125, weight_decay=1.0, epsilon=1e30, **options)

    def step(optimizer, change=lambda model: None):
        model, x, t = two_layers(optimizer)
        model.set_weights([np.ones_like(w) for w in model.get_weights()])
        change(model)
        model.train_on_batch(x, t)
        return [float(w.ravel()[0]) for w in model.get_weights()]

    assert step(optimizer()) == [0.875] * 4
    assert step(optimizer(exclude_from_weight_decay=["bias"])) == [0.875, 1, 0.875, 1]
    by_path = optimizer()
    by_path.exclude_from_weight_decay(var_names=["second"])
    assert step(by_path) == [0.875, 0.875, 1, 1]
    by_object = optimizer()
    assert step(
        by_object,
        lambda model: by_object.exclude_from_weight_decay([model.get_layer("first").kernel]),
    ) == [1, 0.875, 0.875, 0.875]


def test_adagrad_begins_with_its_accumulator():
    model, x, t = two_layers(optimizers.Adagrad(0.0, initial_accumulator_value=0.25))
    model.optimizer.learning_rate = 0.0
    model.train_on_batch(x, t)
    state = model.store.slots[0]
    bias = model.get_layer("second").bias
    assert (state[bias.offset : bias.offset + bias.size] >= 0.25).all()
    assert (state[bias.offset + bias.size :] == 0).all()  # a gap


def test_rmsprop_keeps_its_averages_when_it_gets_a_momentum():
    model, x, t = two_layers(optimizers.RMSprop(0.01))
    assert model.optimizer.slots == 1
    model.train_on_batch(x, t)
    averages = model.store.slots[0].copy()
    assert averages.any()
    model.optimizer.momentum = 0.9
    assert model.optimizer.slots == 2
    assert np.array_equal(model.store.slots[0], averages) and not model.store.slots[1].any()
    model.train_on_batch(x, t)
    assert model.store.slots[1].any()
