"""Losses and metrics by name and object."""

import numpy as np
import pytest

import convkit as ck
from convkit import losses, metrics
from models.conftest import blobs, classifier

NAMES = {
    "sparse_categorical_crossentropy": losses.SparseCategoricalCrossentropy,
    "SparseCategoricalCrossentropy": losses.SparseCategoricalCrossentropy,
    "categorical_crossentropy": losses.CategoricalCrossentropy,
    "CategoricalCrossentropy": losses.CategoricalCrossentropy,
    "binary_crossentropy": losses.BinaryCrossentropy,
    "BinaryCrossentropy": losses.BinaryCrossentropy,
    "bce": losses.BinaryCrossentropy,
    "BCE": losses.BinaryCrossentropy,
    "mean_squared_error": losses.MeanSquaredError,
    "MeanSquaredError": losses.MeanSquaredError,
    "mse": losses.MeanSquaredError,
    "MSE": losses.MeanSquaredError,
}


@pytest.mark.parametrize("name", NAMES)
def test_names(name):
    assert type(losses.get(name)) is NAMES[name]
    assert type(losses.get(NAMES[name])) is NAMES[name]


def test_objects_and_functions():
    loss = losses.MeanSquaredError(name="mine")
    assert losses.get(loss) is loss and loss.name == "mine"
    assert type(losses.get(losses.mean_squared_error)) is losses.MeanSquaredError
    y, p = np.array([1, 0]), np.array([[0.25, 0.75], [0.5, 0.5]])
    want = -np.log([0.75, 0.5])
    np.testing.assert_allclose(losses.sparse_categorical_crossentropy(y, p), want)
    np.testing.assert_allclose(losses.categorical_crossentropy(np.eye(2)[y], p), want)
    np.testing.assert_allclose(losses.binary_crossentropy(np.eye(2)[y], p), want)
    np.testing.assert_allclose(losses.mean_squared_error(np.eye(2)[y], p), [0.0625, 0.25])


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (lambda: losses.get("mean_square_error"), ValueError, "mean_squared_error"),
        (lambda: losses.get(3), TypeError, "int"),
        (lambda: losses.get(lambda a, b: a), TypeError, "function"),
        (lambda: losses.MeanSquaredError(reduction="none"), ValueError, "training needs one"),
        (lambda: losses.MeanSquaredError(reduction="mena"), ValueError, "unknown reduction"),
        (lambda: losses.CategoricalCrossentropy(label_smoothing=2), ValueError, "0 to 1"),
        (lambda: losses.CategoricalCrossentropy(label_smooth=0.1), TypeError, "label_smoothing"),
        (lambda: losses.MeanSquaredError(axis=1), TypeError, "axis=1 is not supported"),
        (lambda: losses.SparseCategoricalCrossentropy(ignore_class=2), TypeError, "ignore_class"),
        (lambda: metrics.get("acuracy"), ValueError, "did you mean 'accuracy'"),
        (lambda: metrics.get(3), TypeError, "int"),
        (lambda: metrics.BinaryAccuracy(treshold=0.3), TypeError, "threshold"),
    ],
)
def test_refusals(make, kind, text):
    with pytest.raises(kind, match=text):
        make()


def test_keras_defaults_are_harmless():
    losses.SparseCategoricalCrossentropy(ignore_class=None, axis=-1, dtype=None)
    metrics.SparseCategoricalAccuracy(dtype=None)


@pytest.mark.parametrize("loss", ["sparse_categorical_crossentropy", "categorical_crossentropy"])
def test_logits_and_probabilities_agree(loss):
    x, y = blobs(20)
    y = y if loss.startswith("sparse") else np.eye(3)[y]
    a = classifier(loss=loss)
    b = ck.Sequential([ck.Input((4,)), ck.layers.Dense(8, "tanh"), ck.layers.Dense(3)])
    b.set_weights(a.get_weights())
    kind = type(losses.get(loss))
    b.compile("adam", kind(from_logits=True), metrics=["accuracy"])
    assert a.evaluate(x, y, verbose=0) == pytest.approx(b.evaluate(x, y, verbose=0), rel=1e-6)
    a.fit(x, y, verbose=0)
    b.fit(x, y, verbose=0)
    for p, q in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(p, q, rtol=1e-5, atol=1e-7)


def test_binary_logits_and_smoothing():
    x, y = blobs(20, classes=2)
    model = ck.Sequential([ck.Input((4,)), ck.layers.Dense(1)])
    loss = losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.2)
    model.compile("sgd", loss, metrics=[metrics.BinaryAccuracy(threshold=0.0)])
    z = model.predict(x, verbose=0)[:, 0].astype(float)
    t = 0.8 * y + 0.1
    got = model.evaluate(x, y, verbose=0)
    assert got[0] == pytest.approx((np.log1p(np.exp(z)) - t * z).mean(), rel=1e-5)
    assert model.metrics_names == ["loss", "binary_accuracy"]


def test_softmax_far_from_zero_is_stable():
    model = ck.Sequential([ck.Input((2,)), ck.layers.Dense(2, "softmax", use_bias=False)])
    model.compile(ck.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    model.set_weights([np.eye(2) * 1e4])
    x, y = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([0, 0])
    assert model.train_on_batch(x, y) == pytest.approx(5000)


def test_accuracy_is_resolved_as_in_keras():
    x, y = blobs(30)
    model = classifier(metrics=["acc", metrics.SparseCategoricalAccuracy()])
    h = model.fit(x, y, verbose=0).history
    assert h["acc"] == h["sparse_categorical_accuracy"]
    resolve = metrics.Accuracy().resolve
    assert isinstance(resolve(True, 3), metrics.SparseCategoricalAccuracy)
    assert isinstance(resolve(False, 3), metrics.CategoricalAccuracy)
    assert isinstance(resolve(False, 1), metrics.BinaryAccuracy)


def test_losses_as_metrics():
    x, y = blobs(30)
    one_hot = np.eye(3)[y]
    model = classifier(loss="categorical_crossentropy", metrics=["mse", "accuracy", "bce"])
    logs = model.evaluate(x, one_hot, verbose=0, return_dict=True)
    p = model.predict(x, verbose=0)
    assert list(logs) == ["accuracy", "bce", "loss", "mse"]
    assert logs["mse"] == pytest.approx(((p - one_hot) ** 2).mean(), rel=1e-5)
    assert logs["accuracy"] == (p.argmax(1) == y).mean()


def test_metrics_that_do_not_fit():
    x, y = blobs(10)
    with pytest.raises(ValueError, match="does not fit the loss"):
        classifier(metrics=["mse"]).fit(x, y, verbose=0)
    with pytest.raises(ValueError, match="two metrics"):
        classifier(metrics=["accuracy", "accuracy"]).fit(x, y, verbose=0)
