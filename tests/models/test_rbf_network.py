"""Radial basis function networks against MATLAB's definitions and direct implementations."""

import math

import numpy as np
import pytest

import convkit as ck
from convkit.models import KMeans, RBFNetwork

P, T = [[1.0], [2.0], [3.0]], [2.0, 4.1, 5.9]  # the example of MATLAB's newrbe and newrb


def radbas(n):
    return np.exp(-(n**2))


def noisy_sine(n=40, features=1, outputs=1, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, (n, features))
    t = np.sin(x.sum(1))[:, None] * np.arange(1, outputs + 1) + 0.1 * rng.standard_normal(
        (n, outputs)
    )
    return x, t


def slowly(x, centres, sigma):
    """Units as loops over samples and centres."""
    return np.array(
        [[math.exp(-sum((p - q) ** 2 for p, q in zip(a, c)) / (2 * s * s))
          for c, s in zip(centres, sigma)] for a in x]
    )  # fmt: skip


def mse(x, t, centres, sigma):
    """Mean squared error of the best output layer for these centres."""
    h = np.ones((len(x), 1))
    if len(centres):
        h = np.column_stack([slowly(x, centres, [sigma] * len(centres)), h])
    return float(np.mean((t - h @ np.linalg.lstsq(h, t, rcond=None)[0]) ** 2))


@pytest.mark.parametrize("spread", [0.3, 1.0, 2.0])
def test_matlabs_example_of_exact_interpolation(spread):
    network = RBFNetwork.exact(P, T, spread)
    assert np.abs(network.predict(P) - T).max() < 1e-6
    np.testing.assert_array_equal(network.centers_, P)
    # newrbe's layers, with its own bias of 0.8326 / spread.
    bias = math.sqrt(-math.log(0.5)) / spread
    assert bias == pytest.approx(0.8326 / spread, abs=1e-4 / spread)
    x = np.linspace(0, 4, 9)
    a1 = radbas(np.abs(x[:, None] - np.ravel(P)) * bias)
    y = a1 @ network.weights_ + network.bias_
    np.testing.assert_allclose(network.predict(x[:, None]), y[:, 0], atol=1e-12)
    # A unit gives 0.5 at the distance spread.
    assert network.hidden([[1.0 + spread]])[0, 0] == pytest.approx(0.5, abs=1e-12)


def test_exact_is_the_solution_of_least_norm():
    x, t = noisy_sine(12, 2, 3)
    network = RBFNetwork.exact(x, t, 0.8)
    h = np.column_stack([slowly(x, x, network.widths_), np.ones(12)])
    expected = np.linalg.pinv(h) @ t
    np.testing.assert_allclose(np.vstack([network.weights_, network.bias_]), expected, atol=1e-8)
    np.testing.assert_allclose(network.predict(x), t, atol=1e-9)
    assert network.evaluate(x, t) < 1e-18 and network.score(x, t) == pytest.approx(1)
    assert network.selected_.tolist() == list(range(12))


def test_exact_says_when_rounding_is_too_much():
    x = np.linspace(0, 1, 30)[:, None]
    with pytest.warns(UserWarning, match=r"spread=50 .* use a smaller spread"):
        RBFNetwork.exact(x, np.random.default_rng(0).standard_normal(30), 50.0)


@pytest.mark.parametrize("features", [1, 3])
@pytest.mark.parametrize("outputs", [1, 2])
def test_growing_by_orthogonal_least_squares(features, outputs):
    x, t = noisy_sine(20, features, outputs, seed=features)
    network = RBFNetwork.grow(x, t, goal=0.0, spread=1.0, max_units=7, rule="ols")
    sigma = network.widths_[0]
    chosen, errors = [], [mse(x, t, [], sigma)]
    for _ in range(7):  # the sample whose unit lowers the error most, each tried by itself
        tries = {
            i: mse(x, t, x[[*chosen, i]], sigma) for i in range(len(x)) if i not in chosen
        }  # fmt: skip
        best = min(tries, key=tries.__getitem__)
        chosen.append(best)
        errors.append(tries[best])
    assert network.selected_.tolist() == chosen
    np.testing.assert_allclose(network.errors_, errors, rtol=1e-9)
    assert network.evaluate(x, t) == pytest.approx(errors[-1], rel=1e-9)


@pytest.mark.parametrize("outputs", [1, 2])
def test_growing_at_the_worst_error(outputs):
    x, t = noisy_sine(20, 2, outputs, seed=5)
    network = RBFNetwork.grow(x, t, spread=1.0, max_units=9, rule="worst_error")
    sigma = network.widths_[0]
    chosen, errors = [], []
    for _ in range(10):
        h = np.ones((20, 1))
        if chosen:
            h = np.column_stack([slowly(x, x[chosen], [sigma] * len(chosen)), h])
        error = np.square(t - h @ np.linalg.lstsq(h, t, rcond=None)[0]).sum(1)
        errors.append(error.mean() / outputs)
        error[chosen] = -1
        chosen.append(int(error.argmax()))
    assert network.selected_.tolist() == chosen[:9]
    np.testing.assert_allclose(network.errors_, errors, rtol=1e-9)


@pytest.mark.parametrize("rule", ["ols", "worst_error"])
def test_growing_stops_at_the_goal(rule):
    x, t = noisy_sine(60)
    network = RBFNetwork.grow(x, t, goal=0.02, spread=1.0, rule=rule)
    assert network.errors_[-1] <= 0.02 < network.errors_[-2]
    assert network.evaluate(x, t) == pytest.approx(network.errors_[-1])
    assert len(network.centers_) == len(network.errors_) - 1 < 20
    assert (np.diff(network.errors_) <= 1e-15).all()
    np.testing.assert_array_equal(network.centers_, x[network.selected_])


def test_growing_without_goal_ends_exactly():
    network = RBFNetwork.grow(P, T, spread=1.0)
    assert len(network.centers_) == 2  # two units and the bias go through three points
    np.testing.assert_allclose(network.predict(P), T, atol=1e-12)


def test_growing_needs_no_unit_for_a_constant():
    network = RBFNetwork.grow(P, [[3.0, 1.0]] * 3, goal=1e-12)
    assert len(network.centers_) == 0
    np.testing.assert_allclose(network.predict([[9.0], [2.0]]), [[3, 1], [3, 1]])


def test_growing_over_samples_that_are_there_twice():
    x = [[0.0], [0.0], [1.0], [2.0]]
    network = RBFNetwork.grow(x, [1.0, 3.0, 0.0, 5.0], spread=0.5)
    assert network.evaluate(x, [1, 3, 0, 5]) == pytest.approx(0.5)  # the mean of 1 and 3 at 0
    assert 0 in network.selected_ or 1 in network.selected_ or len(network.selected_) == 2


def test_k_means_centres_and_least_squares():
    x, t = noisy_sine(80, 2, 2)
    network = RBFNetwork(9, width=0.9, seed=3).fit(x, t)
    h = np.column_stack([slowly(x, network.centers_, [0.9] * 9), np.ones(80)])
    solution = np.linalg.lstsq(h, t, rcond=None)[0]
    np.testing.assert_allclose(np.vstack([network.weights_, network.bias_]), solution, atol=1e-8)
    np.testing.assert_allclose(network.predict(x), h @ solution, atol=1e-9)
    rest = t - h @ solution
    np.testing.assert_allclose(h.T @ rest, 0, atol=1e-9)  # the residual is orthogonal to the units
    assert network.evaluate(x, t) == pytest.approx(np.mean(rest**2))
    assert network.score(x, t) == pytest.approx(
        np.mean(1 - (rest**2).sum(0) / ((t - t.mean(0)) ** 2).sum(0))
    )


def test_ridge_leaves_the_bias_free():
    x, t = noisy_sine(50, 1, 2)
    network = RBFNetwork(6, width=0.7, ridge=0.3, seed=0).fit(x, t)
    h = slowly(x, network.centers_, network.widths_)
    h0, t0 = h - h.mean(0), t - t.mean(0)
    w = np.linalg.solve(h0.T @ h0 + 0.3 * np.eye(6), h0.T @ t0)
    np.testing.assert_allclose(network.weights_, w, atol=1e-9)
    np.testing.assert_allclose(network.bias_, t.mean(0) - h.mean(0) @ w, atol=1e-9)
    heavy = RBFNetwork(6, width=0.7, ridge=1e9, seed=0).fit(x, t)
    np.testing.assert_allclose(heavy.predict(x), np.tile(t.mean(0), (50, 1)), atol=1e-6)


def test_widths():
    x = np.concatenate([[[0.0, 1], [0, -1], [1, 0], [-1, 0]], [[10.0, 0]] * 2])
    t = np.arange(6.0)
    near = RBFNetwork(2, "nearest", seed=0).fit(x, t)
    np.testing.assert_allclose(near.widths_, 10)
    widest = RBFNetwork(2, "max", width_scale=3, seed=0).fit(x, t)
    np.testing.assert_allclose(widest.widths_, 3 * 10 / 2)
    cluster = RBFNetwork(2, "cluster", seed=0).fit(x, t)
    order = np.argsort(cluster.centers_[:, 0])
    # The second cluster has no extent: it takes the mean over all samples, 4 of 6 at distance 1.
    np.testing.assert_allclose(cluster.widths_[order], [1, math.sqrt(4 / 6)])
    common = RBFNetwork(2, "common", seed=0).fit(x, t)
    np.testing.assert_allclose(common.widths_, math.sqrt(4 / 6))
    number = RBFNetwork(2, 0.5, width_scale=2, seed=0).fit(x, t)
    np.testing.assert_allclose(number.widths_, 1.0)


def test_centres_may_be_given():
    x, t = noisy_sine(60, 2)
    clusters = KMeans(8, seed=1).fit(x)
    for width in ("nearest", "cluster", "common", "max", 0.8):
        by_number = RBFNetwork(8, width, 1.5, max_iterations=300, seed=1).fit(x, t)
        by_centres = RBFNetwork(clusters.cluster_centers_, width, 1.5).fit(x, t)
        np.testing.assert_allclose(by_centres.widths_, by_number.widths_, rtol=1e-12)
        np.testing.assert_allclose(by_centres.predict(x), by_number.predict(x), atol=1e-9)
    with pytest.raises(ValueError, match=r"\(N, 2\)"):
        RBFNetwork([[1.0]]).fit(x, t)


def test_a_vector_stays_a_vector():
    x, t = noisy_sine(30)
    vector = RBFNetwork(5, seed=0).fit(x, t[:, 0]).predict(x)
    column = RBFNetwork(5, seed=0).fit(x, t).predict(x)
    assert vector.shape == (30,) and column.shape == (30, 1)
    np.testing.assert_array_equal(vector, column[:, 0])


def test_as_layers_it_answers_the_same():
    x, t = noisy_sine(40, 2, 3)
    network = RBFNetwork(7, width_scale=1.5, seed=0).fit(x, t)
    model = network.to_model()
    assert [layer.name for layer in model.layers] == ["hidden", "output"]
    assert model.count_params() == 7 * 2 + 7 + 7 * 3 + 3
    np.testing.assert_allclose(model.get_layer("hidden").sigma, network.widths_, rtol=1e-6)
    scale = np.abs(network.weights_).sum()
    np.testing.assert_allclose(model.predict(x), network.predict(x), atol=1e-6 * scale)


def test_as_layers_it_trains_centres_and_widths():
    x, t = noisy_sine(60, 1, seed=3)
    network = RBFNetwork(4, width=0.6, seed=0).fit(x, t)
    model = network.to_model("mine")
    model.compile(ck.optimizers.Adam(0.01), "mse")
    report = ck.testing.check_gradients(model, x[:5], t[:5])
    assert report.passed and report.entries + report.skipped == 4 + 4 + 4 + 1, str(report)
    before, start = network.evaluate(x, t), model.get_weights()
    model.fit(x, t, batch_size=len(x), epochs=300, verbose=0)
    assert model.evaluate(x, t, verbose=0) < 0.7 * before  # below the best output layer alone
    assert all(np.abs(a - b).max() > 1e-3 for a, b in zip(start, model.get_weights()))
    hidden = model.get_layer("hidden")  # with the best output layer for them it is no worse
    again = RBFNetwork(hidden.centers.numpy().T, hidden.sigma).fit(x, t)
    assert again.evaluate(x, t) <= model.evaluate(x, t, verbose=0) * (1 + 1e-6)


def test_no_layers_without_units():
    with pytest.raises(ValueError, match="no units to train"):
        RBFNetwork.grow(P, [1.0, 1.0, 1.0]).to_model()


def test_digits():
    (x, y), (x_test, y_test) = ck.datasets.digits.load_data()
    x, x_test = (a.reshape(len(a), -1) / a.max() for a in (x, x_test))
    network = RBFNetwork(150, width_scale=2.0, ridge=1e-3, seed=0)
    network.fit(x, ck.utils.to_categorical(y))
    assert (network.predict(x_test).argmax(1) == y_test).mean() > 0.93


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: RBFNetwork.exact(P, T, 0), "spread must be finite and above 0"),
        (lambda: RBFNetwork.exact(P, T, -1), "spread must be finite and above 0"),
        (lambda: RBFNetwork.exact(P, T, math.nan), "spread must be finite"),
        (lambda: RBFNetwork.exact([[1], [2], [1]], T), "sample 2 of x is there twice"),
        (lambda: RBFNetwork.exact(P, T[:2]), "x has 3 samples, t has 2"),
        (lambda: RBFNetwork.exact([1, 2, 3], T), r"x\[:, None\]"),
        (lambda: RBFNetwork.grow(P, T, goal=-1), "goal must be finite and at least 0"),
        (lambda: RBFNetwork.grow(P, T, max_units=0), "max_units is 0"),
        (lambda: RBFNetwork.grow(P, T, rule="osl"), "did you mean 'ols'"),
        (lambda: RBFNetwork.grow(P, [1, 2, math.inf]), "t has values that are NaN or infinite"),
        (lambda: RBFNetwork(0), "units is 0"),
        (lambda: RBFNetwork(width="neerest"), "did you mean 'nearest'"),
        (lambda: RBFNetwork(width=0), "width must be finite and above 0"),
        (lambda: RBFNetwork(2, width=[1, 2, 3]), "for each of the 2 units"),
        (lambda: RBFNetwork(2, width=[1, 0]), "above 0 for each"),
        (lambda: RBFNetwork(width_scale=-1), "width_scale must be"),
        (lambda: RBFNetwork(ridge=-1), "ridge must be finite and at least 0"),
        (lambda: RBFNetwork(4).fit(P, T), "3 different samples for 4"),
        (lambda: RBFNetwork.exact(P, T, 1e-200), r"exact\] spread is .*-201, whose squares under"),
        (lambda: RBFNetwork.grow(P, T, 0, 1e200), r"grow\] spread is .*\+199, whose squares over"),
        (lambda: RBFNetwork.exact(np.ravel(P)[:, None] * 1e200, T), r"squares overflow"),
        (
            lambda: RBFNetwork(2).fit(np.ravel(P)[:, None] * 1e-170, T),
            r"\[RBFNetwork\] x has values up to 3e-170, whose squares underflow .* scale the data",
        ),
        (lambda: RBFNetwork(2).fit(np.ravel(P)[:, None] * 1e200, T), r"\[RBFN.*squares overflow"),
        (lambda: RBFNetwork(2, 1e-200).fit(P, T), "a width of 1e-200, whose squares underflow"),
        (lambda: RBFNetwork([[1e200]]), "squares overflow"),
        (lambda: RBFNetwork(1).fit(P, T), "width='nearest' gives no width for 1 centres"),
        (lambda: RBFNetwork(2).fit(P, T).predict([[1, 2]]), r"\(N, 1\)"),
        (lambda: RBFNetwork(2).fit(P, T).evaluate(P, [[1, 2]] * 3), r"predictions have shape"),
    ],
)
def test_misuse(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_misuse_before_fit():
    with pytest.raises(RuntimeError, match=r"call fit\(x, t\), or use RBFNetwork.exact"):
        RBFNetwork().predict(P)
    with pytest.raises(TypeError, match="spread must be a number"):
        RBFNetwork.exact(P, T, "wide")
