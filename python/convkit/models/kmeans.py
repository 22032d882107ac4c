"""k-means: centres for points that have no labels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit.models.arguments import count
from convkit.models.estimators import as_points, row_blocks
from convkit.ops.registry import Array
from convkit.random import generator
from convkit.saving.estimators import Estimator

__all__ = ["KMeans", "nearest"]

_SEEDING = 0x6B6D6561  # the purpose of the random numbers, a path of `generator`


class KMeans(Estimator):
    """Clusters around centres, each the mean of the points that are nearer to it than to others.

    Lloyd's iteration ("Least squares quantization in PCM", 1982) from centres that k-means++ draws:
    each a sample, with a probability in proportion to its squared distance from those drawn before
    (Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", 2007). A cluster that
    loses its last point begins anew at the point farthest from its own centre. The sum of the
    squared distances never rises.

    Parameters
    ----------
    n_clusters : int
    max_iterations : int
        At most; it ends where no point changes its cluster.
    seed : int, optional
        By default the global one. The same seed gives the same clusters.

    Attributes
    ----------
    cluster_centers_ : ndarray, shape (n_clusters, C)
        Of float32 if the points are, else float64.
    labels_ : ndarray of int, shape (N,)
        The nearest centre of each sample.
    inertia_ : float
        Sum of the squared distances to it.
    inertias_ : list of float
        The same after each iteration, before its means were taken.
    n_iter_ : int

    Examples
    --------
    >>> from convkit.models import KMeans
    >>> KMeans(2, seed=0).fit([[0.0], [1.0], [10.0], [11.0]]).inertia_
    1.0
    """

    def __init__(
        self, n_clusters: int = 8, max_iterations: int = 300, seed: int | None = None
    ) -> None:
        self.n_clusters = count("KMeans", "n_clusters", n_clusters, None)
        self.max_iterations = count("KMeans", "max_iterations", max_iterations, None)
        self.seed = seed

    def fit(self, x: ArrayLike, y: None = None) -> KMeans:
        """Find the clusters of samples, beginning anew.

        Parameters
        ----------
        x : array_like, shape (N, C)
        y : None
            There are no labels.

        Returns
        -------
        KMeans
            Itself.

        Raises
        ------
        TypeError, ValueError
            If there are fewer different samples than clusters, or squares over- or underflow.
        """
        points = as_points("KMeans", x, least=1, dtype=_dtype(x), squares=True)
        if len(points) < self.n_clusters:
            raise self._too_few(len(points))
        centres = self._seed_centres(points)
        labels = np.full(len(points), -1)
        self.inertias_: list[float] = []
        for _ in range(self.max_iterations):
            before = labels
            labels, d = nearest(points, centres)
            self.inertias_.append(float(d.sum(dtype=np.float64)))
            if np.array_equal(labels, before):
                break
            centres = _means(points, _fill_empty(labels, d, self.n_clusters), self.n_clusters)
        else:
            labels, d = nearest(points, centres)
        self.cluster_centers_ = centres
        self.labels_ = labels
        self.inertia_ = float(d.sum(dtype=np.float64))
        self.n_iter_ = len(self.inertias_)
        return self

    def predict(self, x: ArrayLike) -> NDArray[np.intp]:
        """The nearest centre of each sample.

        Parameters
        ----------
        x : array_like, shape (N, C)

        Returns
        -------
        ndarray of int, shape (N,)
        """
        if not hasattr(self, "cluster_centers_"):
            raise RuntimeError("[KMeans] call fit(x) before predict")
        centres = self.cluster_centers_
        points = as_points("KMeans", x, centres.shape[1], dtype=centres.dtype)
        return nearest(points, centres)[0]

    def _seed_centres(self, points: Array) -> Array:
        rng = generator(self.seed, _SEEDING)
        centres = np.empty((self.n_clusters, points.shape[1]), points.dtype)
        centres[0] = points[int(rng.integers(len(points)))]
        norms = np.einsum("ij,ij->i", points, points)
        d = np.full(len(points), np.inf)
        for k in range(1, self.n_clusters):
            d = np.minimum(d, _distances_to(points, norms, centres[k - 1]))
            total = np.cumsum(d)
            if not total[-1] > 0:
                raise self._too_few(k)
            chosen = int(np.searchsorted(total, rng.random() * total[-1], side="right"))
            centres[k] = points[min(chosen, int(np.flatnonzero(d)[-1]))]
        return centres

    def _too_few(self, different: int) -> ValueError:
        return ValueError(
            f"[KMeans] x has {different} different samples for {self.n_clusters} clusters; ask for "
            "fewer"
        )


def _dtype(x: Any) -> str:
    return "float32" if getattr(x, "dtype", None) == np.float32 else "float64"


def _distances_to(points: Array, norms: Array, centre: Array) -> Array:
    """Squared distances to one point, exactly 0 where it is that point.

    ``|x|^2 - 2 x . c + |c|^2`` reads the points once; where it cancels, they are subtracted.
    """
    size = norms + centre @ centre
    d = size - 2 * (points @ centre)
    close = np.flatnonzero(d < 1e-3 * size)
    apart = points[close] - centre
    d[close] = np.einsum("ij,ij->i", apart, apart)
    return np.asarray(d)


def nearest(points: Array, centres: Array) -> tuple[NDArray[np.intp], Array]:
    """The nearest centre of each point, the first among equals, and the squared distance to it.

    The nearest has the largest ``x . c - |c|^2 / 2``: a matrix product, from the centres' mean on
    so that it cancels little. The distance itself is summed as it stands.
    """
    labels = np.empty(len(points), np.intp)
    least = np.empty(len(points), points.dtype)
    middle = centres.mean(0)
    c = centres - middle
    half = np.einsum("ij,ij->i", c, c) / 2
    for rows in row_blocks(len(points)):
        labels[rows] = ((points[rows] - middle) @ c.T - half).argmax(1)
        apart = points[rows] - centres[labels[rows]]
        least[rows] = np.einsum("ij,ij->i", apart, apart)
    return labels, least


def _fill_empty(labels: NDArray[np.intp], d: Array, clusters: int) -> NDArray[np.intp]:
    """Give each cluster that has no point the one farthest from its centre."""
    sizes = np.bincount(labels, minlength=clusters)
    empty = np.flatnonzero(sizes == 0)
    if not empty.size:
        return labels
    labels = labels.copy()
    farthest = iter(np.argsort(-d, kind="stable"))
    for k in empty:
        i = next(i for i in farthest if sizes[labels[i]] > 1)
        sizes[labels[i]] -= 1
        labels[i] = k
    return labels


def _means(points: Array, labels: NDArray[np.intp], clusters: int) -> Array:
    """The mean of each cluster; none is empty."""
    order = np.argsort(labels, kind="stable")
    begins = np.searchsorted(labels[order], np.arange(clusters))
    sums = np.add.reduceat(points[order], begins, axis=0, dtype=np.float64)
    sizes = np.bincount(labels, minlength=clusters)
    return np.asarray(sums / sizes[:, None]).astype(points.dtype)
