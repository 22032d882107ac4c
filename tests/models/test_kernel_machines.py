"""Kernel machines against closed forms and against their primal forms."""

import math

import numpy as np
import pytest

from convkit.models import KernelPerceptron, KernelRidge, Perceptron
from convkit.models.distances import median_distance, squared_distances
from convkit.models.least_squares import solve_positive

XOR_X, XOR_Y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]


def rbf(a, b, sigma):
    return np.array(
        [[math.exp(-sum((p - q) ** 2 for p, q in zip(u, v)) / (2 * sigma**2)) for v in b]
         for u in a]
    )  # fmt: skip


def points(n=30, features=3, seed=0):
    return np.random.default_rng(seed).standard_normal((n, features))


# ---- what they share


@pytest.mark.parametrize("shift", [0.0, 1e3])
def test_squared_distances(shift):
    a, b = points(17, 4), points(5, 4, 1)
    d = squared_distances(a + shift, b + shift)
    slow = np.square((a + shift)[:, None] - (b + shift)).sum(-1)
    np.testing.assert_allclose(d, slow, rtol=1e-12, atol=1e-12)
    assert (squared_distances(a, a) >= 0).all()


def test_median_distance():
    x = points(21)
    slow = [np.linalg.norm(x[i] - x[j]) for i in range(21) for j in range(i)]
    assert median_distance("m", x) == pytest.approx(np.median(slow), rel=1e-12)
    big = points(5000, 2)
    assert median_distance("m", big) == pytest.approx(median_distance("m", big[:1000]), rel=0.1)
    with pytest.raises(ValueError, match=r'\[m\] sigma="median" is 0'):
        median_distance("m", np.ones((4, 2)))
    with pytest.raises(ValueError, match=r"\[m\] .*x has one sample; pass a number"):
        median_distance("m", np.ones((1, 2)))


@pytest.mark.parametrize("scale", [1e-140, 1e-60, 1e60, 1e140])
def test_extreme_scales_within_the_limits(scale):
    x, t = points(25), points(25, 2, 1)
    expected = KernelRidge(0.3).fit(x, t)
    model = KernelRidge(0.3).fit(x * scale, t)
    assert model.sigma_ == pytest.approx(expected.sigma_ * scale, rel=1e-12)
    np.testing.assert_allclose(model.dual_coef_, expected.dual_coef_, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n", [1, 63, 64, 65, 200])
def test_solve_positive(n):
    root = points(n, n)
    a, b = root @ root.T + np.eye(n), points(n, 2, 1)
    np.testing.assert_allclose(a @ solve_positive("m", a, b, "no"), b, atol=1e-8)
    np.testing.assert_allclose(solve_positive("m", a, b, "no"), np.linalg.solve(a, b), atol=1e-8)
    with pytest.raises(ValueError, match=r"\[m\] the 2 x 2 system .* singular; a way"):
        solve_positive("m", np.array([[1.0, 2], [2, 1]]), b[:2], "a way")


# ---- ridge


def test_ridge_by_its_closed_form():
    x, t, new = points(25), points(25, 2, 1), points(7, 3, 2)
    model = KernelRidge(0.3, sigma=1.2).fit(x, t)
    c = np.linalg.inv(rbf(x, x, 1.2) + 0.3 * np.eye(25)) @ t
    np.testing.assert_allclose(model.dual_coef_, c, atol=1e-9)
    np.testing.assert_allclose(model.predict(new), rbf(new, x, 1.2) @ c, atol=1e-9)


@pytest.mark.parametrize("alpha", [1e-3, 1.0, 50.0])
def test_the_linear_kernel_is_ridge_regression(alpha):
    x, t, new = points(40), points(40, 1, 1)[:, 0], points(6, 3, 2)
    model = KernelRidge(alpha, "linear").fit(x, t)
    w = np.linalg.solve(x.T @ x + alpha * np.eye(3), x.T @ t)  # the primal form
    np.testing.assert_allclose(model.predict(new), new @ w, atol=1e-9)
    np.testing.assert_allclose(x.T @ model.dual_coef_, w, atol=1e-9)  # w = sum c_i x_i
    # At the minimum the coefficients are the residuals over alpha.
    np.testing.assert_allclose(alpha * model.dual_coef_, t - model.predict(x), atol=1e-9)


def test_the_polynomial_kernel_is_ridge_regression_over_monomials():
    x, t = points(30, 2), points(30, 1, 1)[:, 0]
    model = KernelRidge(0.5, "polynomial", degree=2, offset=1.0).fit(x, t)
    a, b = x.T
    r = math.sqrt(2)  # (x . x' + 1)^2 as an inner product
    phi = np.column_stack([np.ones(30), r * a, r * b, a * a, b * b, r * a * b])
    w = np.linalg.solve(phi.T @ phi + 0.5 * np.eye(6), phi.T @ t)
    np.testing.assert_allclose(model.predict(x), phi @ w, atol=1e-9)


def test_ridge_without_penalty_interpolates():
    x, t = points(20), points(20, 1, 1)[:, 0]
    model = KernelRidge(0, sigma=0.7).fit(x, t)
    np.testing.assert_allclose(model.predict(x), t, atol=1e-9)
    assert model.score(x, t) == pytest.approx(1)
    assert model.evaluate(x, t) < 1e-18


def test_ridge_solves_exclusive_or():
    model = KernelRidge(1e-6).fit(XOR_X, XOR_Y)
    assert model.sigma_ == pytest.approx(1.0)  # of the distances 1, 1, 1, 1, sqrt 2, sqrt 2
    np.testing.assert_allclose(model.predict(XOR_X), XOR_Y, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: KernelRidge(-1), "alpha must be finite and at least 0"),
        (lambda: KernelRidge(kernel="rfb"), "did you mean 'rbf'"),
        (lambda: KernelRidge(sigma="mean"), 'a number or "median"'),
        (lambda: KernelRidge(sigma=0), "sigma must be finite and above 0"),
        (lambda: KernelRidge(kernel="polynomial", degree=0), "degree is 0"),
        (lambda: KernelRidge(offset=-1), "offset must be"),
        (lambda: KernelRidge(0, "linear").fit(XOR_X, XOR_Y), "singular; use a larger alpha"),
        (lambda: KernelRidge().fit(XOR_X, [0, 1]), "x has 4 samples, t has 2"),
        (lambda: KernelRidge().fit(XOR_X, XOR_Y).predict([[1]]), r"\(N, 2\)"),
        (lambda: KernelRidge().fit([[1, 1]] * 3, [1, 2, 3]), "pass a number"),
        (lambda: KernelRidge().fit([[1, 2]], [3]), r"\[KernelRidge\] .* x has one sample"),
        (lambda: KernelRidge(sigma=1e-200), "sigma is 1e-200, whose squares underflow"),
        (
            lambda: KernelRidge(kernel="polynomial", degree=300).fit(points(4) * 1e3, XOR_Y),
            r"\[KernelRidge\] the polynomial kernel overflows: .* degree is 300; scale the data",
        ),
        (
            lambda: KernelPerceptron("polynomial", degree=300).fit(points(4) * 1e3, XOR_Y),
            r"\[KernelPerceptron\] the polynomial kernel overflows",
        ),
        (lambda: KernelRidge().fit(points(4) * 1e200, XOR_Y), "squares overflow in float64; scale"),
        (
            lambda: KernelPerceptron().fit(points(4) * 1e200, XOR_Y),
            r"\[KernelPerceptron\] x has values up to .*e\+200, whose squares overflow",
        ),
        (
            lambda: KernelPerceptron().fit(points(4) * 1e-200, XOR_Y),
            r"\[KernelPerceptron\] x has values up to .*e-2.., whose squares underflow",
        ),
    ],
)
def test_misuse_at_fit(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_ridge_before_fit():
    with pytest.raises(RuntimeError, match=r"call fit\(x, t\) before predict"):
        KernelRidge().predict(XOR_X)


# ---- the perceptron


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("classes", [2, 3])
def test_the_linear_kernel_is_the_perceptron(classes, use_bias):
    rng = np.random.default_rng(classes)
    x = rng.integers(-5, 6, (60, 3)).astype(float)  # exact sums: the same mistakes
    w = rng.standard_normal((classes, 3))
    y = (x @ w.T).argmax(1)
    keep = np.abs(x).sum(1) > 0
    x, y = x[keep], y[keep]
    primal = Perceptron(use_bias=use_bias, max_epochs=3000).fit(x, y)
    dual = KernelPerceptron("linear", use_bias=use_bias, max_epochs=3000).fit(x, y)
    assert primal.separable_ and dual.separable_
    assert primal.mistakes_ == dual.mistakes_ and primal.n_updates_ == dual.n_updates_
    # w = sum alpha_i x_i, b = sum alpha_i
    np.testing.assert_array_equal(dual.dual_coef_.T @ dual.support_vectors_, primal.weights_)
    if use_bias:
        np.testing.assert_array_equal(dual.dual_coef_.sum(0), primal.bias_)
    new = rng.standard_normal((20, 3))
    np.testing.assert_allclose(
        dual.decision_function(new), primal.decision_function(new), atol=1e-10
    )


def test_the_counts_are_those_of_the_mistakes():
    x, y = points(50, 2), (np.square(points(50, 2)).sum(1) > 1.5).astype(int)
    model = KernelPerceptron(sigma=0.8).fit(x, y)
    gram, alpha, updates = rbf(x, x, 0.8) + 1, np.zeros(50), 0
    while True:
        wrong = 0
        for i in range(50):
            answer = int(alpha @ gram[:, i] >= 0)
            if answer != y[i]:
                alpha[i] += y[i] - answer
                wrong += 1
        updates += wrong
        if not wrong:
            break
    assert model.separable_ is True and model.n_updates_ == updates
    np.testing.assert_array_equal(model.support_, np.flatnonzero(alpha))
    np.testing.assert_array_equal(model.dual_coef_, alpha[alpha != 0])
    np.testing.assert_array_equal(model.support_vectors_, x[alpha != 0])
    assert model.score(x, y) == 1.0


@pytest.mark.parametrize("options", [{}, {"kernel": "polynomial", "degree": 2}])
def test_exclusive_or(options):
    model = KernelPerceptron(**options).fit(XOR_X, XOR_Y)
    assert model.separable_ is True
    assert model.predict(XOR_X).tolist() == XOR_Y


def test_any_labels_of_different_points_are_separable_by_the_gaussian_kernel():
    x = points(40)
    y = np.random.default_rng(9).permutation(["a", "b", "c", "d"] * 10)
    model = KernelPerceptron(sigma=0.5).fit(x, y)
    assert model.separable_ is True
    assert model.predict(x).tolist() == y.tolist()
    assert model.dual_coef_.shape == (len(model.support_), 4)


def test_the_same_point_with_two_labels():
    x, y = [[0.0], [0.0], [1.0], [2.0]], [0, 1, 1, 1]
    model = KernelPerceptron(sigma=0.5, max_epochs=30).fit(x, y)
    assert model.separable_ is None and len(model.mistakes_) == 30
    assert model.score(x, y) == 0.75


def test_misuse_of_the_perceptron():
    with pytest.raises(ValueError, match="unknown kernel 'gauss'"):
        KernelPerceptron("gauss")
    with pytest.raises(RuntimeError, match=r"call fit\(x, y\) before"):
        KernelPerceptron().predict(XOR_X)
    with pytest.raises(ValueError, match=r"\(N, 2\)"):
        KernelPerceptron().fit(XOR_X, XOR_Y).predict([[1]])
    with pytest.raises(ValueError, match="y has 1 class"):
        KernelPerceptron().fit(XOR_X, [1, 1, 1, 1])
    with pytest.raises(ValueError, match="max_epochs is 0"):
        KernelPerceptron(max_epochs=0)
