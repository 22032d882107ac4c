"""Metrics on arrays against definitions written as loops."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convkit import losses, metrics

SCORES = [0.0, 0.1, 0.25, 0.5, 0.5000001, 0.75, 0.9, 1.0]
WEIGHTS = [0.0, 0.25, 1.0, 2.0]
drawn_often = settings(deadline=None, max_examples=60)


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


@drawn_often
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


@drawn_often
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


@drawn_often
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


@drawn_often
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


@drawn_often
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


@drawn_often
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


@drawn_often
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
    assert metrics.R2Score()(y, p, given) == pytest.approx(np.mean(r2), rel=1e-9, abs=1e-9)
    weighted_mean = np.dot(r2, totals) / sum(totals)
    got = metrics.R2Score("variance_weighted_average")(y, p, given)
    assert got == pytest.approx(weighted_mean, rel=1e-9, abs=1e-9)
    rows = float(sums[0][0])
    if rows > 2:
        adjusted = 1 - (1 - np.mean(r2)) * (rows - 1) / (rows - 2)
        assert metrics.R2Score(num_regressors=1)(y, p, given) == pytest.approx(
            adjusted, rel=1e-9, abs=1e-9
        )


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
