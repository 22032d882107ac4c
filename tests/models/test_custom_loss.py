"""ck.Loss: a loss and its derivative, checked when made, native when trained."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers, losses
from convkit.ops.registry import Array
from convkit.run.native import NativeExecutor

RNG = np.random.default_rng(0)
X = RNG.standard_normal((48, 6)).astype(np.float32)
LABELS = np.arange(48) % 3
VALUES = RNG.standard_normal((48, 3)).astype(np.float32)


def mse(y_true: Array, y_pred: Array) -> Any:
    return ((y_pred - y_true) ** 2).mean(axis=-1)


def mse_slope(y_true: Array, y_pred: Array) -> Any:
    return 2 * (y_pred - y_true) / y_pred.shape[-1]


def cross_entropy(y_true: Array, y_pred: Array) -> Any:
    return -np.log(np.take_along_axis(y_pred, y_true[..., None], axis=-1))[..., 0]


def cross_entropy_slope(y_true: Array, y_pred: Array) -> Any:
    slope = np.zeros_like(y_pred)
    picked = np.take_along_axis(y_pred, y_true[..., None], axis=-1)
    np.put_along_axis(slope, y_true[..., None], -1 / picked, axis=-1)
    return slope


def absolute(y_true: Array, y_pred: Array) -> Any:
    return np.abs(y_pred - y_true).sum(axis=-1)


def absolute_slope(y_true: Array, y_pred: Array) -> Any:
    return np.sign(y_pred - y_true)


MSE = ck.Loss(mse, mse_slope)
NLL = ck.Loss(cross_entropy, cross_entropy_slope, name="nll", sparse=True)
CASES = {
    "mse": (MSE, "mse", VALUES, None),
    "nll": (NLL, "sparse_categorical_crossentropy", LABELS, "softmax"),
}


def network(loss: Any, end: str | None, *metrics: Any, weighted: Any = None) -> ck.Sequential:
    ck.set_seed(4)
    model = ck.Sequential([ck.Input((6,)), layers.Dense(7, "relu"), layers.Dense(3, end)])
    model.compile(
        ck.optimizers.SGD(0.1), loss, metrics=list(metrics) or None, weighted_metrics=weighted
    )
    return model


@pytest.mark.parametrize(
    ("case", "weights"),
    [(c, w) for c in CASES for w in ("none", "samples", "classes") if (c, w) != ("mse", "classes")],
)
def test_it_trains_like_the_built_in(case: str, weights: str) -> None:
    own, built_in, y, end = CASES[case]
    given: dict[str, Any] = {
        "none": {},
        "samples": {"sample_weight": np.linspace(0.5, 2, 48)},
        "classes": {"class_weight": {0: 2.0, 2: 0.25}},
    }[weights]
    runs = []
    for loss in (own, built_in):
        model = network(loss, end)
        history = model.fit(X, y, batch_size=20, epochs=4, shuffle=False, verbose=0, **given)
        runs.append((model, history.history["loss"]))
    (a, of_a), (b, of_b) = runs
    np.testing.assert_allclose(of_a, of_b, rtol=1e-5)
    for p, q in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(p, q, atol=1e-5)
    assert a.evaluate(X, y, verbose=0) == pytest.approx(b.evaluate(X, y, verbose=0), rel=1e-5)
    assert a._loop is not None
    assert {type(e) for e in a._loop._executors.values()} == {NativeExecutor}


@pytest.mark.parametrize("case", CASES)
def test_gradients_of_the_model(case: str) -> None:
    own, _, y, end = CASES[case]
    model = network(own, end)
    report = ck.testing.check_gradients(model, X[:8], y[:8], sample_weight=np.arange(8) + 0.5)
    assert report.passed, report
    for kinds in (("reference", "native"), ("eager", "native")):
        assert ck.testing.compare(model, X[:8], y[:8], *kinds).agrees


def test_the_sum_as_reduction() -> None:
    summed = ck.Loss(mse, mse_slope, reduction="sum")
    model, other = network(summed, None), network("mse", None)
    model.compile(ck.optimizers.SGD(0.1 / 16), summed)
    for each in (model, other):
        each.fit(X, VALUES, batch_size=16, epochs=2, shuffle=False, verbose=0)
    for p, q in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(p, q, atol=1e-5)


def test_on_arrays() -> None:
    p = RNG.uniform(0.1, 1, (5, 3))
    y = np.array([0, 2, 1, 1, 0])
    expected = -np.log(p[np.arange(5), y])
    assert NLL(y, p) == pytest.approx(expected.mean(), rel=1e-12)
    weights = np.arange(5.0)
    assert NLL(y[:, None], p, weights) == pytest.approx((weights * expected).mean(), rel=1e-12)
    each = ck.Loss(mse, mse_slope, reduction="none")
    np.testing.assert_allclose(each(VALUES, VALUES + 0.5), 0.25, rtol=1e-5)
    with pytest.raises(ValueError, match=r"y_true has shape \(48, 2\), expected \(48, 3\)"):
        MSE(VALUES[:, :2], VALUES)
    with pytest.raises(ValueError, match="none"):
        network(each, None)


def test_it_is_a_metric_too() -> None:
    own = ck.Loss(mse, mse_slope, name="own_mse")
    model = network("mse", None, own, weighted=[ck.Loss(absolute, absolute_slope)])
    weights = np.linspace(0, 2, 48).astype(np.float32)
    loss, own_mse, mae = model.evaluate(X, VALUES, sample_weight=weights, verbose=0)
    errors = model.predict(X, verbose=0) - VALUES
    assert own_mse == pytest.approx((errors**2).mean(), rel=1e-5)
    by_row = np.abs(errors).sum(axis=1)
    assert mae == pytest.approx((by_row * weights).sum() / weights.sum(), rel=1e-5)
    assert loss != pytest.approx(own_mse, rel=1e-3)  # that one is weighted


def test_sequences_have_a_loss_for_each_step() -> None:
    x = RNG.standard_normal((10, 5, 3)).astype(np.float32)
    x[3, 3:] = 0
    logs = []
    for loss in (NLL, "sparse_categorical_crossentropy"):
        ck.set_seed(1)
        model = ck.Sequential(
            [ck.Input((5, 3)), layers.Masking(), layers.GRU(4, return_sequences=True),
             layers.Dense(3, "softmax")]
        )  # fmt: skip
        model.compile("adam", loss)
        y = np.arange(50).reshape(10, 5) % 3
        logs.append(model.fit(x, y, epochs=3, shuffle=False, verbose=0).history["loss"])
    np.testing.assert_allclose(*logs, rtol=1e-5)


def test_an_error_in_a_step_keeps_the_steps_before_it() -> None:
    calls: list[int] = []

    def fragile(y_true: Array, y_pred: Array) -> Any:
        if len(y_pred) == 16:
            calls.append(1)
            if len(calls) == 3:
                raise ZeroDivisionError("now")
        return mse(y_true, y_pred)

    model = network(ck.Loss(fragile, mse_slope), None)
    with pytest.raises(ZeroDivisionError, match=r"loss 'fragile': the function f raised .*: now"):
        model.fit(X, VALUES, batch_size=16, shuffle=False, verbose=0)
    assert model.optimizer.iterations == 2
    twin = network("mse", None)
    twin.fit(X[:32], VALUES[:32], batch_size=16, shuffle=False, verbose=0)
    for p, q in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(p, q, atol=1e-6)


def test_nan_stops_training_with_the_weights_as_they_were() -> None:
    model = network(ck.Loss(lambda t, p: mse(t, p) / (len(p) != 48), mse_slope), None)
    before = model.get_weights()
    with np.errstate(all="ignore"), pytest.raises(ck.NonFiniteError):
        model.fit(X, VALUES, batch_size=48, verbose=0)
    for p, q in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize(
    ("f", "df"),
    [
        (absolute, absolute_slope),
        (
            lambda t, p: np.maximum(0, 1 - t * p).mean(-1),
            lambda t, p: -t * (t * p < 1) / p.shape[-1],
        ),
        (lambda t, p: p.max(-1), lambda t, p: p == p.max(-1, keepdims=True)),
        (
            lambda t, p: (t * np.log(t / p)).sum(-1),
            lambda t, p: -t / p,
        ),
        (lambda t, p: np.log(np.cosh(p - t)).mean(-1), lambda t, p: np.tanh(p - t) / p.shape[-1]),
    ],
    ids=["absolute", "hinge", "max", "kullback_leibler", "log_cosh"],
)
def test_kinks_and_domains_are_respected(f: Any, df: Any) -> None:
    ck.Loss(f, df)


def test_the_worst_entry_of_a_wrong_derivative_is_named() -> None:
    def wrong(y_true: Array, y_pred: Array) -> Any:
        slope = mse_slope(y_true, y_pred)
        slope[1, 2] += 0.5  # has no such entry where there is one output
        return slope

    with pytest.raises(
        ValueError, match=r"loss 'mse': the derivative df is wrong. At y_pred\[1, 2\]"
    ):
        ck.Loss(mse, wrong)
    half = ck.Loss(mse, mse_slope)
    assert half.name == "mse"
    with pytest.raises(ValueError, match="of each row's loss with respect to y_pred"):
        ck.Loss(mse, lambda t, p: mse_slope(t, p) / 2)


@pytest.mark.parametrize(
    ("f", "df", "options", "error", "message"),
    [
        (1, mse_slope, {}, TypeError, "f must be a function"),
        (mse, 1, {}, TypeError, "df must be a function"),
        (
            lambda t, p: mse(t, p).mean(),
            mse_slope,
            {},
            ValueError,
            r"returned shape \(\), expected",
        ),
        (
            lambda t, p: (p - t) ** 2,
            mse_slope,
            {},
            ValueError,
            r"returned shape \(3, 4\), expected",
        ),
        (
            lambda t, p: mse(t, p) * p.mean(),
            mse_slope,
            {},
            ValueError,
            "gives a row another result",
        ),
        (
            mse,
            lambda t, p: mse(t, p),
            {},
            ValueError,
            r"df returned shape \(3,\), expected \(3, 4\)",
        ),
        (lambda t, p: p @ np.ones(10), mse_slope, {}, ValueError, "give outputs=, the width"),
        (mse, mse_slope, {"outputs": 0}, ValueError, "outputs must be at least 1"),
        (lambda t, p: list(mse(t, p)), mse_slope, {}, TypeError, "function f returned list"),
    ],
)
def test_functions_that_do_not_fit(f: Any, df: Any, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        ck.Loss(f, df, name="mine", **options)


def test_a_width_may_be_given() -> None:
    w = np.arange(10.0)
    own = ck.Loss(lambda t, p: (w * (p - t) ** 2).sum(-1), lambda t, p: 2 * w * (p - t), outputs=10)
    assert own.outputs == 10
    x, y = np.ones((4, 2), np.float32), np.ones((4, 3), np.float32)
    model = ck.Sequential([ck.Input((2,)), layers.Dense(3)])
    model.compile("sgd", own)
    with pytest.raises(ValueError, match=r"was made for y_pred \(..., 10\), got \(4, 3\)"):
        model.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match="was made for y_pred"):
        own(y, y)


def test_a_bound_far_from_zero_is_found() -> None:
    def huber(y_true: Array, y_pred: Array) -> Any:
        error = np.abs(y_pred - y_true)
        return np.where(error < 5, error**2, 10 * error - 25).mean(-1)

    with pytest.raises(ValueError, match="derivative df is wrong"):
        ck.Loss(huber, mse_slope)
    ck.Loss(huber, lambda t, p: np.clip(2 * (p - t), -10, 10) / p.shape[-1])


def test_it_is_a_loss() -> None:
    assert isinstance(MSE, losses.Loss) and losses.get(MSE) is MSE
    assert ck.Loss is losses.CustomLoss and not isinstance(losses.get("mse"), ck.Loss)
    assert repr(NLL) == "<CustomLoss nll>" and NLL.sparse and not MSE.sparse


def test_a_plain_function_is_told_the_way() -> None:
    with pytest.raises(TypeError, match=r"loss=mse: .*ck.Loss\(mse, df\)"):
        network(mse, None)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(way: Any) -> None:
    model = network(NLL, "softmax")
    model.fit(X, LABELS, verbose=0)
    other = way(model)
    for each in (model, other):
        each.fit(X, LABELS, verbose=0)
    for p, q in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)


def double(x: Array) -> Any:
    return 2 * x


def double_slope(x: Array) -> Any:
    return np.full_like(x, 2)


def test_own_pieces_are_found_by_name_when_a_file_is_read(tmp_path: Path) -> None:
    ck.set_seed(1)
    own = ck.Activation(double, double_slope)
    model = ck.Sequential([ck.Input((6,)), layers.Dense(4, own), layers.Dense(3, "softmax")])
    model.compile("adam", NLL)
    model.fit(X, LABELS, verbose=0)
    model.save(tmp_path / "model.convkit")
    functions = (double, double_slope, cross_entropy, cross_entropy_slope)
    loaded = ck.load_model(
        tmp_path / "model.convkit", custom_objects={f.__name__: f for f in functions}
    )
    for each in (model, loaded):
        each.fit(X, LABELS, shuffle=False, verbose=0)
    for p, q in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)
