"""Metrics on arrays against definitions written as loops, and Keras's documented examples."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import losses, metrics
from convkit.metrics.names import _CLASSES, NAMES

SCORES = [0.0, 0.1, 0.25, 0.5, 0.5000001, 0.75, 0.9, 1.0]
WEIGHTS = [0.0, 0.25, 1.0, 2.0]


def drawn(seed, n, k, kind):
    """Few different scores, so that there are ties; labels may leave classes empty."""
    rng = np.random.default_rng(seed)
    p = rng.choice(SCORES, (n, k))
    if kind == "labels":
        y = rng.integers(0, max(1, k - 1), n)
    elif kind == "one-hot":
        y = np.eye(k)[rng.integers(0, k, n)]
    else:
        y = rng.integers(0, 2, (n, k)).astype(float)
    return y, p, rng.choice(WEIGHTS, n)


def one_hot(y, k):
    return np.eye(k)[y] if y.ndim == 1 else y


def counts(y, p, weight, threshold, columns=None):
    """tp, fp, tn, fn, one value at a time."""
    found = {"tp": 0.0, "fp": 0.0, "tn": 0.0, "fn": 0.0}
    for r in range(len(p)):
        for k in range(p.shape[1]) if columns is None else columns:
            positive, predicted = y[r, k] > 0, p[r, k] > threshold
            key = ("t" if positive == predicted else "f") + ("p" if predicted else "n")
            found[key] += weight[r]
    return found


def divide(a, b):
    return a / b if b else 0.0


ROWS = st.tuples(
    st.integers(0, 99), st.integers(1, 12), st.integers(2, 5),
    st.sampled_from(["labels", "one-hot", "several"]), st.booleans(),
)  # fmt: skip


@given(ROWS, st.lists(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), min_size=1, max_size=3))
def test_counts_precision_and_recall(rows, thresholds):
    *drawing, weighted = rows
    y, p, w = drawn(*drawing)
    weight = w if weighted else np.ones(len(p))
    for column in (None, 1):
        columns = None if column is None else [column]
        c = [counts(one_hot(y, p.shape[1]), p, weight, t, columns) for t in thresholds]
        want = {
            metrics.Precision: [divide(x["tp"], x["tp"] + x["fp"]) for x in c],
            metrics.Recall: [divide(x["tp"], x["tp"] + x["fn"]) for x in c],
        }
        if column is None:
            want[metrics.TruePositives] = [x["tp"] for x in c]
            want[metrics.FalsePositives] = [x["fp"] for x in c]
            want[metrics.TrueNegatives] = [x["tn"] for x in c]
            want[metrics.FalseNegatives] = [x["fn"] for x in c]
        for cls, values in want.items():
            options = {} if column is None else {"class_id": column}
            got = cls(thresholds, **options)(y, p, w if weighted else None)
            assert np.atleast_1d(got).tolist() == values, cls


def in_top(row, k):
    """The k largest, of equal ones the first."""
    return set(sorted(range(len(row)), key=lambda i: (-row[i], i))[:k])


@given(ROWS, st.integers(1, 4))
def test_top_k(rows, k):
    *drawing, weighted = rows
    y, p, w = drawn(*drawing)
    truth = one_hot(y, p.shape[1])
    weight = w if weighted else np.ones(len(p))
    tp = fp = fn = right = 0.0
    for r, row in enumerate(p):
        best = in_top(row, k)
        tp += weight[r] * sum(i in best and truth[r, i] > 0 for i in range(len(row)))
        fp += weight[r] * sum(i in best and truth[r, i] == 0 for i in range(len(row)))
        fn += weight[r] * sum(i not in best and truth[r, i] > 0 for i in range(len(row)))
        target = y[r] if y.ndim == 1 else int(np.argmax(y[r]))
        right += weight[r] * (sum(v > row[target] for v in row) < k)
    given = w if weighted else None
    assert metrics.Precision(top_k=k)(y, p, given) == divide(tp, tp + fp)
    assert metrics.Recall(top_k=k)(y, p, given) == divide(tp, tp + fn)
    sparse = y.ndim == 1
    kind = metrics.SparseTopKCategoricalAccuracy if sparse else metrics.TopKCategoricalAccuracy
    assert kind(k)(y, p, given) == divide(right, weight.sum())
    function = "sparse_top_k_categorical_accuracy" if sparse else "top_k_categorical_accuracy"
    assert divide((getattr(metrics, function)(y, p, k) * weight).sum(), weight.sum()) == divide(
        right, weight.sum()
    )


@given(ROWS)
def test_accuracies(rows):
    *drawing, weighted = rows
    y, p, w = drawn(*drawing)
    weight = w if weighted else np.ones(len(p))
    given = w if weighted else None
    first = [row.tolist().index(max(row)) for row in p]
    if y.ndim == 1:
        right = [float(f == t) for f, t in zip(first, y, strict=True)]
        names = ["sparse_categorical_accuracy"]
        assert metrics.Accuracy()(y, p, given) == divide(np.dot(right, weight), weight.sum())
    else:
        right = [float(f == t.tolist().index(max(t))) for f, t in zip(first, y, strict=True)]
        names = ["categorical_accuracy"]
    for name in names:
        got = metrics.get(name)(y, p, given)
        assert got == divide(np.dot(right, weight), weight.sum())
        np.testing.assert_array_equal(getattr(metrics, name)(y, p), right)
    if y.ndim == 2:
        share = [np.mean([(a > 0.5) == (b > 0.5) for a, b in zip(*r)]) for r in zip(p, y)]
        got = metrics.BinaryAccuracy()(y, p, given)
        assert got == pytest.approx(divide(np.dot(share, weight), weight.sum()))
        np.testing.assert_allclose(metrics.binary_accuracy(y, p), share)


@given(ROWS, st.sampled_from([None, "micro", "macro", "weighted"]), st.sampled_from([0.5, 1, 2]))
def test_f_scores(rows, average, beta):
    *drawing, weighted = rows
    y, p, w = drawn(*drawing)
    k, truth = p.shape[1], one_hot(y, p.shape[1])
    weight = w if weighted else np.ones(len(p))
    for threshold in (None, 0.25):
        q = p
        if threshold is None:
            q = np.array([[float(i in in_top(row, 1)) for i in range(k)] for row in p])
        each = [counts(truth, q, weight, threshold or 0.5, [i]) for i in range(k)]
        if average == "micro":
            each = [{name: sum(c[name] for c in each) for name in each[0]}]
        scores = []
        for c in each:
            precision, recall = (
                divide(c["tp"], c["tp"] + c["fp"]),
                divide(c["tp"], c["tp"] + c["fn"]),
            )
            scores.append((1 + beta**2) * divide(precision * recall, beta**2 * precision + recall))
        positives = [c["tp"] + c["fn"] for c in each]
        want = {
            "macro": np.mean(scores),
            "weighted": divide(np.dot(scores, positives), sum(positives)),
        }.get(average, scores)
        got = metrics.FBetaScore(average, beta, threshold)(y, p, w if weighted else None)
        np.testing.assert_allclose(np.atleast_1d(got), np.atleast_1d(want), rtol=1e-12)
        if beta == 1:
            f1 = metrics.F1Score(average, threshold)(y, p, w if weighted else None)
            np.testing.assert_array_equal(f1, got)


def ranked(y, p, weight):
    """Share of pairs of a positive and a negative in the right order, ties half: the ROC's area."""
    area = total = 0.0
    for a, b, u in zip(p, y, weight, strict=True):
        for c, d, v in zip(p, y, weight, strict=True):
            if b > 0 >= d:
                total += u * v
                area += u * v * (1.0 if a > c else 0.5 if a == c else 0.0)
    return divide(area, total)


@given(st.integers(0, 99), st.integers(1, 25), st.booleans())
def test_the_roc_area_is_the_share_of_pairs_in_order(seed, n, weighted):
    rng = np.random.default_rng(seed)
    p, y, w = rng.integers(0, 11, n) / 10, rng.integers(0, 2, n), rng.choice(WEIGHTS, n)
    # Thresholds between all the scores: the sum over thresholds has no error then.
    auc = metrics.AUC(thresholds=[i / 10 + 0.05 for i in range(10)])
    got = auc(y, p, w if weighted else None)
    assert got == pytest.approx(ranked(y, p, w if weighted else np.ones(n)), abs=1e-12)


@pytest.mark.parametrize("method", ["interpolation", "minoring", "majoring"])
@pytest.mark.parametrize("curve", ["ROC", "PR"])
@pytest.mark.parametrize("seed", range(5))
def test_areas_by_hand(curve, method, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, 40).astype(float)
    p = np.clip(0.5 * y + rng.normal(0.25, 0.3, 40), 0, 1)
    edges = [-1e-7, *(i / 19 for i in range(1, 19)), 1 + 1e-7]
    c = [counts(y[:, None], p[:, None], np.ones(40), t) for t in edges]
    area = 0.0
    for a, b in itertools.pairwise(c):  # a: the lower threshold
        if curve == "PR" and method == "interpolation":
            area += precision_integral(a, b)
            continue
        (xa, ya), (xb, yb) = (point(q, curve) for q in (a, b))
        height = {"interpolation": (ya + yb) / 2, "minoring": min(ya, yb), "majoring": max(ya, yb)}
        area += (xa - xb) * height[method]
    got = metrics.AUC(20, curve, method)(y, p)
    assert got == pytest.approx(area, rel=1e-9, abs=1e-12)


def point(c, curve):
    recall = divide(c["tp"], c["tp"] + c["fn"])
    if curve == "ROC":
        return divide(c["fp"], c["fp"] + c["tn"]), recall
    return recall, divide(c["tp"], c["tp"] + c["fp"])


def precision_integral(a, b):
    """The integral of precision over recall where tp grows linearly with tp + fp, by midpoints."""
    positives = a["tp"] + a["fn"]
    gained, more = a["tp"] - b["tp"], (a["tp"] + a["fp"]) - (b["tp"] + b["fp"])
    if not gained or not positives:
        return 0.0
    steps = 100_000
    at = (np.arange(steps) + 0.5) / steps
    predicted = b["tp"] + b["fp"] + at * more
    return float(((b["tp"] + at * gained) / predicted).mean() * gained / positives)


def test_undefined_areas_are_0_as_in_keras():
    for y in ([1, 1, 1], [0, 0, 0]):
        assert metrics.AUC()(y, [0.2, 0.5, 0.9]) == 0
    assert metrics.AUC(curve="PR")([0, 0, 0], [0.2, 0.5, 0.9]) == 0
    assert metrics.AUC(curve="PR")([1, 1, 1], [0.2, 0.5, 0.9]) == pytest.approx(1)
    assert metrics.Precision()([1, 0], [0.1, 0.2]) == 0
    assert metrics.Recall()([0, 0], [0.9, 0.8]) == 0


def test_areas_of_logits():
    rng = np.random.default_rng(0)
    z, y = rng.normal(0, 2, 50), rng.integers(0, 2, 50)
    p = 1 / (1 + np.exp(-z))
    assert metrics.AUC(from_logits=True)(y, z) == pytest.approx(metrics.AUC()(y, p), abs=1e-12)


@given(ROWS)
def test_confusion_matrices(rows):
    *drawing, weighted = rows
    y, p, w = drawn(*drawing)
    k = p.shape[1]
    labels = y if y.ndim == 1 else y.argmax(axis=1)
    want = np.zeros((k, k))
    for r in range(len(p)):
        want[labels[r], list(p[r]).index(max(p[r]))] += w[r] if weighted else 1
    np.testing.assert_array_equal(metrics.ConfusionMatrix()(y, p, w if weighted else None), want)
    np.testing.assert_array_equal(
        metrics.confusion_matrix(labels, p, k, w if weighted else None), want
    )
    predicted = p.argmax(axis=1)
    np.testing.assert_array_equal(
        metrics.confusion_matrix(labels, predicted, k), metrics.confusion_matrix(labels, p)
    )


def test_confusion_matrix_of_labels():
    got = metrics.confusion_matrix([0, 2, 2, 1], [0, 1, 2, 1])
    assert got.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]] and got.dtype == np.int64
    assert metrics.confusion_matrix([1], [0], 4).shape == (4, 4)
    assert metrics.confusion_matrix([[1.0], [0.0]], np.array([[0.0], [0.0]])).tolist() == [
        [1, 0],
        [1, 0],
    ]
    assert metrics.ConfusionMatrix()([1, 0, 1], [0.7, 0.6, 0.2]).tolist() == [[0, 1], [1, 1]]


def exact_moments(y, p, weight):
    """Sums with fractions, so without any rounding."""
    f = [[Fraction(float(v)) for v in row] for row in (weight, y, p)]
    w, t, q = f
    n = sum(w)
    squares = sum(a * (b - c) ** 2 for a, b, c in zip(w, t, q, strict=True))
    absolute = sum(a * abs(b - c) for a, b, c in zip(w, t, q, strict=True))
    mean = sum(a * b for a, b in zip(w, t, strict=True)) / n
    total = sum(a * (b - mean) ** 2 for a, b in zip(w, t, strict=True))
    return n, squares, absolute, total


@given(st.integers(0, 99), st.integers(2, 20), st.integers(1, 3), st.booleans())
def test_regression(seed, n, k, weighted):
    rng = np.random.default_rng(seed)
    y, p = rng.normal(3, 2, (2, n, k)).astype(np.float32)
    w = rng.choice([0.5, 1.0, 2.0], n)
    given, weight = (w, w) if weighted else (None, np.ones(n))
    sums = [exact_moments(y[:, j], p[:, j], weight) for j in range(k)]
    mse = float(sum(s[1] for s in sums) / sum(s[0] for s in sums))
    mae = float(sum(s[2] for s in sums) / sum(s[0] for s in sums))
    assert metrics.MeanSquaredError()(y, p, given) == pytest.approx(mse, rel=1e-12)
    assert metrics.RootMeanSquaredError()(y, p, given) == pytest.approx(math.sqrt(mse), rel=1e-12)
    assert metrics.MeanAbsoluteError()(y, p, given) == pytest.approx(mae, rel=1e-12)
    r2 = [float(1 - s[1] / s[3]) for s in sums]
    totals = [float(s[3]) for s in sums]
    got = metrics.R2Score(None)(y, p, given)
    np.testing.assert_allclose(got, r2, rtol=1e-9, atol=1e-9)
    assert metrics.R2Score()(y, p, given) == pytest.approx(np.mean(r2), abs=1e-9)
    weighted_mean = np.dot(r2, totals) / sum(totals)
    got = metrics.R2Score("variance_weighted_average")(y, p, given)
    assert got == pytest.approx(weighted_mean, abs=1e-9)
    rows = float(sums[0][0])
    if rows > 2:
        adjusted = 1 - (1 - np.mean(r2)) * (rows - 1) / (rows - 2)
        assert metrics.R2Score(num_regressors=1)(y, p, given) == pytest.approx(adjusted, abs=1e-9)


def test_r2_of_constant_targets():
    y = np.full((7, 1), 0.1)
    assert metrics.R2Score()(y, y) == 1
    assert metrics.R2Score()(y, y + 1) == 0
    assert metrics.R2Score()(np.zeros(3), np.ones(3)) == 0
    with pytest.warns(UserWarning, match="R\\^2 is not adjusted"):
        assert metrics.R2Score(num_regressors=2)([1, 2, 3.0], [1, 2, 4.0]) == 0.5


def test_perplexity_and_cross_entropies():
    rng = np.random.default_rng(0)
    z, y, w = rng.normal(0, 1, (9, 4)), rng.integers(0, 4, 9), rng.choice([0.0, 0.5, 2.0], 9)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    each = -np.log(p[np.arange(9), y])
    plain, weighted = each.mean(), (w * each).sum() / w.sum()
    for t in (y, np.eye(4)[y]):
        assert metrics.Perplexity()(t, p) == pytest.approx(math.exp(plain))
        assert metrics.Perplexity()(t, p, w) == pytest.approx(math.exp(weighted))
        assert metrics.Perplexity(from_logits=True)(t, z) == pytest.approx(math.exp(plain))
    name = "sparse_categorical_crossentropy"
    assert metrics.get(name)(y, p, w) == pytest.approx(weighted)
    assert metrics.get(losses.CategoricalCrossentropy())(np.eye(4)[y], p) == pytest.approx(plain)
    uniform = np.full((3, 50), 0.02)
    assert metrics.Perplexity()([0, 7, 49], uniform) == pytest.approx(50)


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
        (ValueError, "top_k must be an integer from 1", lambda: metrics.Recall(top_k=0)),
        (ValueError, "class_id must be an integer from 0", lambda: metrics.Recall(class_id=-1)),
        (ValueError, r"class_id 3 is outside 0\.\.2", lambda: metrics.Recall(class_id=3)(Y, P)),
        (ValueError, "k must be an integer", lambda: metrics.TopKCategoricalAccuracy(0)),
        (ValueError, "k must be an integer", lambda: metrics.SparseTopKCategoricalAccuracy("5")),
        (ValueError, "from_sorted_ids",
         lambda: metrics.SparseTopKCategoricalAccuracy(from_sorted_ids=True)),
        (ValueError, "average must be one of", lambda: metrics.F1Score("samples")),
        (ValueError, "beta must be positive", lambda: metrics.FBetaScore(beta=0)),
        (ValueError, r"threshold must be in \(0, 1\]", lambda: metrics.F1Score(threshold=0.0)),
        (ValueError, "pass threshold=0.5", lambda: metrics.F1Score()([1, 0], [0.2, 0.3])),
        (ValueError, "unknown curve 'Roc'; did you mean 'ROC'", lambda: metrics.AUC(curve="Roc")),
        (ValueError, "summation_method", lambda: metrics.AUC(summation_method="trapezium")),
        (ValueError, "multi_label", lambda: metrics.AUC(multi_label=True)),
        (ValueError, "at least 2", lambda: metrics.AUC(1)),
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
