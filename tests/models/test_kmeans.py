"""k-means against what defines it."""

import itertools

import numpy as np
import pytest

from convkit.models import KMeans, kmeans


def clouds(n=200, clusters=4, features=3, seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    centres = 10 * rng.standard_normal((clusters, features))
    x = centres[rng.integers(0, clusters, n)] + rng.standard_normal((n, features))
    return x.astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("clusters", [1, 4, 17])
def test_a_fixed_point_of_lloyds_iteration(clusters, dtype):
    x = clouds(dtype=dtype)
    model = KMeans(clusters, seed=1).fit(x)
    d = np.square(x[:, None].astype(float) - model.cluster_centers_.astype(float)).sum(-1)
    np.testing.assert_array_equal(model.labels_, d.argmin(1))
    tolerance = 1e-5 if dtype == np.float32 else 1e-12
    for k in range(clusters):
        mean = x[model.labels_ == k].astype(float).mean(0)
        np.testing.assert_allclose(model.cluster_centers_[k], mean, atol=tolerance)
    assert model.inertia_ == pytest.approx(d.min(1).sum(), rel=tolerance)
    assert model.cluster_centers_.dtype == dtype
    assert model.n_iter_ < model.max_iterations
    np.testing.assert_array_equal(model.predict(x), model.labels_)


@pytest.mark.parametrize("seed", range(5))
def test_the_sum_of_squares_never_rises(seed):
    model = KMeans(12, seed=seed).fit(clouds(seed=seed))
    fall = np.diff(model.inertias_)
    assert len(fall) > 2 and (fall <= 1e-9).all()
    assert model.inertia_ == model.inertias_[-1]


def test_the_best_of_all_partitions():
    # Of so few points every partition can be tried; the best run of some seeds finds the best.
    x = np.random.default_rng(3).standard_normal((9, 2))
    best = np.inf
    for labels in itertools.product(range(3), repeat=9):
        labels = np.array(labels)
        if len(set(labels.tolist())) == 3:
            cost = sum(np.square(p - p.mean(0)).sum() for p in (x[labels == k] for k in range(3)))
            best = min(best, cost)
    found = [KMeans(3, seed=s).fit(x).inertia_ for s in range(10)]
    assert min(found) == pytest.approx(best, rel=1e-12)
    assert all(f >= best * (1 - 1e-12) for f in found)


def test_as_many_clusters_as_points():
    x = clouds(n=12)
    model = KMeans(12, seed=0).fit(x)
    assert model.inertia_ == pytest.approx(0, abs=1e-20)
    assert sorted(model.labels_.tolist()) == list(range(12))


def test_seeding_prefers_far_points():
    # Two heaps, far apart: k-means++ draws one from each, but for a chance of about 1e-8.
    x = np.concatenate([np.zeros((50, 2)), np.full((2, 2), 1e3)])
    x += np.random.default_rng(0).uniform(0, 0.1, x.shape)
    for seed in range(20):
        drawn = KMeans(2, seed=seed)._seed_centres(x)
        assert sorted((drawn[:, 0] > 500).tolist()) == [False, True]


def test_seeding_never_draws_a_point_twice():
    x = np.repeat(np.arange(5.0), 20)[:, None]
    for seed in range(10):
        assert sorted(KMeans(5, seed=seed)._seed_centres(x)[:, 0].tolist()) == [0, 1, 2, 3, 4]


def test_an_empty_cluster_begins_anew_at_the_farthest_point():
    labels = np.array([0, 0, 2, 2, 2, 4])
    d = np.array([1.0, 3.0, 0.0, 9.0, 2.0, 50.0])  # the last one is alone in its cluster
    filled = kmeans._fill_empty(labels, d, 5)
    assert filled.tolist() == [0, 3, 2, 1, 2, 4]
    assert labels.tolist() == [0, 0, 2, 2, 2, 4]
    np.testing.assert_allclose(
        kmeans._means(np.arange(6.0)[:, None], filled, 5)[:, 0], [0, 3, 3, 1, 5]
    )


def test_an_empty_cluster_in_a_run(monkeypatch):
    x = np.array([[0.0], [1.0], [2.0], [3.0], [100.0]])
    start = np.array([[1.5], [1e6], [2e6]])  # two of them have no point
    monkeypatch.setattr(KMeans, "_seed_centres", lambda self, points: start)
    model = KMeans(3).fit(x)
    assert model.labels_.tolist() == [2, 0, 0, 0, 1]  # 100 is the farthest, then 0
    assert model.inertia_ == pytest.approx(2.0)
    assert (np.diff(model.inertias_) <= 0).all()


def test_the_seed_decides():
    x = clouds()
    first, same, other = (KMeans(9, seed=s).fit(x) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.cluster_centers_, same.cluster_centers_)
    assert not np.array_equal(first.cluster_centers_, other.cluster_centers_)


def test_far_from_the_origin():
    x = clouds(seed=2)
    near, far = KMeans(4, seed=0).fit(x), KMeans(4, seed=0).fit(x + 1e6)
    np.testing.assert_array_equal(near.labels_, far.labels_)
    assert far.inertia_ == pytest.approx(near.inertia_, rel=1e-6)


def test_a_limit_of_iterations():
    model = KMeans(12, max_iterations=1, seed=0).fit(clouds())
    assert model.n_iter_ == 1 and model.inertia_ < model.inertias_[0]


def test_misuse():
    with pytest.raises(ValueError, match="3 different samples for 4 clusters"):
        KMeans(4, seed=0).fit([[0], [1], [2], [2], [1]])
    with pytest.raises(ValueError, match="3 different samples for 4 clusters"):
        KMeans(4).fit([[0], [1], [2]])
    with pytest.raises(ValueError, match="up to 1e-17, whose squares underflow in float32"):
        KMeans(2).fit(np.array([[0], [1e-17]], np.float32))
    with pytest.raises(ValueError, match="n_clusters is 0"):
        KMeans(0)
    with pytest.raises(RuntimeError, match=r"call fit\(x\) before"):
        KMeans(2).predict([[1]])
    with pytest.raises(ValueError, match=r"\(N, 1\)"):
        KMeans(2).fit([[0], [1]]).predict([[1, 2]])
