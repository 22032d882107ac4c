"""Models without layers go through files too."""

import numpy as np
import pytest

import convkit as ck
from convkit import models
from convkit.saving import files
from models.conftest import blobs

X, Y = blobs(40)
T = np.column_stack([X[:, 0] * 2, X[:, 1]])
WORDS = np.array(["one", "two", "three"])[Y]

FITTED = {
    "Perceptron": lambda: models.Perceptron(20, shuffle=True, seed=3).fit(X, WORDS),
    "Perceptron of two classes": lambda: models.Perceptron(20).fit(X, Y == 1),
    "KernelPerceptron": lambda: models.KernelPerceptron("polynomial", degree=2).fit(X, Y),
    "KernelRidge": lambda: models.KernelRidge(0.1, sigma=0.7).fit(X, T[:, 0]),
    "RBFNetwork": lambda: models.RBFNetwork(5, seed=1).fit(X, T),
    "RBFNetwork of given centres": lambda: models.RBFNetwork(X[:4], np.ones(4)).fit(X, T[:, 0]),
    "RBFNetwork.grow": lambda: models.RBFNetwork.grow(X, T, max_units=4),
    "RBFNetwork.exact": lambda: models.RBFNetwork.exact(X[:9], T[:9]),
    "KMeans": lambda: models.KMeans(3, seed=2).fit(X),
    "ThresholdNeuron": lambda: models.ThresholdNeuron([1, 2, -1, 0.5], bias=0.5),
}


def through_a_file(model, tmp_path):
    path = model.save(tmp_path / "model")
    assert path.name == "model.convkit"
    made = ck.load_model(path)
    assert type(made) is type(model)
    return made


@pytest.mark.parametrize("name", FITTED)
def test_what_fit_has_found_comes_back(name, tmp_path):
    model = FITTED[name]()
    made = through_a_file(model, tmp_path)
    x = (X > 0).astype(float) if name == "ThresholdNeuron" else X
    np.testing.assert_array_equal(made.predict(x), model.predict(x))
    assert made.predict(x).dtype.kind == model.predict(x).dtype.kind
    found = {k: v for k, v in vars(model).items() if k[-1] == "_" and k[0] != "_"}
    assert {k for k in vars(made) if k[-1] == "_" and k[0] != "_"} == set(found)
    for key, value in found.items():
        np.testing.assert_array_equal(getattr(made, key), value)
    if hasattr(model, "fit"):
        fitted = made.fit(X, T[:, 0]) if "R" in name[:7] else made.fit(X, Y)
        assert fitted is made


def test_models_that_were_not_fitted(tmp_path):
    made = through_a_file(models.Perceptron(7), tmp_path)
    assert made.max_epochs == 7
    with pytest.raises(RuntimeError, match="fit"):
        made.predict(X)


@pytest.mark.parametrize("rule", ["hebb", "pseudo_inverse", "storkey"])
@pytest.mark.parametrize("alphabet", ["bipolar", "binary"])
def test_hopfield_networks(rule, alphabet, tmp_path):
    rng = np.random.default_rng(0)
    low = -1 if alphabet == "bipolar" else 0
    patterns = np.where(rng.random((6, 20)) < 0.5, low, 1)
    model = models.Hopfield(20, rule, alphabet=alphabet, dtype="float64")
    model.store(patterns[:3])
    made = through_a_file(model, tmp_path)
    for _ in range(2):
        np.testing.assert_array_equal(made.weights, model.weights)
        np.testing.assert_array_equal(made.thresholds, model.thresholds)
        np.testing.assert_array_equal(made.patterns, model.patterns)
        np.testing.assert_array_equal(made.energy(patterns), model.energy(patterns))
        assert repr(made) == repr(model)
        for each in (model, made):
            each.store(patterns[3:])  # and on
    other = through_a_file(model.as_alphabet("binary"), tmp_path)
    np.testing.assert_allclose(other.energy(patterns > 0), model.energy(patterns), rtol=1e-12)


def test_hopfield_networks_of_given_weights(tmp_path):
    w = np.ones((4, 4)) - np.eye(4)
    model = models.Hopfield.from_weights(w, [1, 2, 3, 4])
    made = through_a_file(model, tmp_path)
    np.testing.assert_array_equal(made.weights, w)
    np.testing.assert_array_equal(made.thresholds, [1, 2, 3, 4])
    with pytest.raises(RuntimeError, match="given weights stores no patterns"):
        made.store(np.ones(4))
    model = models.ContinuousHopfield(w, gain=3.0, capacitance=2.0)
    again = through_a_file(model, tmp_path)
    np.testing.assert_array_equal(
        again.derivative(np.ones(4) / 4), model.derivative(np.ones(4) / 4)
    )


def test_files_that_are_none_of_a_model(tmp_path):
    path = FITTED["Perceptron"]().save(tmp_path / "m.convkit")
    members = files.read_archive(path)
    config = members["config.json"]
    for change, message in (
        ({"estimator": {"$class": "layers.Dense", "config": {"units": 3}}}, "no model without"),
        ({"estimator": {"$class": "os.system", "config": {}}}, "no class 'os.system'"),
        ({"state": {"predict": 3}}, "has no state 'predict'"),
        ({"state": {"__class__": 3}}, "has no state '__class__'"),
        ({"state": []}, "no state of one"),
    ):
        files.write_archive(path, {**members, "config.json": {**config, **change}})
        with pytest.raises(ValueError, match=f"m.convkit cannot be loaded.*{message}"):
            ck.load_model(path)
    net = models.Hopfield(5).save(tmp_path / "n.convkit")
    members = files.read_archive(net)
    members["config.json"]["estimator"]["config"]["n"] = 10**6
    files.write_archive(net, members)
    with pytest.raises(ValueError, match=r"n.convkit cannot be loaded"):
        ck.load_model(net)
