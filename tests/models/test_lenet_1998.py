"""LeNet-5 of 1998: counts of the paper, a forward pass by plain NumPy, equation 9, and training."""

import math

import numpy as np
import pytest

import convkit as ck
from convkit.layers.digit_codes import DIGIT_CODES
from convkit.models import LENET5_C3, lenet5


def f(a):
    """Appendix A: f(1) = 1, f(-1) = -1."""
    return 1.7159 * np.tanh(2 * a / 3)


def convolve(x, w, b):
    """Valid cross-correlation (N, H, W, C) with (KH, KW, C, K), by loops over the filter."""
    kh, kw = w.shape[:2]
    p, q = x.shape[1] - kh + 1, x.shape[2] - kw + 1
    y = np.zeros((len(x), p, q, w.shape[3])) + b
    for i in range(kh):
        for j in range(kw):
            y += x[:, i : i + p, j : j + q] @ w[i, j]
    return y


def subsample(x, coefficient, bias):
    windows = x.reshape(len(x), x.shape[1] // 2, 2, x.shape[2] // 2, 2, x.shape[3])
    return f(windows.sum(axis=(2, 4)) * coefficient + bias)


def penalties(weights, x):
    """Outputs of the paper's network, equation 7, in float64."""
    w1, b1, k2, c2, w3, b3, k4, c4, w5, b5, w6, b6 = [np.asarray(w, np.float64) for w in weights]
    s2 = subsample(f(convolve(x, w1, b1)), k2, c2)
    full = np.zeros((5, 5, 6, 16))
    full[:, :, LENET5_C3] = w3
    s4 = subsample(f(convolve(s2, full, b3)), k4, c4)
    c5 = f(s4.reshape(len(x), 400) @ w5 + b5)
    f6 = f(c5 @ w6 + b6)
    return ((f6[:, None] - DIGIT_CODES) ** 2).sum(axis=-1)


def equation_9(y, labels, j):
    """The mean over the samples of y_D + log(exp(-j) + sum exp(-y))."""
    total = 0.0
    for row, d in zip(y, labels, strict=True):
        total += row[d] + math.log(math.exp(-j) + sum(math.exp(-v) for v in row))
    return total / len(y)


def images(n=4, side=32):
    rng = np.random.default_rng(0)
    return rng.uniform(-0.1, 1.175, (n, side, side, 1)).astype("f4"), rng.integers(0, 10, n)


def test_table_1():
    seen = [tuple(np.flatnonzero(column)) for column in LENET5_C3.T]
    three = [tuple(sorted({i % 6, (i + 1) % 6, (i + 2) % 6})) for i in range(6)]
    four = [tuple(sorted({(i + d) % 6 for d in range(4)})) for i in range(6)]
    apart = [(0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)]
    assert seen == [*three, *four, *apart, (0, 1, 2, 3, 4, 5)]
    assert LENET5_C3.sum() == 60
    assert (LENET5_C3.sum(axis=1) == 10).all()


@pytest.mark.parametrize("side", [32, 28])
def test_the_papers_numbers_of_parameters(side):
    model = lenet5("1998", input_shape=(side, side, 1))
    counts = {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164, "output": 0}
    assert {name: model.get_layer(name).count_params() for name in counts} == counts
    assert model.count_params() == sum(counts.values()) == 60_000
    assert model.output_shape == (None, 10)
    maps = [call.outputs[0].shape[1:] for call in model.calls[:4]]
    assert maps == [(28, 28, 6), (14, 14, 6), (10, 10, 16), (5, 5, 16)]


def test_variants():
    assert lenet5(variant="1998").input_shape == (None, 32, 32, 1)
    assert ck.models.get("lenet5")(variant=1998).count_params() == 60_000
    assert lenet5("1998", activation="tanh").get_layer("s2").activation.kind == "tanh"
    assert lenet5("1998", classes=4).output_shape == (None, 4)
    with pytest.raises(ValueError, match="unknown variant '1989'; did you mean '1998'"):
        lenet5("1989")
    with pytest.raises(ValueError, match="codes of 10 digits, not of 26"):
        lenet5("1998", classes=26)


def test_weights_begin_within_their_units_fan_in():
    model = lenet5("1998")
    weights = {p.path: p.numpy() for p in model.weights}
    for path, fan_in in (("c1.kernel", 25), ("c5.kernel", 400), ("f6.kernel", 120)):
        assert 0.9 * 2.4 / fan_in < np.abs(weights[path]).max() <= 2.4 / fan_in * (1 + 1e-6)
    assert all(np.abs(weights[f"{s}.coefficient"]).max() <= 0.6 for s in ("s2", "s4"))
    owner = np.nonzero(LENET5_C3)[1]
    for m, k in enumerate(owner):
        limit = 2.4 / (25 * LENET5_C3[:, k].sum())
        assert 0.3 * limit < np.abs(weights["c3.kernel"][..., m]).max() <= limit * (1 + 1e-6)
    assert all((w == 0).all() for path, w in weights.items() if path.endswith("bias"))


def test_forward_pass_and_loss_by_plain_numpy():
    ck.set_seed(0)
    model = lenet5("1998")
    rng = np.random.default_rng(1)
    weights = [w + 0.1 * rng.standard_normal(w.shape) for w in model.get_weights()]
    model.set_weights(weights)
    x, labels = images()
    y = penalties(model.get_weights(), x)
    e = np.exp(y.min(axis=1, keepdims=True) - y)
    np.testing.assert_allclose(
        model.predict(x, verbose=0), e / e.sum(axis=1, keepdims=True), atol=2e-4
    )
    for j in (0.5, 60.0, 200.0):
        model.compile("sgd", ck.losses.DiscriminativeMAP(j), metrics=["accuracy"])
        loss, accuracy = model.evaluate(x, labels, verbose=0)
        assert loss == pytest.approx(equation_9(y, labels, j), rel=1e-5)
        assert accuracy == (y.argmin(axis=1) == labels).mean()
    # Without the rubbish class it is the cross-entropy.
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert model.evaluate(x, labels, verbose=0) == pytest.approx(
        equation_9(y, labels, 700), rel=1e-5
    )


def test_gradients():
    ck.set_seed(0)
    model = lenet5("1998")
    x, labels = images(2)
    # Near the codes, where the terms of the loss are of one size.
    model.compile("sgd", ck.losses.DiscriminativeMAP(85.0), metrics=["accuracy"])
    report = ck.testing.check_gradients(model, x, labels, max_entries=12)
    assert report.passed, str(report)
    entries = sum(min(p.size, 12) for p in model.weights)
    assert (report.entries, report.skipped) == (entries, 0)
    difference = ck.testing.compare(model, x, labels)
    assert difference.agrees, str(difference)


def test_the_softmax_is_skipped_where_nobody_reads_it():
    model = lenet5("1998")
    model.compile("sgd", "discriminative_map", metrics=["accuracy"])
    listing = str(model.program("train", 8))
    assert "softmax.forward" not in listing
    assert "kind=softmax_cross_entropy" in listing
    assert "conv2d.forward" in listing and "+scaled_tanh" in listing


def test_it_learns_digits_with_plain_labels():
    ck.set_seed(0)
    (x, y), (x_test, y_test) = ck.datasets.digits.load_data(size=28)
    scaled = [(a / 255 * 1.275 - 0.1).astype("f4") for a in (x, x_test)]
    model = lenet5("1998", input_shape=(28, 28, 1))
    model.compile(ck.optimizers.SGD(0.005), "discriminative_map", metrics=["accuracy"])
    begin = model.evaluate(scaled[1], y_test, verbose=0)[0]
    model.fit(scaled[0], y, epochs=4, batch_size=16, verbose=0)
    loss, accuracy = model.evaluate(scaled[1], y_test, verbose=0)
    assert accuracy > 0.9
    assert loss < begin / 10
    assert (model.predict(scaled[1], verbose=0).argmax(axis=1) == y_test).mean() == pytest.approx(
        accuracy
    )


@pytest.mark.parametrize("weighted", [False, True])
def test_the_criterion_on_rows_by_hand(weighted):
    """Three rows of penalties through a model that only passes them on."""
    y = np.array([[0.5, 4.0, 9.0], [3.0, 0.1, 20.0], [50.0, 60.0, 40.0]], "f4")
    labels = np.array([0, 0, 1])
    weights = np.array([1.0, 2.0, 0.5]) if weighted else None
    model = ck.Sequential([ck.Input((3,)), ck.layers.Activation("linear")])
    model.compile("sgd", ck.losses.DiscriminativeMAP(5.0), weighted_metrics=[])
    rows = [equation_9(y[i : i + 1].astype(float), labels[i : i + 1], 5.0) for i in range(3)]
    loss = model.evaluate(-y, labels, sample_weight=weights, verbose=0)
    expected = np.mean(rows if weights is None else np.array(rows) * weights)
    assert loss == pytest.approx(expected, rel=1e-6)


def test_the_criterion_looks_through_a_view():
    """Under TimeDistributed the probabilities are a view of what softmax made."""
    y = np.random.default_rng(0).uniform(0, 9, (2, 3, 4)).astype("f4")
    labels = np.array([[0, 3, 1], [2, 2, 0]])
    steps = ck.layers.TimeDistributed(ck.layers.Activation("softmax"))
    model = ck.Sequential([ck.Input((3, 4)), steps])
    model.compile("sgd", ck.losses.DiscriminativeMAP(5.0))
    expected = equation_9(y.reshape(6, 4).astype(float), labels.ravel(), 5.0)
    assert model.evaluate(-y, labels, verbose=0) == pytest.approx(expected, rel=1e-6)
    assert "softmax.forward" not in str(model.program("evaluate", 2))


@pytest.mark.parametrize("j", [0.0, -1.0, np.inf, np.nan])
def test_a_rubbish_class_needs_a_penalty(j):
    with pytest.raises(ValueError, match="expected a number above 0"):
        ck.losses.DiscriminativeMAP(j)
    with pytest.raises(TypeError, match="unexpected argument"):
        ck.losses.DiscriminativeMAP(from_logits=True)
