"""RBF and EuclideanRBF: against loops of NumPy, closed forms, other executors; and misuse."""

import numpy as np
import pytest

import convkit as ck
from convkit.layers import RBF, Dense, EuclideanRBF
from convkit.layers.digit_codes import DIGIT_CODES


def rbf_model(**options):
    model = ck.Sequential([ck.Input((4,)), RBF(3, **options), Dense(2, activation="softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def batch(n=6, c=4, classes=2):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, c)).astype("f4"), rng.integers(0, classes, n)


def test_rbf_against_a_loop():
    rng = np.random.default_rng(1)
    centers, sigma = rng.standard_normal((3, 4)), np.array([0.5, 1.0, 2.0])
    layer = RBF(3, sigma=sigma, centers=centers)
    model = ck.Sequential([ck.Input((4,)), layer])
    assert (model.count_params(), model.output_shape) == (3 * 4 + 3, (None, 3))
    assert [p.path for p in layer.weights] == ["rbf.centers", "rbf.log_sigma"]
    x = batch()[0]
    y = model.predict(x, verbose=0)
    for n in range(len(x)):
        for k in range(3):
            d = sum((x[n, c] - centers[k, c]) ** 2 for c in range(4))
            assert y[n, k] == pytest.approx(np.exp(-d / (2 * sigma[k] ** 2)), rel=1e-5)
    np.testing.assert_allclose(layer.sigma, sigma, rtol=1e-6)
    np.testing.assert_allclose(layer.get_weights()[0], centers.T, rtol=1e-6)


def test_rbf_is_1_at_its_centre_and_a_half_at_its_spread():
    spread = 3.0
    layer = RBF(2, sigma=spread / np.sqrt(2 * np.log(2)), centers=[[0, 0], [3, 4]])
    model = ck.Sequential([ck.Input((2,)), layer])
    y = model.predict(np.array([[0, 0], [3, 1]], "f4"), verbose=0)
    np.testing.assert_allclose(y[0, 0], 1)
    np.testing.assert_allclose(y[1, 1], 0.5, rtol=1e-6)


def test_rbf_of_sequences():
    model = ck.Sequential([ck.Input((5, 4)), RBF(3)])
    x = np.random.default_rng(0).standard_normal((2, 5, 4)).astype("f4")
    y = model.predict(x, verbose=0)
    assert y.shape == (2, 5, 3)
    w, s = model.get_weights()
    flat = ck.reference.rbf_gaussian(ck.reference.rbf_distance(x.reshape(-1, 4), w), s)
    np.testing.assert_allclose(y.reshape(-1, 3), flat, rtol=1e-5)


@pytest.mark.parametrize("frozen", [{}, {"trainable_centers": False}, {"trainable_sigma": False}])
def test_rbf_gradients(frozen):
    model = rbf_model(sigma=[0.7, 1.0, 1.5], **frozen)
    x, y = batch()
    report = ck.testing.check_gradients(model, x, y)
    assert report.passed, str(report)
    trained = (
        8 + (0 if "trainable_centers" in frozen else 12) + (0 if "trainable_sigma" in frozen else 3)
    )
    assert (report.entries, report.skipped) == (trained, 0)
    difference = ck.testing.compare(model, x, y)
    assert difference.agrees, str(difference)


def test_widths_stay_positive_whatever_the_step():
    model = rbf_model(sigma=0.1, centers=np.eye(3, 4))
    model.optimizer.learning_rate = 1000.0
    x, y = batch(64)
    model.fit(x, y, epochs=3, verbose=0)
    assert (model.layers[0].sigma > 0).all()


def test_a_network_of_rbf_learns_what_a_line_cannot():
    """Exclusive or, from the four corners as centres (Broomhead and Lowe 1988)."""
    ck.set_seed(0)
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "f4")
    y = np.array([0, 1, 1, 0])
    model = ck.Sequential([ck.Input((2,)), RBF(4, 0.5, x), Dense(2, activation="softmax")])
    model.compile(ck.optimizers.Adam(0.05), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=200, batch_size=4, verbose=0)
    assert model.evaluate(x, y, verbose=0)[1] == 1


def test_the_codes_are_ten_different_pictures():
    assert DIGIT_CODES.shape == (10, 84)
    assert set(np.unique(DIGIT_CODES)) == {-1, 1}
    distances = ((DIGIT_CODES[:, None] - DIGIT_CODES) ** 2).sum(-1) / 4
    assert distances[~np.eye(10, dtype=bool)].min() >= 6  # pixels that differ
    ink = DIGIT_CODES.reshape(10, 12, 7) > 0
    assert not ink[:, [0, -1]].any()
    assert ink.any(axis=(1, 2)).all()


@pytest.mark.parametrize("trainable", [False, True])
def test_euclidean_rbf_gives_the_penalties_of_equation_7(trainable):
    model = ck.Sequential([ck.Input((84,)), EuclideanRBF(trainable=trainable)])
    assert model.count_params() == (840 if trainable else 0)
    assert len(model.trainable_weights) == trainable
    x = np.concatenate([DIGIT_CODES, np.zeros((1, 84), "f4")])
    y = model.predict(x, verbose=0)
    expected = [[sum((a - b) ** 2) for b in DIGIT_CODES] for a in x]
    np.testing.assert_array_equal(y, expected)
    assert (y[:10].argmin(axis=1) == np.arange(10)).all()
    assert (y[10] == 84).all()


def test_trained_codes_are_the_weight_of_that_name():
    """A step of 1/4 down the penalty |w|^2 of x = 0 goes half the way."""
    layer = EuclideanRBF(1, [[2.0, -4.0]], trainable=True)
    model = ck.Sequential([ck.Input((2,)), layer])
    model.compile(ck.optimizers.SGD(0.25 / (2 * 20)), "mse")  # the gradient of y^2 is 2 y dy
    assert [p.path for p in layer.weights] == [f"{layer.name}.codes"]
    model.train_on_batch(np.zeros((1, 2), "f4"), np.zeros((1, 1), "f4"))
    np.testing.assert_allclose(layer.codes.numpy().T, [[1.0, -2.0]], rtol=1e-6)
    np.testing.assert_array_equal(layer.initial_codes, [[2, -4]])
    assert EuclideanRBF().codes is None


def test_negated_with_softmax():
    codes = [[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]
    layer = EuclideanRBF(3, codes, negate=True, activation="softmax")
    model = ck.Sequential([ck.Input((2,)), layer])
    p = model.predict(np.array([[1.0, 0.0]], "f4"), verbose=0)
    e = np.exp([-1.0, 0.0, -5.0])
    np.testing.assert_allclose(p[0], e / e.sum(), rtol=1e-6)


@pytest.mark.parametrize("trainable", [False, True])
def test_euclidean_rbf_gradients(trainable):
    codes = np.random.default_rng(0).standard_normal((3, 5))
    model = ck.Sequential([
        ck.Input((4,)),
        Dense(5, "scaled_tanh"),
        EuclideanRBF(3, codes, trainable=trainable, negate=True, activation="softmax"),
    ])  # fmt: skip
    model.compile("sgd", ck.losses.DiscriminativeMAP(2.0), metrics=["accuracy"])
    x, y = batch(classes=3)
    report = ck.testing.check_gradients(model, x, y)
    assert report.passed, str(report)
    assert report.entries == 25 + 15 * trainable
    assert ck.testing.compare(model, x, y).agrees


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RBF(0), "units must be a positive integer"),
        (lambda: RBF(2, sigma=0.0), "sigma must be above 0 and finite, got 0.0"),
        (lambda: RBF(2, sigma=[1.0, -1.0]), "sigma must be above 0"),
        (lambda: RBF(2, sigma=np.nan), "sigma must be above 0"),
        (lambda: RBF(2, sigma="wide"), "sigma must be above 0"),
        (lambda: RBF(2, sigma=[1.0, 1.0, 1.0]), r"have shape \(2,\), got \(3,\)"),
        (lambda: RBF(2, centers=np.ones((3, 4))), r"centers must have shape .* = \(2, C\)"),
        (lambda: RBF(2, centers=np.ones(2)), r"got \(2,\)"),
        (lambda: RBF(2, centers=np.full((2, 3), np.inf)), "centers must be finite"),
        (lambda: RBF(2, centers=[["a"], ["b"]]), "centers must be finite numbers"),
        (lambda: RBF(2, centers_initializer="zeroes"), "did you mean 'zeros'"),
        (lambda: RBF(2, centers=np.ones((2, 3)))(ck.Input((4,))), "3 features, got 4"),
        (lambda: EuclideanRBF(11), "codes of 10 digits, not of 11 classes"),
        (lambda: EuclideanRBF(3, np.ones((2, 4))), r"codes must have shape .* \(3, C\)"),
        (lambda: EuclideanRBF()(ck.Input((80,))), "84 features, got 80"),
        (lambda: EuclideanRBF(activation="sofmax"), "did you mean 'softmax'"),
    ],
)  # fmt: skip
def test_misuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_shared_layer_keeps_its_features():
    layer = RBF(2)
    layer(ck.Input((3,)))
    with pytest.raises(ValueError, match=r"layer 'rbf.*' \(RBF\) has centres of 3 features, got 5"):
        layer(ck.Input((5,)))
