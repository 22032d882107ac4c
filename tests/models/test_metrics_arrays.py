"""Metrics on arrays: Keras's documented examples, batches, weights, names, refusals."""

import numpy as np
import pytest

import convkit as ck
from convkit import losses, metrics
from convkit.metrics.names import _CLASSES, NAMES

WEIGHTS = [0.0, 0.25, 1.0, 2.0]
KERAS_EXAMPLES = [
    (metrics.Accuracy(), [[1], [2], [3], [4]], [[0], [2], [3], [4]], [0.75]),
    (metrics.BinaryAccuracy(), [[1], [1], [0], [0]], [[0.98], [1], [0], [0.6]], [0.75]),
    (metrics.CategoricalAccuracy(), [[0, 0, 1], [0, 1, 0]],
     [[0.1, 0.9, 0.8], [0.05, 0.95, 0]], [0.5]),
    (metrics.SparseCategoricalAccuracy(), [[2], [1]], [[0.1, 0.6, 0.3], [0.05, 0.95, 0]], [0.5]),
    (metrics.TopKCategoricalAccuracy(k=1), [[0, 0, 1], [0, 1, 0]],
     [[0.1, 0.9, 0.8], [0.05, 0.95, 0]], [0.5]),
    (metrics.Precision(), [0, 1, 1, 1], [1, 0, 1, 1], [2 / 3]),
    (metrics.Precision(top_k=2), [0, 0, 1, 1], [1, 1, 1, 1], [0.0]),
    (metrics.Precision(top_k=4), [0, 0, 1, 1], [1, 1, 1, 1], [0.5]),
    (metrics.Recall(), [0, 1, 1, 1], [1, 0, 1, 1], [2 / 3]),
    (metrics.FalsePositives(), [0, 1, 0, 0], [0, 0, 1, 1], [2]),
    (metrics.FalseNegatives(), [0, 1, 1, 1], [0, 1, 0, 0], [2]),
    (metrics.TrueNegatives(), [0, 1, 0, 0], [1, 1, 0, 0], [2]),
    (metrics.TruePositives(), [0, 1, 1, 1], [1, 0, 1, 1], [2]),
    (metrics.AUC(num_thresholds=3), [0, 0, 1, 1], [0, 0.5, 0.3, 0.9], [0.75]),
    (metrics.F1Score(threshold=0.5), [[1, 1, 1], [1, 0, 0], [1, 1, 0]],
     [[0.2, 0.6, 0.7], [0.2, 0.6, 0.6], [0.6, 0.8, 0.0]], [0.5, 0.8, 2 / 3]),
    (metrics.FBetaScore(beta=2.0, threshold=0.5), [[1, 1, 1], [1, 0, 0], [1, 1, 0]],
     [[0.2, 0.6, 0.7], [0.2, 0.6, 0.6], [0.6, 0.8, 0.0]], [5 / 13, 10 / 11, 5 / 6]),
    (metrics.R2Score(), [[1], [4], [3]], [[2], [4], [4]], [4 / 7]),
    (metrics.RootMeanSquaredError(), [[0, 1], [0, 0]], [[1, 1], [0, 0]], [0.5]),
    (metrics.MeanAbsoluteError(), [[0, 1], [0, 0]], [[1, 1], [0, 0]], [0.25]),
    (metrics.MeanSquaredError(), [[0, 1], [0, 0]], [[1, 1], [0, 0]], [0.25]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "y", "p", "want"), KERAS_EXAMPLES, ids=lambda v: getattr(v, "name", "")
)
def test_examples_of_the_keras_documentation(metric, y, p, want):
    if getattr(metric, "top_k", None) and np.ndim(y) == 1:  # there one row, as the last axis ranks
        y, p = [y], [p]
    np.testing.assert_allclose(np.atleast_1d(metric(y, p)), want, rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("cls", _CLASSES)
def test_three_batches_count_like_the_whole(cls, weighted):
    options = {"threshold": 0.5} if "Beta" in cls.__name__ or "F1" in cls.__name__ else {}
    whole, parts = cls(**options), cls(**options)
    rng = np.random.default_rng(1)
    p, w = rng.random((30, 4)), rng.choice(WEIGHTS, 30) if weighted else None
    y = rng.integers(0, 4, 30) if whole.sparse else rng.integers(0, 2, (30, 4))
    if cls is metrics.Accuracy:
        y = rng.integers(0, 4, 30)
    expected = whole(y, p, w)
    for cut in (slice(0, 11), slice(11, 12), slice(12, 30)):
        got = parts(y[cut], p[cut], None if w is None else w[cut])
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    np.testing.assert_array_equal(parts.result(), got)
    assert np.any(got)
    parts.reset_state()
    assert parts.result() == 0
    np.testing.assert_allclose(parts(y, p, w), expected, rtol=1e-12)


def test_weights_in_all_forms():
    y, p = np.array([[1], [0], [1], [1]]), np.array([[0.9], [0.8], [0.2], [0.7]])
    m = metrics.BinaryAccuracy
    want = m()(y, p, [1, 0.5, 2, 0])
    assert want == 1 / 3.5
    assert m()(y, p, np.array([[1], [0.5], [2], [0]])) == want
    assert m()(y, p, 3) == m()(y, p)
    sequences = np.arange(24).reshape(2, 3, 4) / 24
    labels = np.array([[3, 0, 3], [3, 3, 1]])
    by_sample = metrics.SparseCategoricalAccuracy()(labels, sequences, [1, 2])
    by_step = metrics.SparseCategoricalAccuracy()(labels, sequences, [[1, 1, 1], [2, 2, 2]])
    assert by_sample == by_step == (1 + 1 + 2 + 2) / 9


def test_thresholds_in_any_order():
    y, p = [1, 0, 1, 1], [0.3, 0.6, 0.8, 0.1]
    assert metrics.TruePositives([0.5, 0.0, 0.2])(y, p).tolist() == [1, 3, 2]
    assert metrics.Precision((0.7, 0.2))(y, p).tolist() == [1, 2 / 3]


def test_float32_scores_compare_as_float32():
    p = np.array([0.3, 0.7], np.float32)
    assert metrics.TruePositives(0.3)([1, 1], p) == 1
    assert metrics.TruePositives(0.3)([1, 1], p.astype(float)) == 2  # 0.3 as float32 is above 0.3


Y, P = [0, 1, 2, 1], np.full((4, 3), 0.2)


@pytest.mark.parametrize(
    ("error", "message", "make"),
    [
        (ValueError, r"thresholds must be in 0\.\.1", lambda: metrics.Precision(1.5)),
        (ValueError, r"thresholds must be in 0\.\.1", lambda: metrics.Recall([0.5, np.nan])),
        (ValueError, r"thresholds must be in 0\.\.1", lambda: metrics.Recall([])),
        (ValueError, "top_k is 0, expected at least 1", lambda: metrics.Recall(top_k=0)),
        (ValueError, "class_id is -1, expected at least 0", lambda: metrics.Recall(class_id=-1)),
        (ValueError, r"class_id 3 is outside 0\.\.2", lambda: metrics.Recall(class_id=3)(Y, P)),
        (ValueError, "k is 0, expected at least 1", lambda: metrics.TopKCategoricalAccuracy(0)),
        (TypeError, "k must be a whole number",
         lambda: metrics.SparseTopKCategoricalAccuracy("5")),
        (ValueError, "from_sorted_ids",
         lambda: metrics.SparseTopKCategoricalAccuracy(from_sorted_ids=True)),
        (ValueError, "average must be one of", lambda: metrics.F1Score("samples")),
        (ValueError, "beta is 0, expected a number above 0", lambda: metrics.FBetaScore(beta=0)),
        (ValueError, "threshold is 0.0, expected a number above 0 and at most 1",
         lambda: metrics.F1Score(threshold=0.0)),
        (ValueError, "pass threshold=0.5", lambda: metrics.F1Score()([1, 0], [0.2, 0.3])),
        (ValueError, "unknown curve 'Roc'; did you mean 'ROC'", lambda: metrics.AUC(curve="Roc")),
        (ValueError, "summation_method", lambda: metrics.AUC(summation_method="trapezium")),
        (ValueError, "multi_label", lambda: metrics.AUC(multi_label=True)),
        (ValueError, "at least 2", lambda: metrics.AUC(1)),
        (ValueError, "y_pred holds -2, expected values in 0..1",
         lambda: metrics.AUC()([1, 0], [0.5, -2])),
        (ValueError, "class_aggregation", lambda: metrics.R2Score("mean")),
        (ValueError, "num_regressors", lambda: metrics.R2Score(num_regressors=-1)),
        (ValueError, "mask_token_id", lambda: metrics.Perplexity(mask_token_id=0)),
        (ValueError, "scores of several", lambda: metrics.Perplexity()([1], [0.5])),
        (ValueError, "several classes, there is one",
         lambda: metrics.Perplexity()([[1]], [[0.5]])),
        (ValueError, "needs values of y_pred's shape", lambda: metrics.R2Score()(Y, P)),
        (ValueError, "needs integer labels",
         lambda: metrics.SparseCategoricalAccuracy()(np.eye(3)[Y], P)),
        (ValueError, "expected values of shape", lambda: metrics.AUC()(Y, P[:3])),
        (ValueError, r"label 3.* at row 1 is not an integer in 0\.\.2",
         lambda: metrics.Accuracy()([0, 3, 1, 1], P)),
        (ValueError, "label 0.5", lambda: metrics.Accuracy()([0, 0.5, 1, 1], P)),
        (ValueError, "sample_weight has shape", lambda: metrics.Accuracy()(Y, P, [1, 2])),
        (ValueError, "finite and not negative",
         lambda: metrics.Accuracy()(Y, P, [1, 2, -1, 0])),
        (TypeError, "y_pred has dtype", lambda: metrics.Accuracy()(Y, [["a"]] * 4)),
        (TypeError, "y_true has dtype", lambda: metrics.Accuracy()(["a"] * 4, P)),
        (TypeError, "unexpected argument 'treshold'", lambda: metrics.F1Score(treshold=0.5)),
        (TypeError, "dtype='float16' is not supported", lambda: metrics.AUC(dtype="float16")),
        (ValueError, "y_true must hold integer labels",
         lambda: metrics.sparse_categorical_accuracy(np.eye(3)[Y], P)),
        (ValueError, r"class 3 is outside 0\.\.2",
         lambda: metrics.confusion_matrix([3], [0], 3)),
        (ValueError, "must hold labels", lambda: metrics.confusion_matrix([0.5], [0])),
        (ValueError, "2 labels, y_pred 1", lambda: metrics.confusion_matrix([0, 1], [0])),
        (ValueError, "1 weights for 2",
         lambda: metrics.confusion_matrix([0, 1], [0, 1], sample_weight=[1])),
        (ValueError, "unknown metric 'recal'; did you mean 'recall'",
         lambda: metrics.get("recal")),
    ],
)  # fmt: skip
def test_refusals(error, message, make):
    with pytest.raises(error, match=message):
        make()


def test_batches_of_other_classes_are_refused():
    m = metrics.ConfusionMatrix()
    m.update_state(Y, P)
    with pytest.raises(ValueError, match="another number of classes"):
        m.update_state(Y, np.full((4, 5), 0.2))


def test_names():
    for name in NAMES:
        metric = metrics.get(name)
        assert metric.name == name or type(metric).__name__ == name
    for name, cls in (("rmse", metrics.RootMeanSquaredError), ("MAE", metrics.MeanAbsoluteError)):
        assert type(metrics.get(name)) is cls
    assert metrics.get(metrics.AUC).name == "auc"
    assert metrics.get("discriminative_map").name == "discriminative_map"  # of a loss alone
    assert set(ck.metrics.__all__) >= {cls.__name__ for cls in _CLASSES}


def test_functions_name_their_metrics():
    for name in ("categorical_accuracy", "sparse_top_k_categorical_accuracy", "confusion_matrix"):
        assert metrics.get(getattr(metrics, name)).name == name
    assert metrics.get(losses.mean_squared_error).name == "mean_squared_error"
    with pytest.raises(TypeError, match="a metric must be a name or an object"):
        metrics.get(lambda y_true, y_pred: 0.0)


@pytest.mark.parametrize(
    "name",
    [
        "CategoricalHinge", "CosineSimilarity", "Hinge", "KLDivergence", "LogCoshError",
        "MeanAbsolutePercentageError", "MeanSquaredLogarithmicError", "Poisson", "SquaredHinge",
    ],
)  # fmt: skip
def test_losses_are_means_over_rows(name):
    rng = np.random.default_rng(0)
    y, p, w = np.eye(4)[rng.integers(0, 4, 20)], rng.random((20, 4)), rng.choice(WEIGHTS, 20)
    metric = metrics.get(name)
    rows = getattr(losses, name.removesuffix("Error") if "Cosh" in name else name)().of_rows(y, p)
    sign = -1 if name == "CosineSimilarity" else 1
    assert metric(y, p) == pytest.approx(sign * rows.mean(), rel=1e-12)
    metric.reset_state()
    assert metric(y, p, w) == pytest.approx(sign * (w * rows).sum() / w.sum(), rel=1e-12)
    for alias in metric.aliases:
        assert type(metrics.get(alias)) is type(metric)
    if name == "CosineSimilarity":
        assert metrics.get(name)(y, 3 * y) == pytest.approx(1)


def test_functions_of_losses_are_metrics_too():
    y, p = np.array([[1.0, 0.0]]), np.array([[0.5, 0.25]])
    np.testing.assert_allclose(metrics.mean_absolute_error(y, p), [0.375])
    assert metrics.get(metrics.mean_absolute_error)(y, p) == 0.375


MADE = [
    metrics.Precision([0.7, 0.2], class_id=1), metrics.Recall(top_k=2, name="r"),
    metrics.AUC(50, "PR", from_logits=True), metrics.F1Score("macro", 0.5),
    metrics.FBetaScore(beta=2.0), metrics.R2Score(None, num_regressors=1),
    metrics.SparseTopKCategoricalAccuracy(2), metrics.Perplexity(True),
    metrics.BinaryAccuracy(threshold=0.25), metrics.ConfusionMatrix(name="c"),
]  # fmt: skip


@pytest.mark.parametrize("metric", MADE, ids=lambda m: m.name)
def test_a_config_makes_the_same_metric(metric):
    again = type(metric).from_config(metric.get_config())
    rng = np.random.default_rng(0)
    y = rng.integers(0, 4, 20) if metric.sparse is not False else rng.integers(0, 2, (20, 4))
    p = rng.random((20, 4))
    assert again.name == metric.name
    np.testing.assert_array_equal(again(y, p), metric(y, p))
