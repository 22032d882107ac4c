"""Metrics against scikit-learn, where it is installed (pip install scikit-learn)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convkit import metrics
from convkit.ops.registry import Array

sk = pytest.importorskip("sklearn.metrics")
pytestmark = pytest.mark.peer


def scores(seed: int, n: int = 300, k: int = 5) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, k, n)
    p = rng.dirichlet(np.ones(k), n) + 0.3 * np.eye(k)[y]
    return y, p / p.sum(axis=1, keepdims=True), rng.random(n)


@pytest.mark.parametrize("average", [None, "micro", "macro", "weighted"])
@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_f_scores(average: str | None, beta: float) -> None:
    y, p, weight = scores(1)
    for w in (None, weight):
        got = metrics.FBetaScore(average, beta)(y, p, w)
        want = sk.fbeta_score(y, p.argmax(axis=1), beta=beta, average=average, sample_weight=w)
        np.testing.assert_allclose(got, want, rtol=1e-12)


def test_precision_recall_accuracy_and_confusion() -> None:
    y, p, weight = scores(2)
    for w in (None, weight):
        predicted = p.argmax(axis=1)
        matrix = sk.confusion_matrix(y, predicted, sample_weight=w)
        np.testing.assert_allclose(metrics.ConfusionMatrix()(y, p, w), matrix, rtol=1e-12)
        np.testing.assert_allclose(metrics.confusion_matrix(y, p, 5, w), matrix, rtol=1e-12)
        for k in range(5):
            truth, above = y == k, p[:, k] > 0.5
            options: dict[str, Any] = {"sample_weight": w, "zero_division": 0}
            got = metrics.Precision(class_id=k)(y, p, w)
            assert got == pytest.approx(sk.precision_score(truth, above, **options), rel=1e-12)
            got = metrics.Recall(class_id=k)(y, p, w)
            assert got == pytest.approx(sk.recall_score(truth, above, **options), rel=1e-12)
        for k in (1, 2, 3):
            got = metrics.SparseTopKCategoricalAccuracy(k)(y, p, w)
            want = sk.top_k_accuracy_score(y, p, k=k, sample_weight=w, labels=range(5))
            assert got == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_roc_areas(seed: int) -> None:
    """With thresholds between all scores the sum has no error; with 200 it is near."""
    y, p, weight = scores(seed, k=2)
    score = p[:, 1]
    ordered = np.sort(np.unique(score))
    thresholds = (ordered[1:] + ordered[:-1]) / 2
    for w in (None, weight):
        want = sk.roc_auc_score(y, score, sample_weight=w)
        exact = metrics.AUC(thresholds=thresholds.tolist())(y, score, w)
        assert exact == pytest.approx(want, rel=1e-12)
        assert metrics.AUC()(y, score, w) == pytest.approx(want, abs=2e-3)


def test_regression() -> None:
    rng = np.random.default_rng(0)
    y, p, weight = rng.normal(5, 2, (50, 3)), rng.normal(5, 2, (50, 3)), rng.random(50)
    for w in (None, weight):
        for aggregation, peer in (
            (None, "raw_values"),
            ("uniform_average", "uniform_average"),
            ("variance_weighted_average", "variance_weighted"),
        ):
            want = sk.r2_score(y, p, sample_weight=w, multioutput=peer)
            got = metrics.R2Score(aggregation)(y, p, w)
            np.testing.assert_allclose(got, want, rtol=1e-10)
        want = sk.mean_squared_error(y, p, sample_weight=w)
        assert metrics.RootMeanSquaredError()(y, p, w) == pytest.approx(want**0.5, rel=1e-12)
        want = sk.mean_absolute_error(y, p, sample_weight=w)
        assert metrics.MeanAbsoluteError()(y, p, w) == pytest.approx(want, rel=1e-12)
        labels, scored, weights = scores(0)
        w = None if w is None else weights
        want = np.exp(sk.log_loss(labels, scored, sample_weight=w))
        assert metrics.Perplexity()(labels, scored, w) == pytest.approx(want, rel=1e-12)
