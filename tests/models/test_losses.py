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
    "sum_squared_error": losses.SumSquaredError,
    "sse": losses.SumSquaredError,
    "root_mean_squared_error": losses.RootMeanSquaredError,
    "rmse": losses.RootMeanSquaredError,
    "RMSE": losses.RootMeanSquaredError,
    "mean_absolute_error": losses.MeanAbsoluteError,
    "mae": losses.MeanAbsoluteError,
    "MAE": losses.MeanAbsoluteError,
    "mean_absolute_percentage_error": losses.MeanAbsolutePercentageError,
    "mape": losses.MeanAbsolutePercentageError,
    "mean_squared_logarithmic_error": losses.MeanSquaredLogarithmicError,
    "msle": losses.MeanSquaredLogarithmicError,
    "huber": losses.Huber,
    "Huber": losses.Huber,
    "log_cosh": losses.LogCosh,
    "logcosh": losses.LogCosh,
    "hinge": losses.Hinge,
    "squared_hinge": losses.SquaredHinge,
    "categorical_hinge": losses.CategoricalHinge,
    "kl_divergence": losses.KLDivergence,
    "kld": losses.KLDivergence,
    "KLD": losses.KLDivergence,
    "poisson": losses.Poisson,
    "cosine_similarity": losses.CosineSimilarity,
    "binary_focal_crossentropy": losses.BinaryFocalCrossentropy,
    "categorical_focal_crossentropy": losses.CategoricalFocalCrossentropy,
    "sparse_categorical_focal_crossentropy": losses.SparseCategoricalFocalCrossentropy,
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
        (
            lambda: classifier(loss=losses.CategoricalCrossentropy(reduction="none")),
            ValueError,
            "training needs one",
        ),
        (
            lambda: losses.Hinge(reduction="mean_with_sample_weight"),
            ValueError,
            "divide the sample",
        ),
        (lambda: losses.RootMeanSquaredError(reduction="sum"), ValueError, "root is over all rows"),
        (lambda: losses.RootMeanSquaredError(reduction=None), ValueError, "root is over all rows"),
        (lambda: losses.MeanSquaredError(per="row"), ValueError, "'output'.*or 'sample'"),
        (lambda: losses.Huber(delta=0), ValueError, "Huber: delta is 0, expected a number above 0"),
        (lambda: losses.CategoricalFocalCrossentropy(gamma=-1), ValueError, "gamma is -1"),
        (lambda: losses.CategoricalFocalCrossentropy(alpha=[1, -1]), ValueError, "alpha is -1"),
        (lambda: losses.CategoricalFocalCrossentropy(alpha=[[1]]), ValueError, r"shape \(1, 1\)"),
        (
            lambda: losses.BinaryFocalCrossentropy(alpha=2),
            ValueError,
            "alpha is 2, expected a number of at least 0 and at most 1",
        ),
        (lambda: losses.LogCosh(delta=1.0), TypeError, "unexpected argument 'delta'"),
        (lambda: losses.get("cosine"), ValueError, "cosine_similarity"),
        (lambda: losses.MeanSquaredError(reduction="mena"), ValueError, "unknown reduction"),
        (lambda: losses.CategoricalCrossentropy(label_smoothing=2), ValueError, "at most 1"),
        (lambda: losses.CategoricalCrossentropy(label_smooth=0.1), TypeError, "label_smoothing"),
        (lambda: losses.MeanSquaredError(axis=1), TypeError, "axis=1 is not supported"),
        (
            lambda: losses.SparseCategoricalCrossentropy(ignore_class=2),
            TypeError,
            "ignore_class=2 is not supported; give those rows sample_weight 0",
        ),
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


FOCAL = {
    "softmax": (
        losses.SparseCategoricalFocalCrossentropy,
        losses.CategoricalFocalCrossentropy,
    ),
    "sigmoid": (losses.BinaryFocalCrossentropy,),
}


@pytest.mark.parametrize(
    ("function", "kind"), [(f, kind) for f, kinds in FOCAL.items() for kind in kinds]
)
def test_focal_losses_take_the_logits(function, kind):
    x, y = blobs(20)
    y = y if kind.sparse else np.eye(3)[y]
    alpha = [0.2, 1.0, 2.0] if function == "softmax" else 0.25
    dense = ck.layers.Dense
    a = ck.Sequential([ck.Input((4,)), dense(8, "tanh"), dense(3, function)])
    b = ck.Sequential([ck.Input((4,)), dense(8, "tanh"), dense(3)])
    b.set_weights(a.get_weights())
    a.compile("adam", kind(alpha=alpha, gamma=1.5))
    b.compile("adam", kind(alpha=alpha, gamma=1.5, from_logits=True))
    program = str(a.program())
    assert f"{function}_focal_cross_entropy" in program and "gamma=1.5" in program
    assert not any(i.op == "softmax" for i in a.program().instructions)
    p = a.predict(x, verbose=0)
    assert a.evaluate(x, y, verbose=0) == pytest.approx(a.loss(y, p), rel=1e-5)
    assert a.evaluate(x, y, verbose=0) == pytest.approx(b.evaluate(x, y, verbose=0), rel=1e-6)
    a.fit(x, y, verbose=0)
    b.fit(x, y, verbose=0)
    for v, w in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(v, w, rtol=1e-5, atol=1e-7)


def test_focal_loss_of_what_went_through_softmax_is_warned_of():
    x, y = blobs(10)
    loss = losses.SparseCategoricalFocalCrossentropy(from_logits=True)
    with pytest.warns(UserWarning, match=r"ends in softmax.*once more"):
        classifier(loss=loss).fit(x, y, verbose=0)


def test_focal_loss_without_a_focus_is_the_cross_entropy():
    for focal, plain in (
        (losses.CategoricalFocalCrossentropy(1.0, 0.0), losses.CategoricalCrossentropy()),
        (
            losses.SparseCategoricalFocalCrossentropy(1.0, 0.0, True),
            losses.SparseCategoricalCrossentropy(True),
        ),
        (losses.BinaryFocalCrossentropy(gamma=0.0), losses.BinaryCrossentropy()),
    ):
        assert focal.kind == plain.kind
    balanced = losses.BinaryFocalCrossentropy(True, 0.25, 0.0)
    y, p = [[1.0], [0.0]], [[0.5], [0.5]]
    assert balanced(y, p) == pytest.approx(np.log(2) * (0.25 + 0.75) / 2)


def test_alpha_has_a_number_for_each_class():
    x, y = blobs(10)
    model = classifier(loss=losses.SparseCategoricalFocalCrossentropy(alpha=[1.0, 2.0]))
    with pytest.raises(ValueError, match=r"alpha has 2 numbers, expected .* 3 classes"):
        model.evaluate(x, y, verbose=0)


LOSSES = sorted({cls for cls in NAMES.values()} - {losses.RootMeanSquaredError}, key=str)


def domain(cls):
    """Targets and predictions that suit a loss."""
    rng = np.random.default_rng(0)
    p = rng.uniform(0.1, 0.9, (6, 3)).astype(np.float32)
    p /= p.sum(axis=1, keepdims=True)
    y = rng.integers(0, 3, 6)
    return (y if cls.sparse else np.eye(3, dtype=np.float32)[y]), p


@pytest.mark.parametrize("cls", LOSSES)
def test_calling_a_loss(cls):
    y, p = domain(cls)
    rows = cls(reduction="none")(y, p)
    assert rows.shape == (6,) and rows.dtype == np.float32 and rows.any()
    assert cls(reduction=None)(y, p).tobytes() == rows.tobytes()
    mean, total = cls(reduction="sum_over_batch_size")(y, p), cls(reduction="sum")(y, p)
    assert isinstance(mean, float) and isinstance(total, float)
    assert mean == pytest.approx(rows.mean(), rel=1e-6) == cls(reduction="mean")(y, p)
    assert total == pytest.approx(rows.sum(), rel=1e-6)
    weight = np.array([0, 1, 2, 0.5, 3, 0])
    got = cls(reduction="sum_over_batch_size")(y, p, sample_weight=weight)
    assert got == pytest.approx((rows * weight).sum() / 6, rel=1e-6)
    wide = cls(reduction="none")(y, p.astype(float))
    assert wide.dtype == np.float64
    np.testing.assert_allclose(rows, wide, rtol=1e-4, atol=1e-6)
    function = {v: k for k, v in losses.names._FUNCTIONS.items()}.get(cls)
    if function is not None:
        assert function(y, p).tobytes() == rows.tobytes()
        assert type(losses.get(function)) is cls


@pytest.mark.parametrize("cls", [*LOSSES, losses.RootMeanSquaredError])
def test_calling_a_loss_gives_what_evaluate_reports(cls):
    """And the losses of rows, weighted, are those of the steps of a sequence."""
    rng = np.random.default_rng(1)
    y, p = domain(cls)
    weight = rng.random(6)
    last = "softmax" if cls.domain == (0.0, 1.0) or cls.sparse or "Cat" in cls.__name__ else None
    model = ck.Sequential([ck.Input((4,)), ck.layers.Dense(3, last or "softplus")])
    model.compile("sgd", cls())
    x = rng.standard_normal((6, 4)).astype(np.float32)
    p = model.predict(x, verbose=0)
    for w in (None, weight):
        got = model.evaluate(x, y, sample_weight=w, verbose=0)
        assert got == pytest.approx(cls()(y, p, sample_weight=w), rel=1e-5)
    steps = [np.reshape(v, (2, 3, *v.shape[1:])) for v in (y, p)]
    if cls is not losses.RootMeanSquaredError:
        rows = cls(reduction="none")(y, p)
        sequences = cls(reduction="none")
        np.testing.assert_array_equal(sequences(*steps), rows.reshape(2, 3))
        for w in ([2.0, 0.5], [[2.0] * 3, [0.5] * 3]):
            np.testing.assert_allclose(
                sequences(*steps, sample_weight=w), (rows.reshape(2, 3).T * [2.0, 0.5]).T, rtol=1e-6
            )


def test_squared_errors_and_their_factors():
    t, a = np.array([[1.0, 0.0], [2.0, 2.0]]), np.array([[3.0, 1.0], [2.0, 5.0]])
    assert losses.MeanSquaredError()(t, a) == 14 / 4
    assert losses.MeanSquaredError(per="sample")(t, a) == 14 / 2
    assert losses.SumSquaredError()(t, a) == 14
    assert losses.SumSquaredError(half=True)(t, a) == 7
    assert losses.SumSquaredError(reduction="sum_over_batch_size")(t, a) == 7
    assert losses.SumSquaredError(True, reduction="none")(t, a).tolist() == [2.5, 4.5]
    assert losses.RootMeanSquaredError()(t, a) == pytest.approx(np.sqrt(14 / 4))


@pytest.mark.parametrize(
    ("loss", "factor"),
    [
        (losses.SumSquaredError(half=True), 1.0),
        (losses.SumSquaredError(), 2.0),
        (losses.MeanSquaredError(per="sample"), 2 / 5),
        (losses.MeanSquaredError(), 1 / 5),
    ],
)
def test_gradients_of_squared_errors(loss, factor):
    """One step of plain descent on a linear model: w - rate * factor * x' (a - t)."""
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    model = ck.Sequential([ck.Input((3,)), ck.layers.Dense(2, use_bias=False)])
    model.compile(ck.optimizers.SGD(0.1), loss)
    (w,) = model.get_weights()
    model.train_on_batch(x, t)
    wanted = w - 0.1 * factor * x.T @ (x @ w - t)
    np.testing.assert_allclose(model.get_weights()[0], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", ["hinge", "squared_hinge"])
def test_hinges_take_zeros_and_ones(loss):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((12, 3)).astype(np.float32), rng.integers(0, 2, 12)
    model = ck.Sequential([ck.Input((3,)), ck.layers.Dense(1)])
    model.compile("sgd", loss)
    first = model.evaluate(x, y, verbose=0)
    assert first == model.evaluate(x, 2 * y - 1, verbose=0)
    p = model.predict(x, verbose=0).astype(float)
    margin = np.maximum(1 - (2.0 * y[:, None] - 1) * p, 0)
    assert first == pytest.approx((margin ** (1 + (loss == "squared_hinge"))).mean(), rel=1e-5)


REFUSED = {
    "poisson": (losses.Poisson, -1.0, r"targets from 0, got y = -1 at index \(1, 1\)"),
    "divergence": (losses.KLDivergence, -0.5, "targets from 0 to 1, got y = -0.5"),
    "above": (losses.KLDivergence, 2.0, "targets from 0 to 1, got y = 2"),
    "logarithm": (losses.MeanSquaredLogarithmicError, -1.0, "targets from 0, got y = -1"),
    "binary": (losses.BinaryFocalCrossentropy, 2.0, "targets from 0 to 1, got y = 2"),
    "margin": (losses.Hinge, 2.0, "targets of -1 and 1, or of 0 and 1, got y = 2"),
    "mixed": (losses.SquaredHinge, -1.0, "of 0 and 1, got y = 0 beside -1"),
    "classes": (losses.CategoricalHinge, 2.0, "targets from -1 to 1, got y = 2"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_targets_outside_of_the_domain(name):
    cls, value, message = REFUSED[name]
    y = np.eye(3)[[0, 1, 2]]
    y[1, 1] = value
    with pytest.raises(ValueError, match=f"{cls.__name__}: .*{message}"):
        cls()(y, np.full((3, 3), 0.5))
    model = classifier(loss=cls())
    with pytest.raises(ValueError, match=rf"\[fit\] loss .*{message}"):
        model.fit(np.zeros((3, 4)), y, verbose=0)


@pytest.mark.parametrize(
    ("y", "p", "weight", "message"),
    [
        ([0, 1, 3], np.ones((3, 3)), None, "label 3 at row 2 is outside"),
        ([0, 1], np.ones((3, 3)), None, "expected integer labels of shape"),
        ([0.5, 1, 1], np.ones((3, 3)), None, "expected integer labels"),
        (np.eye(3, dtype=int), np.ones((3, 3)), None, "expected integer labels"),
        ([0, 1, 2], np.ones((3, 3)), [1, 2], r"sample_weight has shape \(2,\)"),
        ([0, 1, 2], np.ones((3, 3)), [1, -2, 1], "finite and not negative"),
        ([0, 1, 2], np.ones((3, 3)), [1, np.nan, 1], "finite and not negative"),
        (0, 1.0, None, "y_pred must have at least one axis"),
    ],
)
def test_calls_that_do_not_fit(y, p, weight, message):
    with pytest.raises(ValueError, match=message):
        losses.SparseCategoricalCrossentropy()(y, p, weight)


@pytest.mark.parametrize("name", ["mse", "mae", "huber", "poisson", "categorical_hinge"])
def test_targets_of_another_width(name):
    model = classifier(loss=name)
    for y in (np.ones((5, 2)), np.ones(5)):
        with pytest.raises(ValueError, match=r"expects y of shape \(N, 3\), got \(5"):
            model.fit(np.zeros((5, 4)), y, verbose=0)
    with pytest.raises(ValueError, match=r"for integer labels use np.eye\(3, .*\)\[y\]"):
        model.fit(np.zeros((5, 4)), [0, 1, 2, 1, 0], verbose=0)


def test_discriminative_map_of_arrays():
    p, y = -np.array([[1.0, 2.0], [0.5, 6.0]]), [0, 1]
    e = np.exp(p)
    wanted = -p[[0, 1], y] + np.log(np.exp(-5) + e.sum(axis=1))
    np.testing.assert_allclose(losses.DiscriminativeMAP(reduction="none")(y, p), wanted)
    with pytest.raises(ValueError, match="label 2"):
        losses.DiscriminativeMAP()([0, 2], p)


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
