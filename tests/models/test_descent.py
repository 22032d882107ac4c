"""Conjugate gradients and quasi-Newton methods on functions whose minimum is known."""

import numpy as np
import pytest

import convkit as ck
from convkit.optimizers.line_search import StrongWolfe

optimizers = ck.optimizers
EXACT = StrongWolfe(curvature=1e-6)


def rosenbrock(w):
    """Rosenbrock 1960, in any number of dimensions; the minimum is at (1, ..., 1)."""
    bend = w[1:] - w[:-1] ** 2
    gradient = np.zeros_like(w)
    gradient[:-1] = -400 * w[:-1] * bend - 2 * (1 - w[:-1])
    gradient[1:] += 200 * bend
    return float((100 * bend**2 + (1 - w[:-1]) ** 2).sum()), gradient


# Evaluations of loss and gradient to a gradient norm of 1e-8, with a margin of a half. For
# comparison SciPy 1.17's CG, BFGS and L-BFGS-B take 80, 41 and 46 in 2 dimensions, and 527, 126 (to
# another minimum) and 96 in 10.
@pytest.mark.parametrize(
    ("make", "two", "ten"),
    [
        (optimizers.ConjugateGradient, 119, 286),
        (lambda: optimizers.ConjugateGradient("fletcher_reeves"), 120, 320),
        (lambda: optimizers.ConjugateGradient("hestenes_stiefel"), 119, 300),
        (optimizers.BFGS, 46, 101),
        (optimizers.LBFGS, 46, 98),
    ],
    ids=["polak_ribiere", "fletcher_reeves", "hestenes_stiefel", "bfgs", "lbfgs"],
)
def test_rosenbrock(make, two, ten):
    for n, expected in ((2, two), (10, ten)):
        found = optimizers.minimize(rosenbrock, [-1.2, 1.0] * (n // 2), make())
        assert found.weights == pytest.approx(np.ones(n), abs=1e-7)
        assert found.loss < 1e-15 and found.gradient_norm <= 1e-8
        assert found.evaluations <= 1.5 * expected
        assert (np.diff(found.losses) <= 0).all()
        assert found.reason == f"gradient norm {found.gradient_norm:.3g} is not above 1e-08"


def test_steepest_descent_zigzags_where_the_others_do_not():
    found = optimizers.minimize(
        rosenbrock, [-1.2, 1.0], optimizers.SteepestDescent(), iterations=300
    )
    assert 1e-3 < found.loss < 2  # in the valley, far from its end
    assert found.reason == "all 300 iterations done"


def quadratic(n, seed, condition=100.0):
    rng = np.random.default_rng(seed)
    q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    a = q * np.geomspace(1, condition, n) @ q.T
    b = rng.standard_normal(n)
    return (lambda w: (float(w @ a @ w / 2 - b @ w), a @ w - b)), np.linalg.solve(a, b)


@pytest.mark.parametrize("beta", ["polak_ribiere", "fletcher_reeves", "hestenes_stiefel"])
@pytest.mark.parametrize("n", [1, 2, 5, 13])
def test_conjugate_gradients_are_exact_after_n_steps_on_a_quadratic(beta, n):
    for seed in range(5):
        function, minimum = quadratic(n, seed)
        method = optimizers.ConjugateGradient(beta, line_search=EXACT)
        found = optimizers.minimize(function, np.zeros(n), method, iterations=n)
        assert found.weights == pytest.approx(minimum, abs=1e-5 * abs(minimum).max())
        if n > 2:
            half = optimizers.minimize(
                function, np.zeros(n), optimizers.ConjugateGradient(beta, line_search=EXACT), n // 2
            )
            assert abs(half.weights - minimum).max() > 1e-3 * abs(minimum).max()


def test_conjugate_gradients_with_exact_steps_are_those_of_hestenes_and_stiefel():
    """The linear method (Nocedal and Wright, algorithm 5.2), step by step."""
    n = 6
    rng = np.random.default_rng(0)
    a = rng.standard_normal((n, n))
    a, b = a @ a.T + np.eye(n), rng.standard_normal(n)
    w, r, p = np.zeros(n), -b, b
    for k in range(1, 5):
        alpha = r @ r / (p @ a @ p)
        w = w + alpha * p
        new = r + alpha * a @ p
        p = -new + new @ new / (r @ r) * p
        r = new
        found = optimizers.minimize(
            lambda w: (float(w @ a @ w / 2 - b @ w), a @ w - b),
            np.zeros(n),
            optimizers.ConjugateGradient(line_search=EXACT),
            iterations=k,
        )
        assert found.weights == pytest.approx(w, rel=1e-6, abs=1e-8)


def test_bfgs_finds_the_inverse_hessian():
    """On a quadratic, with exact steps, after n iterations (Nocedal and Wright, theorem 6.4)."""
    n = 6
    function, minimum = quadratic(n, 3, condition=10)
    hessian = np.array([function(e)[1] - function(np.zeros(n))[1] for e in np.eye(n)])
    method = optimizers.BFGS(line_search=EXACT, tolerance=0.0)
    evaluations = ck.optimizers.line.Evaluations(function)
    point, memory = evaluations.point(np.ones(n)), {}
    for _ in range(n):
        point, memory, _, _ = method.iterate(evaluations, point, memory)
    assert memory["inverse_hessian"] == pytest.approx(np.linalg.inv(hessian), abs=1e-5)
    assert point.weights == pytest.approx(minimum, abs=1e-6)


def test_bfgs_and_lbfgs_go_the_same_way_while_all_pairs_are_remembered():
    """From a start H = gamma I that is the same for both, which L-BFGS scales anew each time."""
    pairs = []
    rng = np.random.default_rng(1)
    function, _ = quadratic(5, 1)
    w = rng.standard_normal(5)
    for _ in range(4):
        step = rng.standard_normal(5)
        pairs.append((step, function(w + step)[1] - function(w)[1]))
        w = w + step
    s, y = pairs[-1]
    h = np.eye(5) * (s @ y) / (y @ y)
    for s, y in pairs:  # equation 6.17 as it stands
        v = np.eye(5) - np.outer(s, y) / (s @ y)
        h = v @ h @ v.T + np.outer(s, s) / (s @ y)
    memory = {
        "weight_changes": tuple(s for s, _ in pairs),
        "gradient_changes": tuple(y for _, y in pairs),
    }
    point = ck.optimizers.line.Evaluations(function).point(w)
    assert optimizers.LBFGS().direction(point, memory) == pytest.approx(
        -h @ point.gradient, rel=1e-9
    )


@pytest.mark.parametrize("size", [1, 2, 5])
def test_lbfgs_remembers_so_many_pairs(size):
    method = optimizers.LBFGS(size)
    evaluations = ck.optimizers.line.Evaluations(rosenbrock)
    point, memory = evaluations.point(np.array([-1.2, 1.0, 0.5])), {}
    changes = []
    for k in range(7):
        before = point
        point, memory, _, _ = method.iterate(evaluations, point, memory)
        changes.append(point.weights - before.weights)
        assert len(memory["weight_changes"]) == min(k + 1, size)
        for kept, change in zip(memory["weight_changes"][::-1], changes[::-1], strict=False):
            assert np.array_equal(kept, change)


def test_a_pair_without_curvature_is_left_out():
    """Between two hills the gradient says that the function curves downwards."""

    def wave(w):
        return float(np.cos(w[0])), -np.sin(w)

    method = optimizers.LBFGS(line_search="armijo", learning_rate=0.1)
    evaluations = ck.optimizers.line.Evaluations(wave)
    point = evaluations.point(np.array([0.1]))
    point, memory, logs, _ = method.iterate(evaluations, point, {})
    assert logs["step_size"] == pytest.approx(0.1) and memory == {}
    assert optimizers.minimize(wave, [0.1], "lbfgs").weights == pytest.approx([np.pi], abs=1e-8)
    assert optimizers.minimize(wave, [0.1], "bfgs").weights == pytest.approx([np.pi], abs=1e-8)


def test_a_trial_that_is_no_number_shortens_the_step():
    def barrier(w):  # no number above 1
        w = w[0]
        return -np.log(1 - w) - 2 * w, np.array([1 / (1 - w) - 2])

    for method in ("steepest_descent", "cg", "bfgs", "lbfgs"):
        found = optimizers.minimize(barrier, [-50.0], method)
        assert found.weights == pytest.approx([0.5], abs=1e-7)
    with pytest.raises(ValueError, match="not finite at the start"):
        optimizers.minimize(barrier, [2.0])


def test_training_ends_where_no_step_helps():
    """Steep to both sides: the gradient never becomes small, and rounding ends the search."""

    def kink(w):
        return float(abs(w[0] - 0.3)), np.where(w < 0.3, -1.0, 1.0)

    for method in ("steepest_descent", "cg", "lbfgs"):
        found = optimizers.minimize(kink, [1.0], method)
        assert found.reason == "no step along the direction lowers the loss"
        assert found.loss < 1e-3 and found.iterations < 100


def test_what_is_not_supported_is_refused():
    for cls in (
        optimizers.SteepestDescent,
        optimizers.ConjugateGradient,
        optimizers.BFGS,
        optimizers.LBFGS,
    ):
        name = cls.__name__
        with pytest.raises(TypeError, match=f"{name}: clipnorm is not supported: a step finds"):
            cls(clipnorm=1.0)
        with pytest.raises(TypeError, match=f"{name}: global_clipnorm is not supported"):
            cls(global_clipnorm=1.0)
        with pytest.raises(TypeError, match=f"{name}: weight_decay .* kernel_regularizer"):
            cls(weight_decay=0.1)
        with pytest.raises(TypeError, match=f"{name}: maximize is not supported: minimise a loss"):
            cls(maximize=True)
        with pytest.raises(TypeError, match=f"{name}: learning_rate is the length of the first"):
            cls(learning_rate=ck.schedules.ExponentialDecay(0.1, 10, 0.9))
        with pytest.raises(ValueError, match="unknown dtype 'float16'; did you mean"):
            cls(dtype="float16")
        with pytest.raises(ValueError, match="tolerance is -1, expected a number of at least 0"):
            cls(tolerance=-1)
        with pytest.raises(TypeError, match="weight_decay is not supported"):
            cls().weight_decay = 0.1
        with pytest.raises(AttributeError, match="did you mean 'tolerance'"):
            cls().tolerence = 1
    with pytest.raises(ValueError, match="unknown beta 'polak_ribier'; did you mean"):
        optimizers.ConjugateGradient("polak_ribier")
    with pytest.raises(ValueError, match="restart_every is 0"):
        optimizers.ConjugateGradient(restart_every=0)
    with pytest.raises(ValueError, match="memory_size is 0"):
        optimizers.LBFGS(0)
    with pytest.raises(ValueError, match=r"20000 weights takes 3,200,000,000 bytes.*\"lbfgs\""):
        optimizers.BFGS().check_size(20_000)
    with pytest.raises(TypeError, match=r"Adam takes batches of data.*\"lbfgs\""):
        optimizers.minimize(rosenbrock, np.ones(2), "adam")


@pytest.mark.parametrize(
    ("names", "cls"),
    [
        (("steepest_descent",), "SteepestDescent"),
        (("conjugate_gradient", "cg"), "ConjugateGradient"),
        (("bfgs", "BFGS"), "BFGS"),
        (("lbfgs", "l-bfgs", "L-BFGS"), "LBFGS"),
        (("levenberg_marquardt", "lm"), "LevenbergMarquardt"),
    ],
)
def test_names(names, cls):
    assert [type(optimizers.get(name)).__name__ for name in names] == [cls] * len(names)


@pytest.mark.parametrize("method", ["lbfgs", "conjugate_gradient", "levenberg_marquardt"])
def test_a_function_may_change_its_argument_and_use_its_arrays_again(method):
    squares = method == "levenberg_marquardt"

    def residuals(w):
        return np.array([10 * (w[1] - w[0] ** 2), 1 - w[0]]), np.array([[-20 * w[0], 10], [-1, 0]])

    plain = residuals if squares else rosenbrock
    first, second = (np.zeros(2), np.zeros((2, 2))) if squares else (None, np.zeros(2))

    def careless(w):
        a, second[:] = plain(w)
        w[:] = np.nan
        if first is None:
            return a, second
        first[:] = a
        return [first, second]

    want = optimizers.minimize(plain, [-1.2, 1.0], method)
    found = optimizers.minimize(careless, [-1.2, 1.0], method)
    assert want.weights == pytest.approx([1, 1], abs=1e-7)
    assert found.losses == want.losses
    np.testing.assert_array_equal(found.weights, want.weights)


@pytest.mark.parametrize(
    ("function", "options", "kind", "text"),
    [
        (lambda w: w @ w, {}, TypeError, "two things, loss and gradient, not float64"),
        (lambda w: (w @ w, w[:1]), {}, ValueError, r"shape \(2,\), not shapes \(\) and \(1,\)"),
        (lambda w: (w[:1] ** 2, w), {}, ValueError, r"not shapes \(1,\) and \(2,\)"),
        (
            lambda w: (w, w),
            {"optimizer": "lm"},
            ValueError,
            r"jacobian of shape \(m, 2\), not shapes \(2,\) and \(2,\)",
        ),
        (rosenbrock, {"start": np.ones((2, 2))}, ValueError, r"vector, not of shape \(2, 2\)"),
        (rosenbrock, {"iterations": -1}, ValueError, "iterations is -1"),
    ],
)
def test_functions_that_cannot_be_minimised(function, options, kind, text):
    with pytest.raises(kind, match=text):
        optimizers.minimize(function, **{"start": [1.0, 2.0], **options})
