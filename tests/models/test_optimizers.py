"""Optimizers and schedules against their formulas in NumPy."""

import re

import numpy as np
import pytest

import convkit as ck
from convkit import optimizers, schedules
from models.conftest import blobs, two_layers

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


def _adadelta(t, w, g, s):
    s["a"] = 0.95 * s.get("a", 0) + 0.05 * g * g
    step = np.sqrt((s.get("d", 0) + 1e-7) / (s["a"] + 1e-7)) * g
    s["d"] = 0.95 * s.get("d", 0) + 0.05 * step * step
    return w - step


def _rmsprop(t, w, g, s):
    s["a"] = 0.9 * s.get("a", 0) + 0.1 * g * g
    s["mean"] = 0.9 * s.get("mean", 0) + 0.1 * g
    step = 0.01 * g / np.sqrt(s["a"] - s["mean"] ** 2 + 1e-3)
    s["v"] = 0.5 * s.get("v", 0) + step
    return w - s["v"]


def _adagrad(t, w, g, s):
    s["a"] = s.get("a", 0.1) + g * g
    return w - 0.1 * g / np.sqrt(s["a"] + 1e-7)


def _amsgrad(t, w, g, s):
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.5 * s.get("v", 0) + 0.5 * g * g
    s["largest"] = np.maximum(s.get("largest", 0), s["v"])
    rate = 0.1 * np.sqrt(1 - 0.5 ** (t + 1)) / (1 - 0.9 ** (t + 1))
    return w - rate * s["m"] / (np.sqrt(s["largest"]) + 1e-7)


def _adamax(t, w, g, s):
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["u"] = np.maximum(0.999 * s.get("u", 0), np.abs(g))
    return w - 0.1 / (1 - 0.9 ** (t + 1)) * s["m"] / (s["u"] + 1e-7)


def _nadam(t, w, g, s):
    mu = [0.9 * (1 - 0.5 * 0.96**i) for i in range(1, t + 3)]
    s["m"] = 0.9 * s.get("m", 0) + 0.1 * g
    s["v"] = 0.999 * s.get("v", 0) + 0.001 * g * g
    ahead = mu[-1] * s["m"] / (1 - np.prod(mu)) + (1 - mu[-2]) * g / (1 - np.prod(mu[:-1]))
    return w - 0.1 * ahead / (np.sqrt(s["v"] / (1 - 0.999 ** (t + 1))) + 1e-7)


def _lion(t, w, g, s):
    m = s.get("m", np.zeros_like(g))
    s["m"] = 0.99 * m + 0.01 * g
    return w - 0.01 * np.sign(0.9 * m + 0.1 * g)


@pytest.mark.parametrize(
    ("optimizer", "rule"),
    [
        (optimizers.Adadelta(1.0), _adadelta),
        (optimizers.RMSprop(0.01, momentum=0.5, centered=True, epsilon=1e-3), _rmsprop),
        (optimizers.Adagrad(0.1), _adagrad),
        (optimizers.Adam(0.1, beta_2=0.5, amsgrad=True), _amsgrad),
        (optimizers.Adamax(0.1), _adamax),
        (optimizers.Nadam(0.1), _nadam),
        (optimizers.Lion(0.01), _lion),
        (optimizers.SGD(0.05, maximize=True), lambda t, w, g, s: w + 0.05 * g),
        (optimizers.SGD(0.05, clipvalue=2.0), lambda t, w, g, s: w - 0.05 * np.clip(g, -2, 2)),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_the_other_rules(optimizer, rule):
    check(optimizer, rule, steps=8)


def test_adamw_is_adam_with_decay():
    assert optimizers.AdamW().weight_decay == 0.004
    for a, b in zip(
        train(optimizers.AdamW(0.1, 0.2), 5)[0],
        train(optimizers.Adam(0.1, weight_decay=0.2), 5)[0],
        strict=True,
    ):
        assert np.array_equal(a, b)


def test_the_default_is_keras_s():
    model, _, _ = two_layers("sgd")
    model.compile(loss="mse")
    assert isinstance(model.optimizer, optimizers.RMSprop)
    assert model.optimizer.learning_rate == 0.001 and model.optimizer.rho == 0.9


BROKEN = [float("nan"), float("inf"), -0.1, 1e39]


class Breaks(schedules.LearningRateSchedule):
    """0.1 up to a step, and then no rate at all."""

    vectorised = True

    def __init__(self, at, rate):
        self.at, self.rate = at, rate

    def __call__(self, step):
        return np.where(np.asarray(step) < self.at, 0.1, self.rate)


@pytest.mark.parametrize("rate", BROKEN)
@pytest.mark.parametrize("function", [False, True])
def test_a_rate_that_cannot_be_used_is_refused_at_its_step(rate, function):
    schedule = Breaks(5, rate)

    def breaks(step):
        return 0.1 if step < 5 else rate

    model, x, t = two_layers(optimizers.SGD(breaks if function else schedule))
    good, _, _ = two_layers(optimizers.SGD(0.1))
    for _ in range(5):
        good.train_on_batch(x, t)
    with pytest.raises(ValueError, match=rf"{'breaks' if function else 'Breaks'} at step 5 is"):
        model.fit(x, t, batch_size=len(x), epochs=9, shuffle=False, verbose=0)
    assert model.optimizer.iterations == 5
    for a, b in zip(model.get_weights(), good.get_weights(), strict=True):
        assert np.array_equal(a, b)
    model.optimizer.learning_rate = 0.1
    model.fit(x, t, verbose=0)


@pytest.mark.parametrize("rate", [None, "0.1", [0.1, 0.2]])
def test_a_rate_that_is_no_number_is_refused_at_its_step(rate):
    def table(step):
        return [0.1, 0.1, 0.1, rate][step]

    model, x, t = two_layers(optimizers.SGD(table))
    text = re.escape(f"table: the learning rate of step 3 must be a number, not {rate!r}")
    with pytest.raises(TypeError, match=text):
        model.fit(x, t, batch_size=len(x), epochs=5, shuffle=False, verbose=0)
    assert model.optimizer.iterations == 3


def test_a_schedule_that_raises_does_so_at_its_step():
    def table(step):
        return [0.1, 0.1, 0.1][step]

    model, x, t = two_layers(optimizers.SGD(table))
    with pytest.raises(IndexError):
        model.fit(x, t, batch_size=len(x), epochs=5, shuffle=False, verbose=0)
    assert model.optimizer.iterations == 3


@pytest.mark.parametrize(
    "kind",
    ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "Nadam", "RMSprop"],
)
def test_every_optimizer_learns_and_is_a_name(kind):
    model, x, t = two_layers(kind.lower())
    assert type(model.optimizer) is getattr(optimizers, kind)
    model.optimizer.learning_rate = {"SGD": 0.1, "Adadelta": 1.0, "Adagrad": 0.1}.get(kind, 0.01)
    before = model.evaluate(x, t, verbose=0)
    model.fit(x, t, epochs=20, verbose=0)
    assert model.evaluate(x, t, verbose=0) < 0.7 * before


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
        (lambda: optimizers.get("adamx"), ValueError, "did you mean 'adam"),
        (lambda: optimizers.get("muon"), ValueError, "known: adadelta, .*, rmsprop, sgd"),
        (lambda: optimizers.SGD(clipnorm=1, clipvalue=2), ValueError, "clipnorm and clipvalue"),
        (lambda: optimizers.SGD(clipnorm=-1.0), ValueError, "clipnorm is -1.0, .* above 0"),
        (lambda: optimizers.Lion(clipvalue="x"), TypeError, "clipvalue must be a number"),
        (lambda: optimizers.SGD(maximize=1), TypeError, "maximize must be True or False"),
        (
            lambda: optimizers.Adam(gradient_accumulation_steps=4),
            TypeError,
            "gradient_accumulation_steps=4 is not supported: a batch_size so many times as large",
        ),
        (lambda: optimizers.Adam(loss_scale_factor=2.0), TypeError, "float32, which needs no"),
        (lambda: optimizers.Adam(0.1, rho=0.5), TypeError, "unexpected argument 'rho'"),
        (lambda: optimizers.RMSprop(rho=1.0), ValueError, "RMSprop: rho is 1.0"),
        (lambda: optimizers.RMSprop(momentum=-0.1), ValueError, "RMSprop: momentum is -0.1"),
        (lambda: optimizers.RMSprop(centered=1), TypeError, "centered must be a bool"),
        (lambda: optimizers.Adadelta(rho=float("nan")), ValueError, "rho is nan"),
        (lambda: optimizers.Adagrad(epsilon=0), ValueError, "epsilon is 0, .* divided by 0"),
        (
            lambda: optimizers.Adagrad(initial_accumulator_value=-1),
            ValueError,
            "initial_accumulator_value is -1",
        ),
        (lambda: optimizers.Nadam(beta_2=1), ValueError, "Nadam: beta_2 is 1"),
        (lambda: optimizers.Lion(beta_1=True), TypeError, "beta_1 must be a number"),
        (lambda: optimizers.AdamW(weight_decay=None), ValueError, "else use Adam"),
        (lambda: optimizers.AdamW(weight_decay=-1), ValueError, "AdamW: weight_decay is -1"),
        (
            lambda: optimizers.SGD(exclude_from_weight_decay=["("]),
            ValueError,
            "'\\(' is no regular expression",
        ),
        (
            lambda: optimizers.SGD().exclude_from_weight_decay(var_names="bias"),
            TypeError,
            r"\['bias'\]",
        ),
        (lambda: optimizers.Adam(global_clipnorm=0), ValueError, "expected a number above 0"),
        (lambda: optimizers.Adam(use_ema=True), TypeError, "use_ema=True is not supported"),
        (lambda: optimizers.Adam(amsgrad=1), TypeError, "amsgrad must be a bool"),
        (lambda: optimizers.Adam(beta1=0.5), TypeError, "beta_1"),
        (lambda: optimizers.SGD(-1.0), ValueError, "learning_rate"),
        (lambda: optimizers.SGD("fast"), TypeError, "number"),
        (lambda: optimizers.SGD(1e39), ValueError, "1e\\+39, expected at most 3.4e\\+38"),
        (lambda: optimizers.SGD(schedules.Inv), TypeError, r"make an object of it, Inv\(...\)"),
        (lambda: optimizers.SGD(decay=1e-6), TypeError, "such as InverseTimeDecay"),
        (lambda: optimizers.SGD(momentum=1.5), ValueError, "momentum"),
        (lambda: optimizers.Adam(beta_1=1.0), ValueError, "beta_1"),
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
