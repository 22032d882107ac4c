"""Schedules against their formulas, and the range test."""

import copy
import math
import re

import numpy as np
import pytest

import convkit as ck
from convkit import optimizers, schedules
from convkit.errors import NotCompiledError


def cosine(done):
    return 0.5 * (1 + math.cos(math.pi * done))


def polynomial(t):
    return 0.09 * (1 - min(t, 20) / 20) ** 2 + 0.01


def cycles(t):
    steps = 7 * max(math.ceil(t / 7), 1)
    return 0.09 * (1 - t / steps) + 0.01


def warm(t):
    if t < 8:
        return 0.02 + (0.2 - 0.02) * t / 8
    return 0.2 * (0.9 * cosine(min(t - 8, 10) / 10) + 0.1)


def restarts(t, length=5, mul=2.0, gain=0.5):
    rate = 0.1
    while t >= length:
        t, length, rate = t - length, length * mul, rate * gain
    return rate * cosine(t / length)


def one_cycle(t, shape, total=30, top=0.5):
    first, peak = top / 25, 0.3 * total - 1
    if t <= peak:
        return top + (first - top) * shape(t / peak)
    last = first / 1e4
    return last + (top - last) * shape(min((t - peak) / (total - 1 - peak), 1))


SCHEDULES = [
    (schedules.ExponentialDecay(0.1, 10, 0.5), lambda t: 0.1 * 0.5 ** (t / 10)),
    (schedules.ExponentialDecay(0.1, 10, 0.5, staircase=True), lambda t: 0.1 * 0.5 ** (t // 10)),
    (schedules.InverseTimeDecay(0.1, 10, 0.5), lambda t: 0.1 / (1 + 0.5 * t / 10)),
    (schedules.Inv(0.01, 1e-4, 0.75), lambda t: 0.01 * (1 + 1e-4 * t) ** -0.75),
    (schedules.StepDecay(0.1, 7, 0.3), lambda t: 0.1 * 0.3 ** (t // 7)),
    (
        schedules.PiecewiseConstantDecay([6, 9, 20], [0.4, 0.3, 0.2, 0.1]),
        lambda t: 0.4 if t <= 6 else 0.3 if t <= 9 else 0.2 if t <= 20 else 0.1,
    ),
    (schedules.PolynomialDecay(0.1, 20, 0.01, power=2.0), polynomial),
    (schedules.PolynomialDecay(0.1, 7, 0.01, cycle=True), cycles),
    (schedules.CosineDecay(0.1, 20), lambda t: 0.1 * cosine(min(t, 20) / 20)),
    (schedules.CosineDecay(0.02, 10, 0.1, warmup_target=0.2, warmup_steps=8), warm),
    (schedules.CosineDecay(0.02, 10, warmup_target=0.2), lambda t: 0.2 * cosine(min(t, 10) / 10)),
    (schedules.CosineDecayRestarts(0.1, 5, m_mul=0.5), restarts),
    (
        schedules.CosineDecayRestarts(0.1, 5, t_mul=1.0, alpha=0.2),
        lambda t: 0.8 * restarts(t, mul=1.0, gain=1.0) + 0.2 * 0.1,
    ),
    (schedules.OneCycle(0.5, 30), lambda t: one_cycle(t, cosine)),
    (schedules.OneCycle(0.5, 30, anneal="linear"), lambda t: one_cycle(t, lambda done: 1 - done)),
    (schedules.Warmup(0.3, 12, start=0.1), lambda t: 0.1 + 0.2 * min(t, 12) / 12),
    (
        schedules.Warmup(schedules.ExponentialDecay(0.3, 10, 0.5), 12),
        lambda t: 0.3 * t / 12 if t < 12 else 0.3 * 0.5 ** ((t - 12) / 10),
    ),
    (
        schedules.Warmup(lambda step: [0.3, 0.2][min(step, 1)], 12),
        lambda t: 0.3 * min(t, 12) / 12 if t <= 12 else 0.2,
    ),
]


@pytest.mark.parametrize(
    ("schedule", "formula"), SCHEDULES, ids=[type(s).__name__ for s, _ in SCHEDULES]
)
def test_schedules(schedule, formula):
    want = [formula(t) for t in range(70)]
    np.testing.assert_allclose(schedule.rates(0, 70), want, rtol=1e-12, atol=1e-16)
    np.testing.assert_array_equal(schedule.rates(5, 35), schedule.rates(0, 70)[5:40])
    assert float(schedule(17)) == pytest.approx(formula(17), rel=1e-12)
    assert schedule.rates(0, 0).shape == (0,)


def test_restarts_are_where_they_belong():
    """The logarithm that finds them is rounded; the rate must be the highest at each."""
    for t_mul in (1.5, 2.0, 3.0, 10.0):
        schedule = schedules.CosineDecayRestarts(0.1, 10, t_mul=t_mul)
        begin, length = 0.0, 10.0
        for _ in range(12):
            assert float(schedule(begin)) == pytest.approx(0.1, rel=1e-9)
            begin, length = begin + length, length * t_mul
            before = float(schedule(begin - 1e-3 * length))
            assert before < 1e-4


def test_a_schedule_of_ones_own():
    class Step(schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.1 if step < 3 else 0.01

    rates = optimizers.SGD(Step()).rates(1, 4)
    assert rates.dtype == np.float64 and list(rates) == [0.1, 0.1, 0.01, 0.01]
    with pytest.raises(NotImplementedError, match="__call__"):
        schedules.LearningRateSchedule().rates(0, 1)


def test_a_schedule_is_shown_with_its_numbers():
    shown = repr(optimizers.SGD(schedules.StepDecay(0.1, 30)))
    assert "StepDecay(initial_learning_rate=0.1, step_size=30, drop=0.5" in shown


def test_training_goes_on_with_the_schedule_after_a_copy():
    """The rate follows from the step alone."""
    x, y = np.ones((8, 2), np.float32), np.zeros(8, np.float32)
    ck.set_seed(0)
    model = ck.Sequential([ck.Input((2,)), ck.layers.Dense(1)])
    model.compile(optimizers.SGD(schedules.CosineDecayRestarts(0.1, 3)), "mse")
    model.fit(x, y, batch_size=2, epochs=2, shuffle=False, verbose=0)
    twin = copy.deepcopy(model)
    assert twin.optimizer.iterations == 8
    assert twin.optimizer.rates(8, 1)[0] == float(schedules.CosineDecayRestarts(0.1, 3)(8))


def test_a_rate_set_by_a_callback_takes_the_place_of_a_schedule():
    x, y = np.ones((8, 2), np.float32), np.zeros(8, np.float32)
    model = ck.Sequential([ck.Input((2,)), ck.layers.Dense(1)])
    model.compile(optimizers.SGD(schedules.StepDecay(0.1, 1)), "mse")
    seen = []

    def change(epoch, logs=None):
        seen.append(model.optimizer.rates(model.optimizer.iterations, 1)[0])
        model.optimizer.learning_rate = schedules.OneCycle(0.5, 10) if epoch == 0 else 0.25

    hook = ck.callbacks.LambdaCallback(on_epoch_end=change)
    model.fit(x, y, epochs=3, callbacks=[hook], verbose=0)
    assert seen == [0.05, float(schedules.OneCycle(0.5, 10)(2)), 0.25]


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: schedules.ExponentialDecay(0.1, 0, 0.5), ValueError, "decay_steps is 0, .* above"),
        (lambda: schedules.ExponentialDecay(-1, 1, 0.5), ValueError, "initial_learning_rate is -1"),
        (lambda: schedules.ExponentialDecay("a", 1, 1), TypeError, "must be a number, not 'a'"),
        (lambda: schedules.InverseTimeDecay(0.1, 1, float("nan")), ValueError, "decay_rate is nan"),
        (lambda: schedules.Inv(power=-1), ValueError, "Inv: power is -1"),
        (lambda: schedules.StepDecay(0.1, 0), ValueError, "step_size is 0"),
        (
            lambda: schedules.PiecewiseConstantDecay([1, 2], [0.1]),
            ValueError,
            "2 boundaries need 3 values, got 1",
        ),
        (lambda: schedules.PiecewiseConstantDecay([2, 2], [1, 1, 1]), ValueError, "ascending"),
        (lambda: schedules.PolynomialDecay(0.1, 5, -0.1), ValueError, "end_learning_rate is -0.1"),
        (lambda: schedules.CosineDecay(0.1, 5, warmup_steps=3), ValueError, "needs a warmup_targ"),
        (lambda: schedules.CosineDecayRestarts(0.1, 5, t_mul=0.5), ValueError, "t_mul is 0.5"),
        (lambda: schedules.OneCycle(0.1, 5, pct_start=1.5), ValueError, "least 0 and at most 1"),
        (lambda: schedules.OneCycle(0.1, 5, anneal="cosine"), ValueError, "did you mean 'cos'"),
        (lambda: schedules.Warmup("x", 5), TypeError, "schedule must be a number"),
        (lambda: schedules.Warmup(0.1, 0), ValueError, "warmup_steps is 0"),
    ],
)
def test_refusals(make, kind, text):
    with pytest.raises(kind, match=text):
        make()


def digits_model(optimizer="adam", **options):
    ck.set_seed(1)
    (x, y), (xt, yt) = ck.datasets.digits.load_data()
    model = ck.Sequential(
        [
            ck.Input((8, 8)),
            ck.layers.Rescaling(1 / 255),
            ck.layers.Flatten(),
            ck.layers.Dense(32, "relu"),
            ck.layers.BatchNormalization(),
            ck.layers.Dropout(0.1),
            ck.layers.Dense(10, "softmax"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model, (x, y), (xt, yt)


def test_a_range_test_changes_nothing():
    ends = []
    for tested in (False, True):
        model, (x, y), _ = digits_model(optimizers.Adam(schedules.CosineDecay(0.01, 200)))
        model.fit(x, y, epochs=1, verbose=0)
        before = [w.tobytes() for w in model.get_weights()], model.store.slots.tobytes()
        if tested:
            found = schedules.range_test(model, x, y, steps=30)
            assert len(found.rates) <= 30
            assert [w.tobytes() for w in model.get_weights()] == before[0]
            assert model.store.slots.tobytes() == before[1]
            assert model.optimizer.iterations == math.ceil(len(x) / 32)
            assert isinstance(model.optimizer.learning_rate, schedules.CosineDecay)
        model.fit(x, y, epochs=1, verbose=0)
        ends.append([w.tobytes() for w in model.get_weights()])
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    ("optimizer", "low", "high"), [("sgd", 0.01, 1.0), ("adam", 1e-3, 0.1), ("rmsprop", 5e-4, 0.1)]
)
def test_the_suggestion_is_one_to_train_with(optimizer, low, high):
    model, (x, y), (xt, yt) = digits_model(optimizer)
    found = schedules.range_test(model, x, y)
    assert low <= found.suggestion <= high
    assert found.suggestion <= found.minimum / 10 and found.suggestion <= found.steepest
    np.testing.assert_allclose(found.rates[:2], [1e-6, 1e-6 * 1e7 ** (1 / 99)])
    assert found.smoothed[0] == pytest.approx(found.losses[0])
    model.optimizer.learning_rate = found.suggestion
    model.fit(x, y, epochs=5, verbose=0)
    assert model.evaluate(xt, yt, verbose=0)[1] > 0.9


def test_a_range_test_ends_where_the_loss_diverges():
    x = np.random.default_rng(0).standard_normal((64, 3)).astype(np.float32)
    model = ck.Sequential([ck.Input((3,)), ck.layers.Dense(1)])
    model.compile("sgd", "mse")
    found = schedules.range_test(model, x, x @ [[1.0], [2.0], [3.0]], high=1e6)
    assert found.diverged and len(found.losses) == len(found.smoothed) == len(found.rates) < 100
    assert np.isfinite(found.losses).all() and found.suggestion < 1
    assert re.fullmatch(r"<RangeTest of \d+ rates, 1e-06 to .*: suggestion .*>", repr(found))


def test_a_range_test_of_several_inputs():
    a, b = ck.Input((3,), name="a"), ck.Input((2,), name="b")
    model = ck.Model([a, b], ck.layers.Dense(1)(ck.layers.Concatenate()([a, b])))
    model.compile("sgd", "mse")
    x, z = np.ones((10, 3), np.float32), np.ones((10, 2), np.float32)
    one = schedules.range_test(model, [x, z], np.zeros(10), steps=5, high=1e-3)
    two = schedules.range_test(model, {"a": x, "b": z}, np.zeros(10), steps=5, high=1e-3)
    assert list(one.losses) == list(two.losses) and len(one.losses) == 5


def test_a_range_test_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    rates = np.geomspace(1e-3, 1, 4)
    found = schedules.RangeTest(rates, np.array([3.0, 2, 1, 5]), np.array([3, 1.5, 1.4, 3]), False)
    assert found.minimum == pytest.approx(0.1) and found.steepest == pytest.approx(0.001)
    assert found.suggestion == found.steepest
    figure = found.plot(tmp_path / "test.png")
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    np.testing.assert_array_equal(lines["batches"].get_ydata(), found.losses)
    np.testing.assert_array_equal(lines["smoothed"].get_ydata(), found.smoothed)
    np.testing.assert_allclose(lines["suggestion 0.001"].get_xdata(), 0.001)
    assert (tmp_path / "test.png").read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"low": 0}, ValueError, "low is 0, expected a number above 0"),
        ({"high": 1e-7}, ValueError, "high is 1e-07, expected a number above 1e-06"),
        ({"steps": 1}, ValueError, "steps is 1"),
        ({"smoothing": 1}, ValueError, "smoothing is 1"),
        ({"divergence": 1}, ValueError, "divergence is 1"),
        ({"y": np.zeros(3)}, ValueError, r"one length above 0, got \[3, 8\]"),
        ({"x": iter([])}, TypeError, "x must be arrays, not list_iterator"),
        ({"x": np.full((8, 2), np.nan, "f4")}, ValueError, "not finite in the first step"),
    ],
)
def test_range_tests_that_are_refused(change, error, message):
    model = ck.Sequential([ck.Input((2,)), ck.layers.Dense(1)])
    model.compile("sgd", "mse")
    options = {"x": np.ones((8, 2), np.float32), "y": np.zeros(8), **change}
    with pytest.raises(error, match=message):
        schedules.range_test(model, **options)


@pytest.mark.parametrize("method", ["lbfgs", "levenberg_marquardt"])
def test_a_range_test_needs_an_optimizer_with_rates(method):
    model = ck.Sequential([ck.Input((2,)), ck.layers.Dense(1)])
    model.compile(method, "mse")
    with pytest.raises(TypeError, match=r"\[range_test\] \w+ needs no rate"):
        schedules.range_test(model, np.ones((8, 2), np.float32), np.zeros(8))


def test_a_range_test_needs_a_compiled_model():
    with pytest.raises(NotCompiledError, match=r"\[range_test\] call compile"):
        schedules.range_test(ck.Sequential([ck.Input((2,)), ck.layers.Dense(1)]), [[1, 2]], [1])
