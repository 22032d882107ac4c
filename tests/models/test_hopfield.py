"""The discrete Hopfield network: storage rules, both alphabets, recall, capacity."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit.models.hopfield import bit_error, capacity_curve
from convkit.ops.registry import Array

Hopfield = ck.models.Hopfield
RULES = ("hebb", "pseudo_inverse", "storkey")


def random_patterns(count: int, n: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 2, (count, n)) * 2 - 1


def random_network(rng: np.random.Generator, n: int, alphabet: str) -> Any:
    """Whole weights and thresholds, so that fields and energies are exact."""
    w = np.tril(rng.integers(-5, 6, (n, n)), -1)
    return Hopfield.from_weights(w + w.T, rng.integers(-6, 7, n), alphabet=alphabet)


# ---- storage


def test_hebb_by_hand() -> None:
    net = Hopfield(4, dtype="float64")
    net.store([[1, 1, -1, -1], [1, -1, 1, -1]])
    expected = np.array([[0, 0, 0, -2], [0, 0, -2, 0], [0, -2, 0, 0], [-2, 0, 0, 0]]) / 4
    np.testing.assert_array_equal(net.weights, expected)
    np.testing.assert_array_equal(net.thresholds, np.zeros(4))


def test_pseudo_inverse_is_the_projection_without_its_diagonal() -> None:
    x = random_patterns(12, 40).astype(float)
    net = Hopfield(40, "pseudo_inverse", dtype="float64")
    net.store(x)
    expected = np.linalg.pinv(x) @ x
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(net.weights, expected, atol=1e-13)


def test_storkey_by_its_definition() -> None:
    n, patterns = 7, random_patterns(5, 7)
    w = np.zeros((n, n))
    for x in patterns:
        old = w.copy()
        h = np.array([
            [sum(old[i, k] * x[k] for k in range(n) if k not in (i, j)) for j in range(n)]
            for i in range(n)
        ])  # fmt: skip
        for i, j in itertools.permutations(range(n), 2):
            w[i, j] = old[i, j] + (x[i] * x[j] - x[i] * h[j, i] - h[i, j] * x[j]) / n
    net = Hopfield(n, "storkey", dtype="float64")
    net.store(patterns)
    np.testing.assert_allclose(net.weights, w, atol=1e-15)


@pytest.mark.parametrize("rule", RULES)
def test_patterns_may_come_one_by_one(rule: str) -> None:
    x = random_patterns(8, 50)
    x[5] = x[1]  # nothing new
    together, apart = Hopfield(50, rule, dtype="float64"), Hopfield(50, rule, dtype="float64")
    together.store(x)
    for pattern in x:
        apart.store(pattern)
    np.testing.assert_allclose(apart.weights, together.weights, atol=1e-13)
    np.testing.assert_array_equal(apart.patterns, x)
    w = together.weights
    assert (w == w.T).all() and not np.diagonal(w).any()


def test_pseudo_inverse_and_storkey_hold_more_than_hebb() -> None:
    x = random_patterns(50, 100)
    stable = []
    for rule in RULES:
        net = Hopfield(100, rule)
        net.store(x)
        stable.append(float((net.recall(x, "synchronous", max_sweeps=1).states == x).mean()))
    assert stable[0] < 0.95 < stable[2] < stable[1] == 1.0


def test_pseudo_inverse_recalls_correlated_patterns() -> None:
    rng = np.random.default_rng(2)
    x = np.where(rng.random((10, 200)) < 0.8, 1, -1)
    net = Hopfield(200, "pseudo_inverse")
    net.store(x)
    noisy = np.where(rng.random(x.shape) < 0.05, -x, x)
    np.testing.assert_array_equal(net.recall(noisy).states, x)


# ---- alphabets


@pytest.mark.parametrize("rule", RULES)
def test_a_binary_network_is_the_bipolar_one(rule: str) -> None:
    x = random_patterns(6, 60)
    bipolar, binary = Hopfield(60, rule), Hopfield(60, rule, alphabet="binary")
    bipolar.store(x)
    binary.store(x > 0)
    s = random_patterns(40, 60, 3)
    np.testing.assert_allclose(binary.energy(s > 0), bipolar.energy(s), rtol=2e-5, atol=1e-5)
    for mode in ("asynchronous", "synchronous"):
        a, b = bipolar.recall(s, mode), binary.recall(s > 0, mode)
        np.testing.assert_array_equal(2 * b.states - 1, a.states)
        np.testing.assert_array_equal(b.sweeps, a.sweeps)
        np.testing.assert_array_equal(b.cycle_length, a.cycle_length)
    np.testing.assert_array_equal(binary.overlap(s > 0), bipolar.overlap(s))


@pytest.mark.parametrize("alphabet", ["bipolar", "binary"])
def test_conversion_there_and_back_is_exact(alphabet: str) -> None:
    rng = np.random.default_rng(4)
    other = "binary" if alphabet == "bipolar" else "bipolar"
    net = random_network(rng, 11, alphabet)
    there = net.as_alphabet(other)
    back = there.as_alphabet(alphabet)
    s = random_patterns(100, 11)
    mine, theirs = (s, s > 0) if alphabet == "bipolar" else (s > 0, s)
    np.testing.assert_array_equal(there.energy(theirs), net.energy(mine))
    np.testing.assert_array_equal(back.energy(mine), net.energy(mine))
    np.testing.assert_array_equal(back.weights, net.weights)
    np.testing.assert_array_equal(back.thresholds, net.thresholds)
    a, b = net.recall(mine), there.recall(theirs)
    np.testing.assert_array_equal(a.states > 0, b.states > 0)
    np.testing.assert_array_equal(a.energy, b.energy)
    assert net.as_alphabet(alphabet) is not net


def test_a_converted_memory_goes_on_storing() -> None:
    x = random_patterns(4, 30)
    net = Hopfield(30)
    net.store(x[:2])
    binary = net.as_alphabet("binary")
    binary.store(x[2:] > 0)
    net.store(x[2:])
    np.testing.assert_array_equal(binary.as_alphabet("bipolar").weights, net.weights)
    assert len(binary.patterns) == 4


# ---- recall


@pytest.mark.parametrize("alphabet", ["bipolar", "binary"])
@pytest.mark.parametrize("order", ["cyclic", "random"])
def test_asynchronous_energy_never_rises_and_ends_in_a_fixed_point(
    alphabet: str, order: str
) -> None:
    """2,500 runs of each kind, 10,000 in all; whole numbers, so that no tolerance is needed."""
    rng = np.random.default_rng(5)
    for seed in range(50):
        n = int(rng.integers(2, 25))
        net = random_network(rng, n, alphabet)
        probes = rng.integers(0, 2, (50, n))
        run = net.recall(probes if alphabet == "binary" else 2 * probes - 1, order=order, seed=seed)
        assert (np.diff(run.energy, axis=0) <= 0).all()
        assert run.converged.all() and (run.cycle_length == 1).all()
        np.testing.assert_array_equal(run.energy[0], net.energy(probes * 2 - 1 if alphabet ==
                                      "bipolar" else probes))  # fmt: skip
        np.testing.assert_array_equal(run.energy[-1], net.energy(run.states))
        again = net.recall(run.states, "synchronous")
        assert (again.sweeps == 1).all() and (again.states == run.states).all()


def test_synchronous_updates_end_in_cycles_of_at_most_two() -> None:
    """Goles, Fogelman and Pellegrin 1985; a field of 0, which keeps the value, changes nothing."""
    rng = np.random.default_rng(6)
    seen = set()
    for _ in range(100):
        n = int(rng.integers(2, 20))
        net = random_network(rng, n, "bipolar")
        run = net.recall(random_patterns(40, n, n), "synchronous", max_sweeps=1000)
        assert np.isin(run.cycle_length, (1, 2)).all()
        assert (run.converged == (run.cycle_length == 1)).all()
        seen |= set(run.cycle_length.tolist())
        w, h = net.weights, -net.thresholds
        for s, length in zip(run.states, run.cycle_length):
            orbit = [s]
            for _ in range(length):
                field = w @ orbit[-1] + h
                orbit.append(np.where(field == 0, orbit[-1], np.sign(field)))
            assert (orbit[-1] == s).all() and len({o.tobytes() for o in orbit}) == length
    assert seen == {1, 2}


def test_a_two_cycle_by_hand() -> None:
    net = Hopfield.from_weights([[0, 1], [1, 0]])
    run = net.recall([1, -1], "synchronous")
    assert run.cycle_length == 2 and not run.converged and run.sweeps == 2
    run = net.recall([1, -1])
    assert run.states.tolist() == [-1, -1] and run.sweeps == 2 and run.converged
    assert run.energy.tolist() == [1, -1, -1]


def test_max_sweeps_and_orders() -> None:
    net = Hopfield(30)
    net.store(random_patterns(8, 30))
    probes = random_patterns(20, 30, 1)
    short = net.recall(probes, max_sweeps=1)
    assert not short.converged.all() and (short.sweeps == 1).all() and len(short.energy) == 2
    none = net.recall(probes, max_sweeps=0)
    assert (none.states == probes).all() and not none.cycle_length.any()
    given = net.recall(probes, order=np.arange(30))
    assert (given.states == net.recall(probes).states).all()
    random = [net.recall(probes, order="random", seed=s).states for s in (1, 1, 2)]
    assert (random[0] == random[1]).all() and (random[0] != random[2]).any()
    empty = net.recall(probes[:0])
    assert empty.states.shape == (0, 30) and empty.energy.shape == (1, 0)


def test_a_batch_is_its_probes() -> None:
    net = Hopfield(50)
    net.store(random_patterns(5, 50))
    probes = random_patterns(9, 50, 1)
    batch = net.recall(probes)
    for i, probe in enumerate(probes):
        one = net.recall(probe)
        assert one.states.shape == (50,) and one.sweeps.shape == ()
        assert (one.states == batch.states[i]).all()
        assert (one.energy == batch.energy[: len(one.energy), i]).all()
        assert one.sweeps == batch.sweeps[i] and one.converged == batch.converged[i]
    assert net.energy(probes[0]).shape == () and net.overlap(probes[0]).shape == (5,)
    np.testing.assert_array_equal(net.overlap(probes), probes @ net.patterns.T / 50)
    np.testing.assert_array_equal(net.overlap(probes[0], -probes[:1]), [-1.0])


def test_ties_of_hebb_are_exact() -> None:
    """Sums of thirds or of 1/n would leave rounding errors in the place of a field of 0."""
    x = random_patterns(2, 49)
    net = Hopfield(49)
    net.store(x)
    probes = random_patterns(200, 49, 1)
    sums = (x.T @ x) * (1 - np.eye(49, dtype=int))
    fields = probes @ sums
    assert (fields == 0).any()
    expected = np.where(fields == 0, probes, np.sign(fields))
    run = net.recall(probes, "synchronous", max_sweeps=1)
    np.testing.assert_array_equal(run.states, expected)


# ---- capacity


def test_bit_error_is_the_published_function() -> None:
    for load, error in ((0.105, 0.00101), (0.138, 0.00355), (0.185, 0.0100), (0.37, 0.0501)):
        assert bit_error(load) == pytest.approx(error, rel=0.006)
    assert bit_error(0.138, 10**7) == pytest.approx(bit_error(0.138), rel=1e-3)
    assert bit_error(0.001, 1000) == 0  # one pattern alone


LOADS = (0.105, 0.138, 0.185, 0.37)


def test_one_step_errors() -> None:
    """Within 3 sigma of theory for this many neurons; near the limit of large networks."""
    for p in capacity_curve(1000, LOADS, trials=8, probes=1, max_sweeps=1):
        assert abs(p.bit_error - p.expected) < 3 * p.sigma, p
        assert abs(p.bit_error - p.limit) < 3 * p.sigma + abs(p.limit - p.expected), p


@pytest.mark.slow
def test_one_step_errors_of_a_large_network() -> None:
    for p in capacity_curve(2000, LOADS, probes=1, max_sweeps=1):
        assert abs(p.bit_error - p.limit) < 3 * p.sigma, p


def test_recall_collapses_between_loads_of_0_12_and_0_18() -> None:
    """Amit, Gutfreund and Sompolinsky 1985: the end is at 0.138."""
    below, above = capacity_curve(1000, (0.12, 0.18), trials=2, probes=30)
    assert below.overlap > 0.95 and above.overlap < 0.7


# ---- misuse

W = np.array([[0, 1.0], [1, 0]])
FULL = Hopfield(2)
FULL.store([1, 1])


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "n is 0", lambda: Hopfield(0)),
        (TypeError, "n must be an int", lambda: Hopfield(2.0)),
        (ValueError, "unknown rule 'heb'; did you mean 'hebb'", lambda: Hopfield(3, "heb")),
        (ValueError, "unknown alphabet 'spin'", lambda: Hopfield(3, alphabet="spin")),
        (ValueError, "dtype must be float32", lambda: Hopfield(3, dtype="int8")),
        (RuntimeError, r"no patterns are stored: call store", lambda: Hopfield(2).recall([1, 1])),
        (ValueError, r"shape \(3,\), the network 2 neurons", lambda: FULL.recall([1, 1, 1])),
        (ValueError, r"shape \(1, 1, 2\)", lambda: FULL.recall([[[1, 1]]])),
        (ValueError, r"patterns have shape \(3,\)", lambda: FULL.store([1, 1, 1])),
        (ValueError, r"probes have 0 at \(0, 1\), expected -1 or 1", lambda: FULL.recall([1, 0])),
        (ValueError, r"patterns have nan at \(1, 0\)", lambda: FULL.store([[1, 1], [np.nan, 1]])),
        (ValueError, r"states have 2 at \(0, 0\)", lambda: FULL.energy([2, 1])),
        (ValueError, "unknown mode 'async'", lambda: FULL.recall([1, 1], "async")),
        (
            ValueError,
            "unknown order 'radnom'; did you",
            lambda: FULL.recall([1, 1], order="radnom"),
        ),
        (ValueError, "each of the neurons 0 to 1", lambda: FULL.recall([1, 1], order=[0, 0])),
        (ValueError, "max_sweeps is -1", lambda: FULL.recall([1, 1], max_sweeps=-1)),
        (ValueError, r"shape \(1, 2\)", lambda: Hopfield.from_weights(W[:1])),
        (ValueError, "not symmetric", lambda: Hopfield.from_weights(np.triu(W))),
        (ValueError, "contain NaN", lambda: Hopfield.from_weights(W * np.nan)),
        (ValueError, r"weights\[0, 0\] is 1", lambda: Hopfield.from_weights(W + np.eye(2))),
        (ValueError, r"thresholds have shape \(3,\)", lambda: Hopfield.from_weights(W, [1, 2, 3])),
        (ValueError, "thresholds contain NaN", lambda: Hopfield.from_weights(W, [1, np.inf])),
        (RuntimeError, "stores no patterns", lambda: Hopfield.from_weights(W).store([1, 1])),
        (ValueError, "makes no pattern", lambda: capacity_curve(10, [0.01])),
        (ValueError, "at least 1", lambda: capacity_curve(10, [0.1], trials=0)),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_diagonal_that_is_asked_for() -> None:
    net = Hopfield.from_weights(W + 2 * np.eye(2), allow_diagonal=True)
    run = net.recall([1, -1])
    assert run.converged and run.states.tolist() == [1, -1]  # held by themselves
    assert Hopfield.from_weights(W - 3 * np.eye(2), allow_diagonal=True).recall(
        [1, 1], max_sweeps=20
    ).cycle_length == 0  # fmt: skip


def test_repr() -> None:
    assert repr(FULL) == "<Hopfield of 2 bipolar neurons, hebb, 1 patterns>"
    assert repr(Hopfield.from_weights(W)) == "<Hopfield of 2 bipolar neurons, given weights>"
