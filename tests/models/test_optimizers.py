"""Optimizers and schedules against their formulas in NumPy."""

import numpy as np
import pytest

import convkit as ck
from convkit import optimizers, schedules
from models.conftest import blobs

X = np.array([[1.0, -2.0, 0.5]], np.float32)
Y = np.array([[3.0]], np.float32)


def train(optimizer, steps):
    """Weights of a linear neuron after each step, with the gradients it had."""
    model = ck.Sequential([ck.Input((3,)), ck.layers.Dense(1, use_bias=False)])
    model.compile(optimizer, "mse")
    weights, gradients = [model.get_weights()[0].astype(float)], []
    for _ in range(steps):
        w = weights[-1]
        gradients.append(2 * (X @ w - Y) * X.T)
        model.train_on_batch(X, Y)
        weights.append(model.get_weights()[0].astype(float))
    return weights, gradients


def check(optimizer, rule, steps=6):
    weights, gradients = train(optimizer, steps)
    state = {}
    for t, g in enumerate(gradients):
        want = rule(t, weights[t], g, state)
        np.testing.assert_allclose(weights[t + 1], want, rtol=2e-5, atol=1e-6)


def test_sgd():
    check(optimizers.SGD(0.05), lambda t, w, g, s: w - 0.05 * g)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum(nesterov):
    def rule(t, w, g, s):
        s["v"] = 0.9 * s.get("v", 0) - 0.01 * g
        return w + (0.9 * s["v"] - 0.01 * g if nesterov else s["v"])

    check(optimizers.SGD(0.01, momentum=0.9, nesterov=nesterov), rule)


def test_weight_decay_both_ways():
    check(
        optimizers.SGD(0.05, weight_decay=0.1),
        lambda t, w, g, s: w - 0.05 * 0.1 * w - 0.05 * g,
    )
    check(
        optimizers.SGD(0.05, weight_decay=0.1, decoupled=False),
        lambda t, w, g, s: w - 0.05 * (g + 0.1 * w),
    )


@pytest.mark.parametrize("decay", [None, 0.01])
def test_adam(decay):
    def rule(t, w, g, s):
        s["m"] = 0.8 * s.get("m", 0) + 0.2 * g
        s["v"] = 0.9 * s.get("v", 0) + 0.1 * g * g
        rate = 0.02 * np.sqrt(1 - 0.9 ** (t + 1)) / (1 - 0.8 ** (t + 1))
        return w - 0.02 * (decay or 0) * w - rate * s["m"] / (np.sqrt(s["v"]) + 1e-7)

    check(optimizers.Adam(0.02, 0.8, 0.9, weight_decay=decay), rule)


def test_schedule_in_training():
    schedule = schedules.InverseTimeDecay(0.1, 1, 0.5)
    check(optimizers.SGD(schedule), lambda t, w, g, s: w - 0.1 / (1 + 0.5 * t) * g)
    check(optimizers.SGD(lambda step: 0.1 / (step + 1)), lambda t, w, g, s: w - 0.1 / (t + 1) * g)


def test_learning_rate_can_be_set_between_steps():
    model = ck.Sequential([ck.Input((3,)), ck.layers.Dense(1, use_bias=False)])
    model.compile(ck.optimizers.SGD(0.1), "mse")
    model.train_on_batch(X, Y)
    before = model.get_weights()[0]
    model.optimizer.learning_rate = 0.0
    model.train_on_batch(X, Y)
    assert np.array_equal(before, model.get_weights()[0])
    assert model.optimizer.iterations == 2


def test_momentum_can_be_set_after_training_began():
    model = ck.Sequential([ck.Input((3,)), ck.layers.Dense(1, use_bias=False)])
    model.compile(optimizers.SGD(0.01), "mse")
    assert model.optimizer.slots == 0
    model.train_on_batch(X, Y)
    w = model.get_weights()[0].astype(float)
    model.optimizer.momentum = 0.9
    assert model.optimizer.slots == 1
    v = 0.0
    for _ in range(3):
        v = 0.9 * v - 0.01 * 2 * (X @ w - Y) * X.T
        w = w + v
        model.train_on_batch(X, Y)
    np.testing.assert_allclose(model.get_weights()[0], w, rtol=2e-5)
    assert model.optimizer.iterations == 4
    model.optimizer.momentum = 0
    model.train_on_batch(X, Y)
    with pytest.raises(ValueError, match="momentum is 2"):
        model.optimizer.momentum = 2


@pytest.mark.parametrize("momenta", [(0.0, 0.9), (0.9, 0.0)])
def test_momentum_can_be_set_by_a_batch_hook(momenta):
    model = ck.Sequential([ck.Input((3,)), ck.layers.Dense(1, use_bias=False)])
    model.compile(optimizers.SGD(0.01, momentum=momenta[0]), "mse")

    def change(batch, logs=None):
        model.optimizer.momentum = momenta[1]

    hook = ck.callbacks.LambdaCallback(on_train_batch_begin=change)
    model.fit(X.repeat(5, 0), Y.repeat(5, 0), 2, epochs=3, callbacks=[hook], verbose=0)
    assert model.optimizer.iterations == 9


@pytest.mark.parametrize(
    ("name", "near"), [("lr", "learning_rate"), ("momentun", "momentum"), ("foo", "known")]
)
def test_unknown_attributes_are_refused(name, near):
    with pytest.raises(AttributeError, match=near):
        setattr(optimizers.SGD(), name, 0)


def test_subclasses_may_have_attributes_of_their_own():
    class Mine(optimizers.SGD):
        def __init__(self):
            super().__init__(0.1)
            self.foo = 1

    mine = Mine()
    mine.bar = 2
    with pytest.raises(AttributeError, match="learning_rate"):
        mine.lr = 1


SCHEDULES = [
    (schedules.ExponentialDecay(0.1, 10, 0.5), lambda t: 0.1 * 0.5 ** (t / 10)),
    (schedules.ExponentialDecay(0.1, 10, 0.5, staircase=True), lambda t: 0.1 * 0.5 ** (t // 10)),
    (schedules.InverseTimeDecay(0.1, 10, 0.5), lambda t: 0.1 / (1 + 0.5 * t / 10)),
    (schedules.Inv(0.01, 1e-4, 0.75), lambda t: 0.01 * (1 + 1e-4 * t) ** -0.75),
]


@pytest.mark.parametrize(("schedule", "formula"), SCHEDULES)
def test_schedules(schedule, formula):
    want = [formula(t) for t in range(5, 40)]
    np.testing.assert_allclose(schedule.rates(5, 35), want, rtol=1e-12)
    assert float(schedule(17)) == pytest.approx(formula(17))
    assert schedule.rates(0, 0).shape == (0,)


def test_a_schedule_of_ones_own():
    class Step(schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.1 if step < 3 else 0.01

    rates = optimizers.SGD(Step()).rates(1, 4)
    assert rates.dtype == np.float64 and list(rates) == [0.1, 0.1, 0.01, 0.01]
    with pytest.raises(NotImplementedError, match="__call__"):
        schedules.LearningRateSchedule().rates(0, 1)


def test_names():
    assert isinstance(optimizers.get("adam"), optimizers.Adam)
    assert isinstance(optimizers.get("Adam"), optimizers.Adam)
    assert isinstance(optimizers.get(optimizers.SGD), optimizers.SGD)
    sgd = optimizers.SGD(0.3)
    assert optimizers.get(sgd) is sgd


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: optimizers.get("adamm"), ValueError, "did you mean 'adam'"),
        (lambda: optimizers.get(0.1), TypeError, "float"),
        (lambda: optimizers.SGD(lr=0.1), TypeError, "learning_rate"),
        (lambda: optimizers.SGD(clipnorm=1.0), TypeError, "clipnorm=1.0 is not supported"),
        (lambda: optimizers.Adam(global_clipnorm=0), ValueError, "expected a number above 0"),
        (lambda: optimizers.Adam(use_ema=True), TypeError, "use_ema=True is not supported"),
        (lambda: optimizers.Adam(amsgrad=True), TypeError, "amsgrad=True is not supported"),
        (lambda: optimizers.Adam(beta1=0.5), TypeError, "beta_1"),
        (lambda: optimizers.SGD(-1.0), ValueError, "learning_rate"),
        (lambda: optimizers.SGD("fast"), TypeError, "number"),
        (lambda: optimizers.SGD(momentum=1.5), ValueError, "momentum"),
        (lambda: optimizers.Adam(beta_1=1.0), ValueError, "beta_1"),
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), ValueError, "decay_steps"),
    ],
)
def test_refusals(make, kind, text):
    with pytest.raises(kind, match=text):
        make()


def test_keras_defaults_are_harmless():
    optimizers.Adam(clipnorm=None, use_ema=False, amsgrad=False, ema_momentum=0.99)


@pytest.mark.parametrize("frozen", [False, True])
def test_the_gradient_is_clipped_by_its_norm_over_all_weights(frozen):
    """A clipped step has the gradient's direction and the length rate times clip."""
    x, y = blobs()
    moves = []
    for clip in (None, 0.05):
        ck.set_seed(3)
        model = ck.Sequential(
            [ck.Input((4,)), *(ck.layers.Dense(n, "tanh", name=f"d{n}") for n in (8, 7, 3))]
        )
        model.layers[1].trainable = not frozen  # its neighbours are two stretches then
        model.compile(optimizers.SGD(0.5, global_clipnorm=clip), "mse")
        before = np.concatenate([w.ravel() for w in model.get_weights()])
        model.fit(x, np.eye(3)[y], batch_size=len(x), verbose=0)
        after = np.concatenate([w.ravel() for w in model.get_weights()])
        moves.append((after - before).astype(np.float64))
    free, clipped = moves
    assert np.linalg.norm(free) > 0.5 * 0.05
    np.testing.assert_allclose(np.linalg.norm(clipped), 0.5 * 0.05, rtol=1e-4)
    np.testing.assert_allclose(clipped, free * (0.025 / np.linalg.norm(free)), atol=1e-6)
