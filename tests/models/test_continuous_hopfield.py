"""The continuous Hopfield network: its equation, its energy, integrators, tours and queens."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit.models.hopfield import (
    anneal,
    hopfield_tank_network,
    hopfield_tsp,
    queens_network,
    tsp_network,
)
from convkit.ops.registry import Array

Continuous = ck.models.ContinuousHopfield
ACTIVATIONS = ("sigmoid", "tanh")


def random_network(seed: int = 0, n: int = 6, **options: Any) -> Any:
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((n, n))
    options = {
        "capacitance": rng.uniform(0.5, 2, n),
        "resistance": rng.uniform(0.5, 2, n),
        "gain": 3.0,
        **options,
    }
    return Continuous(w + w.T, rng.standard_normal(n), **options)


def random_inputs(seed: int = 1, count: int = 5, n: int = 6) -> Array:
    return np.random.default_rng(seed).standard_normal((count, n))


# ---- equation and energy


def test_derivative_by_the_equation() -> None:
    net = random_network()
    u = random_inputs()
    got = net.derivative(u)
    for b, i in np.ndindex(u.shape):
        v = [1 / (1 + math.exp(-3.0 * x)) for x in u[b]]
        drive = sum(net.weights[i, j] * v[j] for j in range(6)) + net.currents[i]
        expected = (drive - u[b, i] / net.resistance[i]) / net.capacitance[i]
        assert got[b, i] == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_energy_by_its_definition(activation: str) -> None:
    """The integral of g^-1 by Gauss's rule, from 0 as Hopfield has it."""
    net = random_network(activation=activation)
    u = random_inputs()
    nodes, weights = np.polynomial.legendre.leggauss(400)
    for b in range(len(u)):
        v = net.outputs(u[b])
        integral = [float((weights * net.inputs(x / 2 * (nodes + 1))).sum() * x / 2) for x in v]
        expected = -v @ net.weights @ v / 2 - net.currents @ v
        expected += (np.array(integral) / net.resistance).sum()
        assert net.energy(u[b]) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_energy_is_finite_where_outputs_saturate(activation: str) -> None:
    net = Continuous(np.zeros((2, 2)), gain=100.0, activation=activation)
    u = np.array([[1e3, -1e3], [1e300, 5.0]])
    # sigmoid: v log v + (1 - v) log(1 - v) is 0 in the corners; tanh: log 2.
    expected = 0.0 if activation == "sigmoid" else 2 * math.log(2) / 100
    np.testing.assert_allclose(net.energy(u[:1]), expected, atol=1e-9)


def test_outputs_and_inputs_are_inverse() -> None:
    for activation in ACTIVATIONS:
        net = random_network(activation=activation)
        u = random_inputs()
        np.testing.assert_allclose(net.inputs(net.outputs(u)), u, rtol=1e-9)
    assert Continuous([[0.0]]).inputs([0.0, 0.5, 1.0]).tolist() == [-math.inf, 0.0, math.inf]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_energy_falls_at_the_rate_of_the_theorem(activation: str) -> None:
    """dE/dt = -sum C g'(u) (du/dt)^2, by central differences along the flow."""
    net = random_network(activation=activation)
    u, h = random_inputs(), 1e-4
    rate = (net.energy(u + h * net.derivative(u)) - net.energy(u - h * net.derivative(u))) / (2 * h)
    v = net.outputs(u)
    slope = 3 * v * (1 - v) if activation == "sigmoid" else 3 * (1 - v**2)
    expected = -(net.capacitance * slope * net.derivative(u) ** 2).sum(axis=1)
    np.testing.assert_allclose(rate, expected, rtol=1e-6)
    assert (expected < 0).all()


@pytest.mark.parametrize("method", ["euler", "rk4"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_energy_never_rises_along_trajectories(method: str, activation: str) -> None:
    for seed in range(5):
        net = random_network(seed, activation=activation)
        path = net.simulate(random_inputs(seed, 20), 100, method=method)
        assert np.diff(path.energy, axis=0).max() <= 1e-12
        assert np.abs(net.derivative(path.u[-1])).max() < 1e-3  # at rest


# ---- integrators


def test_decay_in_closed_form_and_orders() -> None:
    """W = 0: u(t) = R I + (u0 - R I) exp(-t / RC); halving dt divides the error by 2 and by 16."""
    net = Continuous(np.zeros((3, 3)), [1.0, -2.0, 0.5], capacitance=[1, 2, 0.5], resistance=2.0)
    u0 = np.array([3.0, 1.0, -1.0])
    limit = net.resistance * net.currents
    exact = limit + (u0 - limit) * np.exp(-1.0 / (net.resistance * net.capacitance))
    for method, order in (("euler", 1), ("rk4", 4)):
        errors = []
        for dt in (0.1, 0.05, 0.025):
            end = net.simulate(u0, 1.0, dt=dt, method=method).u[-1]
            errors.append(np.abs(end - exact).max())
        orders = np.log2(np.array(errors[:-1]) / errors[1:])
        np.testing.assert_allclose(orders, order, atol=0.15)


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("rk4", 4)])
def test_orders_with_weights_by_richardson(method: str, order: int) -> None:
    net = random_network(gain=1.0)
    ends = [net.simulate(random_inputs(), 1.0, dt=2.0**-k, method=method).u[-1] for k in (5, 6, 7)]
    differences = [np.abs(a - b).max() for a, b in itertools.pairwise(ends)]
    assert np.log2(differences[0] / differences[1]) == pytest.approx(order, abs=0.2)


def test_a_batch_is_its_states_and_recording() -> None:
    net = random_network()
    u = random_inputs()
    batch = net.simulate(u, 1.0, dt=0.05)
    assert batch.u.shape == batch.v.shape == (21, 5, 6) and batch.energy.shape == (21, 5)
    np.testing.assert_allclose(batch.t, np.arange(21) * 0.05)
    one = net.simulate(u[2], 1.0, dt=0.05, record_every=7)
    np.testing.assert_allclose(one.t, [0, 0.35, 0.7, 1.0])
    np.testing.assert_allclose(one.u, batch.u[[0, 7, 14, 20], 2], rtol=1e-12)
    settled = net.simulate(u, 1000, tolerance=1e-6)
    assert settled.settled and settled.t[-1] < 1000
    assert np.abs(net.derivative(settled.u[-1])).max() < 1e-6
    assert not batch.settled


def test_high_gain_finds_the_fixed_points_of_the_discrete_network() -> None:
    """Stable outputs near the corners are stable states of the discrete network."""
    x = np.random.default_rng(3).integers(0, 2, (3, 40)) * 2 - 1
    memory = ck.models.Hopfield(40, dtype="float64")
    memory.store(x)
    net = Continuous(memory.weights, gain=50.0, activation="tanh")
    noisy = np.where(np.random.default_rng(4).random(x.shape) < 0.1, -x, x)
    v = net.simulate(0.1 * noisy, 20, dt=0.02).v[-1]
    np.testing.assert_array_equal(np.sign(v), memory.recall(noisy).states)
    assert np.abs(v).min() > 0.99


# ---- problems


def tour_energy(d: Array, v: Array, a: float, b: float, e: float) -> float:
    n = len(d)
    total = a / 2 * ((v.sum(axis=1) - 1) ** 2).sum() + b / 2 * ((v.sum(axis=0) - 1) ** 2).sum()
    for x, y, i in itertools.product(range(n), repeat=3):
        total += e / 2 * d[x, y] * v[x, i] * (v[y, (i + 1) % n] + v[y, (i - 1) % n])
    return float(total)


def cities(n: int, seed: int = 0) -> Array:
    x = np.random.default_rng(seed).random((n, 2))
    return np.asarray(np.linalg.norm(x[:, None] - x, axis=2))


def shortest(d: Array) -> float:
    rest = np.array(list(itertools.permutations(range(1, len(d)))))
    tours = np.hstack([np.zeros((len(rest), 1), int), rest])
    return float(d[tours, np.roll(tours, -1, axis=1)].sum(axis=1).min())


def quadratic(net: Any, v: Array) -> float:
    """The energy without the integral."""
    return float(-v @ net.weights @ v / 2 - net.currents @ v)


@pytest.mark.parametrize("n", [3, 5])
def test_tsp_energies_are_those_of_the_papers(n: int) -> None:
    rng = np.random.default_rng(n)
    d = cities(n)
    v = rng.random((n, n))
    got = quadratic(tsp_network(d, a=1.5, b=0.7, d=0.4), v.ravel())
    assert got == pytest.approx(tour_energy(d / d.max(), v, 1.5, 0.7, 0.4) - n * (1.5 + 0.7) / 2)
    rows = sum(v[x, i] * v[x, j] for x in range(n) for i in range(n) for j in range(n) if i != j)
    columns = sum(v[x, i] * v[y, i] for i in range(n) for x in range(n) for y in range(n) if x != y)
    expected = 3 / 2 * rows + 4 / 2 * columns + 2 / 2 * (v.sum() - 1.5 * n) ** 2
    expected += tour_energy(d, v, 0, 0, 5)
    got = quadratic(hopfield_tank_network(d, a=3, b=4, c=2, d=5), v.ravel())
    assert got == pytest.approx(expected - 2 / 2 * (1.5 * n) ** 2)


def test_queens_energy_counts_attacks() -> None:
    net = queens_network(4, a=1.0, d=1.0)
    solution = np.zeros((4, 4))
    solution[range(4), [1, 3, 0, 2]] = 1
    assert quadratic(net, solution.ravel()) == -4.0  # the constant: 2 n a / 2
    diagonal = np.eye(4)
    assert quadratic(net, diagonal.ravel()) == -4.0 + 6  # pairs of queens


@pytest.mark.parametrize("n", [5, 6, 7, 8])
def test_tours_are_valid_and_short(n: int) -> None:
    d = cities(n, n)
    result = hopfield_tsp(d, restarts=20, duration=400, seed=0)
    best = shortest(d)
    assert result.success_rate > 0.8
    assert best - 1e-12 <= result.length <= 1.05 * best
    assert result.lengths[result.valid].mean() < 1.15 * best
    tour = result.tour
    assert tour is not None and sorted(tour) == list(range(n))
    assert result.length == pytest.approx(d[tour, np.roll(tour, -1)].sum(), rel=1e-12)


def test_the_paper_of_1985_often_ends_in_no_tour() -> None:
    result = hopfield_tsp(cities(5), method="hopfield_tank", restarts=10, duration=0.005, seed=0)
    assert 0 <= result.success_rate < 1
    assert (result.tours[~result.valid] == -1).all()
    assert np.isinf(result.lengths[~result.valid]).all()
    assert (result.tour is None) == (not result.valid.any())


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8])
def test_queens(n: int) -> None:
    result = ck.models.hopfield_queens(n, restarts=40, duration=400, seed=0)
    assert result.success_rate > (0.8 if n < 6 else 0.05)
    assert result.boards.shape == (40, n, n)
    for columns in result.solutions:
        assert len(set(columns)) == n
        rows = np.arange(n)
        assert len(set(rows + columns)) == len(set(rows - columns)) == n
    again = ck.models.hopfield_queens(n, restarts=40, duration=400, seed=0)
    assert (again.boards == result.boards).all()


# ---- misuse

NET = Continuous(np.zeros((2, 2)))
W = np.array([[0, 1.0], [1, 0]])


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "not symmetric", lambda: Continuous([[0, 1], [2, 0]])),
        (ValueError, r"shape \(1, 2\)", lambda: Continuous(W[:1])),
        (ValueError, "NaN or infinity", lambda: Continuous(W * np.nan)),
        (ValueError, r"currents has shape \(3,\)", lambda: Continuous(W, [1, 2, 3])),
        (ValueError, "currents contain NaN", lambda: Continuous(W, [1, np.nan])),
        (ValueError, "gain is -1", lambda: Continuous(W, gain=-1)),
        (ValueError, "gain is nan", lambda: Continuous(W, gain=float("nan"))),
        (ValueError, "resistance must be positive", lambda: Continuous(W, resistance=-1)),
        (ValueError, "resistance must be positive", lambda: Continuous(W, resistance=[1, 0])),
        (ValueError, "capacitance must be positive", lambda: Continuous(W, capacitance=0)),
        (ValueError, "unknown activation 'relu'", lambda: Continuous(W, activation="relu")),
        (ValueError, "the network 2 neurons", lambda: NET.simulate([1.0], 1)),
        (ValueError, "u contains NaN", lambda: NET.simulate([1.0, np.nan], 1)),
        (
            ValueError,
            "expected 0 < dt < 2:",
            lambda: NET.step([1.0, 1], 2.0, "euler"),
        ),
        (ValueError, "expected 0 < dt < 2.785", lambda: NET.step([1.0, 1], 3.0)),
        (ValueError, "dt is -1", lambda: NET.step([1.0, 1], -1)),
        (ValueError, "dt is nan", lambda: NET.step([1.0, 1], float("nan"))),
        (ValueError, "unknown method 'rk5'", lambda: NET.step([1.0, 1], 0.1, "rk5")),
        (ValueError, "duration is 0", lambda: NET.simulate([1.0, 1], 0, dt=0.1)),
        (ValueError, "duration is 0", lambda: NET.simulate([1.0, 1], 0)),
        (ValueError, r"duration is -1\.0", lambda: NET.simulate([1.0, 1], -1.0)),
        (ValueError, "record_every is 0", lambda: NET.simulate([1.0, 1], 1, record_every=0)),
        (ValueError, r"outputs must lie in \[0, 1\]", lambda: NET.inputs([1.5])),
        (ValueError, r"shape \(2, 2\), expected .* n >= 3", lambda: hopfield_tsp(W)),
        (ValueError, "symmetric", lambda: hopfield_tsp(np.triu(np.ones((4, 4)), 1))),
        (ValueError, "0 on the diagonal", lambda: hopfield_tsp(np.ones((4, 4)))),
        (ValueError, "unknown method", lambda: hopfield_tsp(1 - np.eye(4), method="brute")),
        (ValueError, "2 and 3 have no solution", lambda: ck.models.hopfield_queens(3)),
        (
            TypeError,
            r"\[hopfield_queens\] n must be a whole number, not 8\.5",
            lambda: ck.models.hopfield_queens(8.5),  # type: ignore[arg-type]
        ),
        (
            TypeError,
            r"\[queens\] n must be a whole number, not 8\.5",
            lambda: queens_network(8.5),  # type: ignore[arg-type]
        ),
        (
            TypeError,
            r"\[hopfield_tsp\] restarts must be a whole number, not 2\.5",
            lambda: hopfield_tsp(1 - np.eye(4), restarts=2.5),  # type: ignore[arg-type]
        ),
        (ValueError, r"\[anneal\] restarts is 0", lambda: anneal(NET, 0)),
        (ValueError, "duration positive", lambda: anneal(NET, 1, duration=float("inf"))),
        (ValueError, "sigmoid", lambda: anneal(Continuous(W, activation="tanh"), 1)),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_step_too_large_for_the_weights_is_told() -> None:
    net = Continuous(-20 * (np.ones((4, 4)) - np.eye(4)), gain=10.0)
    with pytest.warns(RuntimeWarning, match="the energy rose by .* stable_dt"):
        net.simulate([0.1, 0.2, 0.3, 0.4], 20, dt=1.0, method="euler")
