"""Line searches, and the promise of all that use them: the loss never rises."""

import math

import numpy as np
import pytest

import convkit as ck
from convkit.optimizers.line import Evaluations, Line
from convkit.optimizers.line_search import (
    Backtracking,
    Brent,
    GoldenSection,
    LineSearch,
    StrongWolfe,
    bracket,
    get,
)

SEARCHES = [Backtracking(), GoldenSection(), Brent(), StrongWolfe()]
NAMES = ["armijo", "golden_section", "brent", "wolfe"]


def line(phi, slope):
    """A ray along which a function of one number is seen; counts in `evaluations`."""
    evaluations = Evaluations(lambda w: (phi(w[0]), np.array([slope(w[0])])))
    return Line(evaluations, evaluations.point(np.zeros(1)), np.ones(1)), evaluations


def parabola(minimum, curvature=2.0):
    return (
        lambda t: curvature / 2 * (t - minimum) ** 2,
        lambda t: curvature * (t - minimum),
    )


# phi and phi', with the step that has the lowest loss
FUNCTIONS = {
    "parabola": (*parabola(3.0), 3.0),
    "steep parabola": (*parabola(1e-4, 1e6), 1e-4),
    "far parabola": (*parabola(1e5, 1e-3), 1e5),
    "quartic": (lambda t: (t - 2) ** 4, lambda t: 4 * (t - 2) ** 3, 2.0),
    "exponential": (lambda t: math.exp(t) - 4 * t, lambda t: math.exp(t) - 4, math.log(4)),
    "absolute": (lambda t: abs(t - 1), lambda t: math.copysign(1, t - 1), 1.0),
    # More and Thuente 1994, equation 5.1, with beta = 2
    "more-thuente": (
        lambda t: -t / (t * t + 2),
        lambda t: (t * t - 2) / (t * t + 2) ** 2,
        math.sqrt(2),
    ),
    # falls for ever beyond a wall where it is no number
    "wall": (
        lambda t: -t + 0.5 * t * t if t < 1.5 else math.nan,
        lambda t: t - 1 if t < 1.5 else math.nan,
        1.0,
    ),
}


@pytest.mark.parametrize("first", [1e-3, 0.7, 1.0, 50.0])
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("search", SEARCHES, ids=NAMES)
def test_a_search_finds_a_lower_loss(search, name, first):
    phi, slope, _ = FUNCTIONS[name]
    ray, evaluations = line(phi, slope)
    step = search(ray, first)
    assert step > 0 and phi(step) < phi(0.0)
    assert evaluations.count < 80


@pytest.mark.parametrize("first", [1e-3, 1.0, 50.0])
@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    ("search", "bound"), [(Brent(1e-6), 1e-5), (GoldenSection(1e-6), 2e-6)], ids=["brent", "golden"]
)
def test_line_minimisation_finds_the_minimum(search, bound, name, first):
    phi, slope, minimum = FUNCTIONS[name]
    ray, _ = line(phi, slope)
    if name == "quartic":
        bound = 1e-3  # flat: the loss differs by less than its rounding
    assert search(ray, first) == pytest.approx(minimum, rel=bound)


def test_brent_needs_fewer_evaluations_than_the_golden_section():
    counts = {}
    for search in (Brent(1e-6), GoldenSection(1e-6)):
        phi, slope, _ = FUNCTIONS["exponential"]
        ray, evaluations = line(phi, slope)
        search(ray, 0.5)
        counts[type(search).__name__] = evaluations.count
    assert counts["Brent"] <= 15 and counts["GoldenSection"] >= 2 * counts["Brent"]


@pytest.mark.parametrize("first", [1e-3, 0.7, 50.0])
@pytest.mark.parametrize("name", [n for n in FUNCTIONS if n not in ("absolute", "wall")])
@pytest.mark.parametrize("curvature", [0.9, 0.1, 1e-3])
def test_strong_wolfe_conditions_hold(curvature, name, first):
    phi, slope, _ = FUNCTIONS[name]
    ray, evaluations = line(phi, slope)
    t = StrongWolfe(1e-4, curvature)(ray, first)
    assert phi(t) <= phi(0.0) + 1e-4 * t * slope(0.0)
    assert abs(slope(t)) <= curvature * abs(slope(0.0))
    assert evaluations.count <= 1 + 20


def test_strong_wolfe_is_exact_on_a_parabola_after_one_interpolation():
    ray, evaluations = line(*parabola(3.0))
    assert StrongWolfe(curvature=1e-6)(ray, 1.0) == pytest.approx(3.0, rel=1e-14)
    assert evaluations.count == 3  # at 0, at 1, at 3
    ray, evaluations = line(*parabola(0.3))
    assert StrongWolfe(curvature=1e-6)(ray, 1.0) == pytest.approx(0.3, rel=1e-14)
    assert evaluations.count == 3


def test_armijo_condition_holds_and_its_negation_before():
    phi, slope = parabola(1.0)
    for first in (0.3, 1.0, 7.0, 1000.0):
        ray, _ = line(phi, slope)
        t = Backtracking(0.3)(ray, first)
        assert phi(t) <= phi(0) + 0.3 * t * slope(0)
        if t < first:
            assert phi(2 * t) > phi(0) + 0.3 * 2 * t * slope(0)


@pytest.mark.parametrize("search", SEARCHES, ids=NAMES)
def test_no_step_where_none_lowers_the_loss(search):
    """A gradient that lies: the loss rises in its direction."""
    ray, _ = line(lambda t: t * t, lambda t: -1.0)
    assert search(ray, 1.0) == 0.0
    ray, _ = line(lambda t: 0.0 if t == 0 else math.inf, lambda t: -1.0)
    assert search(ray, 1.0) == 0.0


def test_a_bracket_encloses_the_minimum():
    for name, (phi, slope, minimum) in FUNCTIONS.items():
        for first in (1e-3, 1.0, 100.0):
            ray, _ = line(phi, slope)
            found = bracket(ray, first, 60)
            assert found.a < minimum < found.c or name == "absolute", (name, first)
            assert found.loss_b < found.loss_a and found.loss_b <= found.loss_c


def test_an_unbounded_fall_ends():
    for search in SEARCHES:
        ray, evaluations = line(lambda t: -t, lambda t: -1.0)
        assert search(ray, 1.0) > 0
        assert evaluations.count < 80


def test_names_and_arguments():
    assert [type(get(name)).__name__ for name in NAMES] == [type(s).__name__ for s in SEARCHES]
    assert isinstance(ck.optimizers.SteepestDescent("wolfe").line_search, StrongWolfe)
    assert repr(Brent(0.1)) == "Brent(tolerance=0.1, max_evaluations=60)"
    with pytest.raises(ValueError, match="unknown line search 'bent'; did you mean 'brent'"):
        ck.optimizers.SteepestDescent(line_search="bent")
    with pytest.raises(TypeError, match=r"line_search must be a name or an object .*, not int"):
        ck.optimizers.SteepestDescent(line_search=3)
    with pytest.raises(ValueError, match="curvature is 1, expected a number above 0 and below 1"):
        StrongWolfe(curvature=1)
    with pytest.raises(ValueError, match="Brent: max_evaluations is 0, expected at least 1"):
        Brent(max_evaluations=0)
    with pytest.raises(NotImplementedError, match="LineSearch does not define __call__"):
        LineSearch()(None, 1.0)


def test_a_line_search_of_ones_own():
    class Constant(LineSearch):
        def __call__(self, line, first):
            return 0.01

    def bowl(w):
        return float(w @ w), 2 * w

    found = ck.optimizers.minimize(
        bowl, np.ones(3), ck.optimizers.SteepestDescent(Constant()), iterations=5
    )
    assert found.weights == pytest.approx(np.full(3, 0.98**5), rel=1e-12)


def random_function(rng):
    """A quadratic function, a chain of valleys, or a surface with many minima."""
    n = int(rng.integers(1, 12))
    kind = rng.integers(3)
    scale = 10.0 ** rng.uniform(-4, 4)
    if kind == 0:
        a = rng.standard_normal((n, n))
        a = scale * (a @ a.T + 10.0 ** rng.uniform(-6, 0) * np.eye(n))
        b = rng.standard_normal(n)
        return n, lambda w: (float(w @ a @ w / 2 - b @ w), a @ w - b)
    if kind == 1:
        n, k = n + 1, 10.0 ** rng.uniform(0, 4)

        def valley(w):
            bend = w[1:] - w[:-1] ** 2
            gradient = np.zeros_like(w)
            gradient[:-1] = -4 * k * w[:-1] * bend - 2 * (1 - w[:-1])
            gradient[1:] += 2 * k * bend
            return float((k * bend**2 + (1 - w[:-1]) ** 2).sum()), gradient

        return n, valley
    waves, phases = rng.standard_normal((2 * n, n)), rng.standard_normal(2 * n)

    def hills(w):
        angles = waves @ w + phases
        return (
            float(scale * (np.sin(angles).sum() + 0.01 * w @ w)),
            scale * (waves.T @ np.cos(angles) + 0.02 * w),
        )

    return n, hills


def methods(dtype):
    o = ck.optimizers
    return [
        *(o.SteepestDescent(name, dtype=dtype) for name in NAMES),
        *(o.ConjugateGradient(b, dtype=dtype) for b in ("polak_ribiere", "fletcher_reeves")),
        o.ConjugateGradient("hestenes_stiefel", line_search="brent", dtype=dtype),
        o.BFGS(dtype=dtype),
        o.LBFGS(dtype=dtype),
        o.LBFGS(3, "armijo", dtype=dtype),
    ]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_loss_never_rises_on_random_functions(dtype):
    """400 functions for each dtype; 100 networks for each are in test_full_batch.py."""
    for seed in range(400):
        rng = np.random.default_rng(seed)
        n, function = random_function(rng)
        start = (rng.standard_normal(n) * 10.0 ** rng.uniform(-1, 1)).astype(dtype)
        every = methods(dtype)
        found = ck.optimizers.minimize(function, start, every[seed % len(every)], iterations=15)
        assert (np.diff(found.losses) <= 0).all(), seed
        assert found.weights.dtype == dtype
        assert found.loss == function(found.weights)[0]
        assert found.loss < found.losses[0] or "gradient norm" in found.reason
