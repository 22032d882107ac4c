"""Threshold neurons and the perceptron, against truth tables and the convergence theorem."""

import itertools

import numpy as np
import pytest

from convkit.models import Perceptron, ThresholdNeuron, perceptron

TWO = list(itertools.product([0, 1], repeat=2))
TABLES = {
    "AND": [0, 0, 0, 1],
    "OR": [0, 1, 1, 1],
    "NAND": [1, 1, 1, 0],
    "NOR": [1, 0, 0, 0],
}
XOR = [0, 1, 1, 0]


@pytest.mark.parametrize("name", TABLES)
def test_gates(name):
    neuron = ThresholdNeuron.gate(name)
    assert neuron.predict(TWO).tolist() == TABLES[name]
    assert [neuron(a, b) for a, b in TWO] == TABLES[name]


def test_not():
    neuron = ThresholdNeuron.gate("not")
    assert neuron.predict([[0], [1]]).tolist() == [1, 0]


@pytest.mark.parametrize("inputs", [1, 3, 5])
@pytest.mark.parametrize(
    ("name", "truth"),
    [("AND", all), ("OR", any), ("NAND", lambda v: not all(v)), ("NOR", lambda v: not any(v))],
)
def test_gates_of_other_sizes(name, truth, inputs):
    x = list(itertools.product([0, 1], repeat=inputs))
    answers = ThresholdNeuron.gate(name, inputs).predict(x)
    assert answers.tolist() == [int(truth(v)) for v in x]


def test_threshold_and_bias_are_one():
    x = np.linspace(-2, 2, 9)[:, None]
    by_threshold, by_bias = ThresholdNeuron([2], threshold=1), ThresholdNeuron([2], bias=-1)
    assert by_threshold.predict(x).tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]  # fires at 0.5 too
    assert by_bias.predict(x).tolist() == by_threshold.predict(x).tolist()
    assert repr(by_bias) == "ThresholdNeuron([2.0], threshold=1)"


def test_two_layers_of_gates_are_exclusive_or():
    hidden = np.column_stack([ThresholdNeuron.gate(g).predict(TWO) for g in ("OR", "NAND")])
    assert ThresholdNeuron.gate("AND").predict(hidden).tolist() == XOR


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: ThresholdNeuron.gate("XOR"), "not linearly separable"),
        (lambda: ThresholdNeuron.gate("NADN"), "did you mean 'NAND'"),
        (lambda: ThresholdNeuron.gate("NOT", 2), "NOT has one input"),
        (lambda: ThresholdNeuron([1], 1, 1), "give one"),
        (lambda: ThresholdNeuron([[1]]), r"shape \(C,\)"),
        (lambda: ThresholdNeuron([np.nan]), "finite"),
        (lambda: ThresholdNeuron([1, 1]).predict([[1]]), r"\(N, 2\)"),
    ],
)
def test_misuse_of_neurons(make, text):
    with pytest.raises(ValueError, match=text):
        make()


# ---- the perceptron


def separable(n=60, features=3, margin=0.1, seed=0):
    """Points on both sides of a known unit separator, augmented, at `margin` from it at least."""
    rng = np.random.default_rng(seed)
    w = rng.standard_normal(features + 1)
    w[-1] *= 0.1  # both classes are met
    w /= np.linalg.norm(w)
    x = rng.uniform(-1, 1, (50 * n, features))
    side = x @ w[:-1] + w[-1]
    x = x[np.abs(side) >= margin][:n]
    assert len(x) == n
    return x, (x @ w[:-1] + w[-1] > 0).astype(int), w


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("margin", [0.02, 0.1, 0.3])
def test_the_convergence_theorem(margin, shuffle, seed):
    x, y, w = separable(margin=margin, seed=seed)
    model = Perceptron(shuffle=shuffle, seed=seed, max_epochs=10_000).fit(x, y)
    augmented = np.column_stack([x, np.ones(len(x))])
    gamma = np.abs(augmented @ w).min()  # w has norm 1 and separates by construction
    radius = np.linalg.norm(augmented, axis=1).max()
    assert 0 < model.n_updates_ <= (radius / gamma) ** 2
    assert model.separable_ is True and model.score(x, y) == 1.0
    assert model.mistakes_[-1] == 0 and sum(model.mistakes_) == model.n_updates_


def by_hand(x, y, epochs):
    """The rule in its textbook form, with a step from 0 on."""
    w, b, updates = [0.0] * len(x[0]), 0.0, 0
    for _ in range(epochs):
        wrong = 0
        for sample, t in zip(x, y):
            a = 1 if sum(p * q for p, q in zip(w, sample)) + b >= 0 else 0
            if a != t:
                w = [p + (t - a) * q for p, q in zip(w, sample)]
                b += t - a
                wrong += 1
        updates += wrong
        if not wrong:
            break
    return w, b, updates


@pytest.mark.parametrize("name", TABLES)
def test_it_learns_gates_by_the_rule(name):
    model = Perceptron().fit(TWO, TABLES[name])
    w, b, updates = by_hand(TWO, TABLES[name], 100)
    assert model.weights_.tolist() == w and model.bias_ == b and model.n_updates_ == updates
    assert model.predict(TWO).tolist() == TABLES[name]


def test_exclusive_or_is_proved_inseparable():
    model = Perceptron(max_epochs=1000).fit(TWO, XOR)
    assert model.separable_ is False
    assert len(model.mistakes_) < 20  # it saw its weights come back
    assert model.score(TWO, XOR) == 0.5  # the best of the weights that it came past
    # No line does better than 3 of 4. In another order one of those comes along.
    assert Perceptron(max_epochs=50, shuffle=True, seed=0).fit(TWO, XOR).score(TWO, XOR) == 0.75


def test_the_limit_of_epochs_proves_nothing():
    assert Perceptron(max_epochs=1).fit(TWO, XOR).separable_ is None
    x = np.array(TWO) + 0.1  # no integers: sums round
    model = Perceptron(max_epochs=200).fit(x, XOR)
    assert model.separable_ is None and len(model.mistakes_) == 200
    assert Perceptron(max_epochs=50, shuffle=True, seed=0).fit(TWO, XOR).separable_ is None


@pytest.mark.parametrize("seed", range(20))
def test_integer_data_is_always_decided(seed):
    # Minsky and Papert's cycling theorem: bounded integer weights must come back.
    rng = np.random.default_rng(seed)
    x = rng.integers(-2, 3, (8, 2))
    y = rng.permutation([0, 1] * 4)
    model = Perceptron(max_epochs=5000).fit(x, y)
    assert model.separable_ is _line_separates(x, y)
    assert model.score(x, y) >= 0.5


def _line_separates(x, y):
    """Whether some line has one class on one side and the other class strictly on the other.

    If any does, then one turned a little from a line through two points does.
    """
    angles = []
    for p, q in itertools.permutations(np.unique(x, axis=0), 2):
        angle = np.arctan2(q[1] - p[1], q[0] - p[0]) + np.pi / 2
        angles += [angle - 1e-3, angle, angle + 1e-3]
    for angle in angles:
        along = x @ [np.cos(angle), np.sin(angle)]
        if along[y == 0].max() < along[y == 1].min() - 1e-9:
            return True
    return False


def test_the_pocket_keeps_the_best_weights():
    # Separable but for one label: the pocket should err on that one only.
    x, y, _ = separable(n=80, features=2, margin=0.15, seed=4)
    y = y.copy()
    y[7] = 1 - y[7]
    model = Perceptron(max_epochs=300).fit(x, y)
    assert model.separable_ is None
    assert model.score(x, y) == 79 / 80
    assert len(model.mistakes_) == 300


@pytest.mark.parametrize("thorough", [0, 1 << 16])
def test_the_pocket_of_overlapping_classes(thorough, monkeypatch):
    monkeypatch.setattr(perceptron, "_THOROUGH", thorough)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 500)
    x = rng.standard_normal((500, 2)) + 2 * y[:, None]  # Bayes: 92.1 % right
    model = Perceptron(max_epochs=30, shuffle=True, seed=0).fit(x, y)
    assert model.separable_ is None and model.score(x, y) > 0.91


def test_kesler_and_several_classes():
    rng = np.random.default_rng(1)
    w = rng.standard_normal((4, 3))
    w /= np.linalg.norm(w)  # of all vectors together
    x = rng.uniform(-1, 1, (4000, 2))
    augmented = np.column_stack([x, np.ones(len(x))])
    scores = augmented @ w.T
    top = np.sort(scores, axis=1)
    keep = top[:, -1] - top[:, -2] > 0.05
    x, augmented, y = x[keep][:200], augmented[keep][:200], scores[keep][:200].argmax(1)
    gamma = (top[keep][:200, -1] - top[keep][:200, -2]).min()
    names = np.array(["north", "east", "south", "west"])[y]
    model = Perceptron(max_epochs=10_000).fit(x, names)
    radius = np.linalg.norm(augmented, axis=1).max()
    assert 0 < model.n_updates_ <= 2 * (radius / gamma) ** 2
    assert model.separable_ is True and model.score(x, names) == 1.0
    assert model.classes_.tolist() == sorted(set(names))
    assert model.weights_.shape == (len(set(names)), 2)
    # Kesler: the same as one vector over (x at the right class, -x at the answer).
    order = np.searchsorted(model.classes_, names)
    stacked, updates = np.zeros((len(model.classes_), 3)), 0
    for _ in range(len(model.mistakes_)):
        for sample, right in zip(augmented, order):
            answer = (stacked @ sample).argmax()
            if answer != right:
                z = np.zeros_like(stacked)
                z[right], z[answer] = sample, -sample
                stacked, updates = stacked + z, updates + 1
    assert updates == model.n_updates_
    np.testing.assert_allclose(np.column_stack([model.weights_, model.bias_]), stacked, atol=1e-12)


def test_without_bias_the_line_passes_the_origin():
    x, y = [[1.0], [2.0]], [0, 1]
    assert Perceptron(use_bias=False, max_epochs=50).fit(x, y).bias_ == 0
    assert Perceptron(use_bias=False, max_epochs=50).fit(x, y).separable_ is False
    assert Perceptron().fit(x, y).separable_ is True


def test_shuffles_follow_from_the_seed():
    x, y, _ = separable(n=100, margin=0.01, seed=2)
    first, same, other = (Perceptron(shuffle=True, seed=s).fit(x, y) for s in (1, 1, 2))
    assert first.weights_.tolist() == same.weights_.tolist()
    assert first.mistakes_ != other.mistakes_


@pytest.mark.parametrize(
    ("x", "y", "kind", "text"),
    [
        ([1, 2], [0, 1], ValueError, r"x\[:, None\]"),
        (np.zeros((3, 2, 2)), [0, 1, 0], ValueError, "reshape images"),
        ([[1], [2]], [0, 1, 0], ValueError, "x has 2 samples, y has 3"),
        ([[1], [2]], [1, 1], ValueError, "y has 1 class"),
        ([[1], [np.nan]], [0, 1], ValueError, "NaN"),
        ([[1], [2]], [0.5, 1], TypeError, "labels are"),
        ([[1], [2]], [[0, 1], [1, 0]], ValueError, "argmax"),
        (np.zeros((0, 2)), [], ValueError, "at least"),
        ([["a"], ["b"]], [0, 1], TypeError, "dtype"),
        ([[1e200], [-2e200]], [0, 1], ValueError, r"up to 2e\+200, whose squares overflow.*scale"),
        ([[1e-200], [0]], [0, 1], ValueError, "up to 1e-200, whose squares underflow"),
    ],
)
def test_misuse(x, y, kind, text):
    with pytest.raises(kind, match=text):
        Perceptron().fit(x, y)


def test_misuse_of_arguments():
    with pytest.raises(ValueError, match="max_epochs"):
        Perceptron(max_epochs=0)
    with pytest.raises(RuntimeError, match=r"call fit\(x, y\) before"):
        Perceptron().predict([[1]])
    model = Perceptron().fit(TWO, TABLES["AND"])
    with pytest.raises(ValueError, match=r"\(N, 2\)"):
        model.predict([[1, 2, 3]])
    assert model.predict(np.zeros((0, 2))).shape == (0,)
