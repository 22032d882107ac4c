"""check_gradients: right ones pass, wrong ones never do, and kinks are skipped openly."""

from dataclasses import replace

import numpy as np
import pytest

import convkit as ck
from convkit.ops import registry
from convkit.run import make_executor
from convkit.testing import check_gradients
from convkit.testing.probe import probe
from program.graphs import randomise
from testing.planted import batch, planted, small


def size(model):
    return sum(int(np.prod(p.shape)) for p in model.store.members if p.trainable)


@pytest.mark.parametrize("executor", ["native", "eager", "reference"])
def test_right_gradients_pass(executor):
    model, (x, y) = small(), batch(2)
    before = model.get_weights()
    report = check_gradients(model, x, y, executor=executor)
    assert report.passed, str(report)
    assert (report.entries, report.skipped) == (size(model), 0)
    assert 0 < report.worst < report.tolerance == 1e-6
    assert str(report).startswith(f"pass: {size(model)} gradient entries")
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_max_entries_counts_per_parameter():
    model, (x, y) = small(), batch(2)
    report = check_gradients(model, x, y, max_entries=4)
    assert report.passed
    sizes = [int(np.prod(p.shape)) for p in model.store.members]
    assert report.entries == sum(min(n, 4) for n in sizes)


@pytest.mark.parametrize("share", [1e-5, 1e-3, 0.5])
def test_one_wrong_entry_is_named(share):
    def spoil(results, inputs):
        if results[0].shape == (5, 3):
            results[0][2, 1] += 0.1 * share

    model, (x, y) = small(), batch(2)
    with planted("dense", "backward_weight", spoil):
        report = check_gradients(model, x, y)
    assert not report.passed
    assert (report.parameter, report.position) == ("out.kernel", (2, 1))
    assert report.gradient - report.difference == pytest.approx(0.1 * share, rel=1e-2)
    assert str(report).startswith("FAIL")
    assert "out.kernel[2, 1]" in str(report)
    assert report.entries + report.skipped == size(model)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_gradient_that_is_not_a_number_fails(value):
    def spoil(results, inputs):
        results[1][0] = value

    model, (x, y) = small(), batch(2)
    with planted("dense", "backward_weight", spoil), np.errstate(all="ignore"):
        report = check_gradients(model, x, y)
    assert not report.passed
    assert report.worst == np.inf


def test_a_rule_that_forgets_the_activation(monkeypatch):
    op = registry.get("dense")

    def forgetful(tape, instruction, gradients):
        params = {**instruction.params, "activation": "linear"}
        return op.gradient(tape, replace(instruction, params=params), gradients)

    monkeypatch.setitem(registry._ops, "dense", replace(op, gradient=forgetful))
    model, (x, y) = small(), batch(2)
    report = check_gradients(model, x, y)
    assert not report.passed
    assert report.parameter.split(".")[0] in ("hidden", "second", "first")
    assert report.worst > 0.01


def test_a_rule_that_forgets_a_branch(monkeypatch):
    op = registry.get("add")
    rule = replace(op, gradient=lambda tape, i, g: [g[0], *[None] * (len(i.inputs) - 1)])
    monkeypatch.setitem(registry._ops, "add", rule)
    x = ck.Input((3,))
    h = ck.layers.Dense(3, "tanh", name="trunk")(x)
    model = ck.Model(x, ck.layers.Add()([h, ck.layers.Dense(3, name="branch")(h)]))
    model.compile("sgd", "mse")
    report = check_gradients(model, np.ones((2, 3), np.float32), np.ones((2, 3), np.float32))
    assert not report.passed


@pytest.mark.parametrize("factor", [-1.0, 0.0, 0.999, 2.0])
def test_wrong_gradients_of_relu_are_not_taken_for_kinks(factor):
    def spoil(results, inputs):
        for r in results:
            if r is not None:
                r[...] *= factor

    model = small("relu")
    randomise(model)
    x, y = batch(3)
    right = check_gradients(model, x, y)
    assert right.passed, str(right)
    with planted("dense", "backward_weight", spoil):
        wrong = check_gradients(model, x, y)
    assert not wrong.passed
    assert wrong.skipped <= right.skipped
    assert wrong.entries >= right.entries


def on_the_kink(bias):
    """ReLUs of sums that are 0 but for the bias: the input is 0."""
    model = ck.Sequential(
        [
            ck.Input((2,)),
            ck.layers.Dense(3, "relu", name="kinked"),
            ck.layers.Dense(1, name="linear"),
        ]
    )
    randomise(model)
    model.store.view(model.store.members[1])[...] = bias
    model.compile("sgd", "mse")
    return model


def test_exactly_at_a_kink_entries_are_skipped():
    model = on_the_kink([0.0, 0.5, -0.5])
    x, y = np.zeros((1, 2), np.float32), np.ones((1, 1), np.float32)
    report = check_gradients(model, x, y)
    assert report.passed, str(report)
    assert report.skipped == 1  # the bias at 0; kernels see inputs of 0
    assert report.entries == size(model) - 1
    assert "1 entries at kinks skipped" in str(report)


@pytest.mark.parametrize("distance", [3e-4, 1e-4, 2e-5, 6e-6, 1e-7])
def test_near_a_kink_a_smaller_step_decides(distance):
    """Within the first step but beyond the last one: compared, not skipped."""
    model = on_the_kink([distance, -distance, 0.5])
    x, y = np.zeros((1, 2), np.float32), np.ones((1, 1), np.float32)
    report = check_gradients(model, x, y)
    assert report.passed, str(report)
    assert report.skipped == (2 if distance < 4e-6 else 0)

    def spoil(results, inputs):
        if results[0].shape == (2, 3):
            results[1][...] += 0.01

    with planted("dense", "backward_weight", spoil):
        wrong = check_gradients(model, x, y)
    assert not wrong.passed
    assert wrong.parameter == "kinked.bias"
    assert wrong.skipped == report.skipped


def test_a_network_of_zeros_is_not_a_failure():
    """As initialised, with an image that is black in part: many sums are exactly 0."""
    model = small("relu", dropout=0.0)
    x, y = batch(2)
    x[:, :4] = 0
    report = check_gradients(model, x, y)
    assert report.passed, str(report)
    assert report.skipped > 0
    assert report.entries > report.skipped


def test_frozen_parameters_are_left_out():
    model, (x, y) = small(), batch(2)
    model.layers[-1].trainable = False
    model.compile("sgd", "sparse_categorical_crossentropy")
    report = check_gradients(model, x, y)
    assert report.passed
    assert report.entries == size(model)
    everything = sum(int(np.prod(p.shape)) for p in model.store.members)
    assert everything - size(model) == 5 * 3 + 3


def test_sample_weights_in_float64():
    """They come as float32: each executor must read them as that, and none of the memory behind."""
    model, (x, y) = small("tanh"), batch(3)
    weights = np.array([0.25, 1.5, 3.0])
    reports = [
        check_gradients(model, x, y, sample_weight=weights, executor=kind)
        for kind in ("native", "reference")
    ]
    assert all(report.passed for report in reports)
    losses = []
    for dtype in ("float32", "float64"):
        job = probe(model, x, y, sample_weight=weights, dtype=dtype, update=False)
        sums = np.zeros(1)
        make_executor("native", job.program, job.store).run(job.data, 1, job.step, None, sums)
        losses.append(sums[0])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
