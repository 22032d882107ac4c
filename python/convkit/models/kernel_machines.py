"""Kernel machines: the perceptron and ridge regression in the space of a kernel.

Both see samples only through ``K(x, x')``, an inner product in a space of features that is never
visited. That of the Gaussian kernel has infinitely many dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit.errors import did_you_mean
from convkit.models.arguments import count
from convkit.models.distances import gaussian, median_distance
from convkit.models.estimators import (
    Classifier,
    Regressor,
    as_labels,
    as_points,
    as_values,
    check_square,
    positive_number,
    row_blocks,
)
from convkit.models.least_squares import solve_positive
from convkit.models.perceptron import correct_mistakes, presentation
from convkit.ops.registry import Array

__all__ = ["KernelPerceptron", "KernelRidge"]

KERNELS = ("rbf", "linear", "polynomial")


class _Kernel:
    """A kernel and its parameters, for one model."""

    def __init__(
        self, owner: str, kind: str, sigma: str | float, degree: int, offset: float
    ) -> None:
        self.owner = owner
        if kind not in KERNELS:
            raise ValueError(f"[{owner}] unknown kernel {kind!r}{did_you_mean(kind, KERNELS)}")
        if isinstance(sigma, str) and sigma != "median":
            raise ValueError(f'[{owner}] sigma must be a number or "median", got {sigma!r}')
        self.kind = kind
        self.sigma = sigma if isinstance(sigma, str) else positive_number(owner, "sigma", sigma)
        if not isinstance(self.sigma, str):
            check_square(owner, "sigma is", self.sigma)
        self.degree = count(owner, "degree", degree, None)
        self.offset = positive_number(owner, "offset", offset, zero=True)

    def width(self, x: Array) -> float | None:
        """Sigma for these samples, if the kernel has one."""
        if self.kind != "rbf":
            return None
        return median_distance(self.owner, x) if isinstance(self.sigma, str) else self.sigma

    def gram(self, x: Array, sigma: float | None) -> Array:
        """The kernel between all samples, shape (N, N).

        Raises
        ------
        ValueError
            If it overflows.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # told below
            values = self(x, x, sigma)
        if not np.isfinite(values).all():
            raise ValueError(
                f"[{self.owner}] the {self.kind} kernel overflows: x has values up to "
                f"{np.abs(x).max():.3g}, and degree is {self.degree}; scale the data, such as "
                "x / abs(x).max(), or lower the degree"
            )
        return values

    def __call__(self, a: Array, b: Array, sigma: float | None) -> Array:
        """The kernel between the rows of a and those of b, shape (len(a), len(b))."""
        if self.kind == "rbf":
            return gaussian(a, b, sigma)
        products: Array = a @ b.T
        return products if self.kind == "linear" else (products + self.offset) ** self.degree


class KernelPerceptron(Classifier):
    """The perceptron in the space of a kernel.

    A mistake at sample i changes its count ``alpha_i`` by 1, and the score of x is
    ``sum_i alpha_i (K(x_i, x) + 1)`` (Aizerman, Braverman and Rozonoer, "Theoretical foundations of
    the potential function method in pattern recognition learning", 1964). The 1 is the bias. With
    the linear kernel it is `Perceptron`, mistake by mistake. With the Gaussian kernel samples that
    are all different are separable, whatever their labels, XOR among them.

    Parameters
    ----------
    kernel : str
        "rbf": ``exp(-|x - x'|^2 / (2 sigma^2))``; "linear": ``x . x'``; "polynomial":
        ``(x . x' + offset)^degree``.
    sigma : float or "median"
        Of "rbf"; "median" is the median distance between samples.
    degree : int
        Of "polynomial".
    offset : float
        Of "polynomial", at least 0.
    max_epochs : int
    use_bias : bool
    shuffle : bool
        Whether each epoch has its own order. Otherwise samples come in the order given.
    seed : int, optional
        Of the shuffles; by default the global one.

    Attributes
    ----------
    classes_ : ndarray, shape (K,)
    support_ : ndarray of int, shape (S,)
        The samples with a count that is not 0.
    support_vectors_ : ndarray of float64, shape (S, C)
    dual_coef_ : ndarray of float64, shape (S,) for two classes, else (S, K)
        Their counts.
    sigma_ : float or None
    n_updates_, mistakes_ : int, list of int
        As of `Perceptron`.
    separable_ : bool or None
        True if an epoch passed without a mistake; None if `max_epochs` passed before, and then the
        counts are those of the pocket.

    Examples
    --------
    >>> from convkit.models import KernelPerceptron
    >>> x = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> KernelPerceptron(sigma=0.5).fit(x, [0, 1, 1, 0]).predict(x)
    array([0, 1, 1, 0])
    """

    def __init__(
        self,
        kernel: str = "rbf",
        sigma: str | float = "median",
        degree: int = 3,
        offset: float = 1.0,
        max_epochs: int = 1000,
        use_bias: bool = True,
        shuffle: bool = False,
        seed: int | None = None,
    ) -> None:
        self._kernel = _Kernel("KernelPerceptron", kernel, sigma, degree, offset)
        self.max_epochs = count("KernelPerceptron", "max_epochs", max_epochs, None)
        self.use_bias = bool(use_bias)
        self.shuffle = bool(shuffle)
        self.seed = seed

    def fit(self, x: ArrayLike, y: Any) -> KernelPerceptron:
        """Learn from samples and their labels, beginning anew.

        Parameters
        ----------
        x : array_like, shape (N, C)
            The memory is O(N^2).
        y : array_like, shape (N,)
            Integers, booleans or strings.

        Returns
        -------
        KernelPerceptron
            Itself.

        Raises
        ------
        TypeError, ValueError
            If the data does not fit together, or the kernel over- or underflows.
        """
        points = as_points("KernelPerceptron", x, least=1, squares=True)
        classes, index = as_labels("KernelPerceptron", y, len(points))
        columns = 1 if len(classes) == 2 else len(classes)
        sigma = self._kernel.width(points)
        gram = self._kernel.gram(points, sigma) + float(self.use_bias)
        outcome = correct_mistakes(
            _Dual(gram, columns), index, columns, self.max_epochs,
            presentation(len(points), self.shuffle, self.seed), exact=0,
        )  # fmt: skip
        alpha = outcome.weights
        self.classes_ = classes
        self.sigma_ = sigma
        self.support_: NDArray[np.intp] = np.flatnonzero(alpha.any(1))
        self.support_vectors_: Array = points[self.support_]
        self.dual_coef_: Array = alpha[self.support_, 0] if columns == 1 else alpha[self.support_]
        self.mistakes_ = outcome.mistakes
        self.n_updates_ = sum(outcome.mistakes)
        self.separable_ = outcome.separable
        return self

    def decision_function(self, x: ArrayLike) -> Array:
        """Scores of each sample: ``sum_i alpha_i (K(x_i, x) + 1)``.

        Parameters
        ----------
        x : array_like, shape (N, C)

        Returns
        -------
        ndarray of float64, shape (N,) for two classes, else (N, K)
        """
        self._require_fitted("decision_function")
        points = as_points("KernelPerceptron", x, self.support_vectors_.shape[1])
        return _expand(
            self._kernel, points, self.support_vectors_, self.sigma_, self.dual_coef_,
            float(self.use_bias),
        )  # fmt: skip


class _Dual:
    """Counts of mistakes, (N, columns), and the scores that follow."""

    def __init__(self, gram: Array, columns: int) -> None:
        self.gram = gram
        self.alpha = np.zeros((len(gram), columns))
        self.f = np.zeros((len(gram), columns))
        self.size = self.f.size

    def scores(self, i: int) -> Array:
        return np.asarray(self.f[i])

    def all_scores(self) -> Array:
        return self.f

    def correct(self, i: int, change: Array) -> None:
        self.alpha[i] += change
        self.f += np.outer(self.gram[i], change)

    def weights(self) -> Array:
        return self.alpha.copy()


class KernelRidge(Regressor):
    """Ridge regression in the space of a kernel.

    ``(K + alpha I) c = t``, and ``y(x) = sum_i c_i K(x_i, x)`` (Saunders, Gammerman and Vovk,
    "Ridge regression learning algorithm in dual variables", 1998). It minimises the sum of the
    squared errors and ``alpha |w|^2``. There is no bias: center t, or add a column of ones to x
    for the linear kernel.

    Parameters
    ----------
    alpha : float
        At least 0. At 0 it goes through all samples.
    kernel, sigma, degree, offset
        As of `KernelPerceptron`.

    Attributes
    ----------
    dual_coef_ : ndarray of float64, shape (N,) if t was a vector, else (N, K)
        The c_i.
    x_fit_ : ndarray of float64, shape (N, C)
    sigma_ : float or None

    Examples
    --------
    >>> from convkit.models import KernelRidge
    >>> x = [[0, 0], [0, 1], [1, 0], [1, 1]]
    >>> KernelRidge(alpha=0).fit(x, [0, 1, 1, 0]).predict(x).round(6) + 0
    array([0., 1., 1., 0.])
    """

    def __init__(
        self,
        alpha: float = 1.0,
        kernel: str = "rbf",
        sigma: str | float = "median",
        degree: int = 3,
        offset: float = 1.0,
    ) -> None:
        self.alpha = positive_number("KernelRidge", "alpha", alpha, zero=True)
        self._kernel = _Kernel("KernelRidge", kernel, sigma, degree, offset)

    def fit(self, x: ArrayLike, t: ArrayLike) -> KernelRidge:
        """Solve for the coefficients, by Cholesky's method.

        Parameters
        ----------
        x : array_like, shape (N, C)
            The memory is O(N^2), the work O(N^3).
        t : array_like, shape (N,) or (N, K)

        Returns
        -------
        KernelRidge
            Itself.

        Raises
        ------
        TypeError, ValueError
            If the data does not fit together, the kernel over- or underflows, or alpha is too small
            for the equations to have one solution.
        """
        points = as_points("KernelRidge", x, least=1, squares=True)
        values = as_values("KernelRidge", t, len(points))
        sigma = self._kernel.width(points)
        system = self._kernel.gram(points, sigma)
        system[np.diag_indices(len(system))] += self.alpha
        solution = solve_positive("KernelRidge", system, values, "use a larger alpha")
        self.x_fit_: Array = points
        self.sigma_ = sigma
        self._vector = np.ndim(t) == 1
        self.dual_coef_: Array = self._shaped(solution)
        return self

    def predict(self, x: ArrayLike) -> Array:
        """Predictions ``sum_i c_i K(x_i, x)``.

        Parameters
        ----------
        x : array_like, shape (N, C)

        Returns
        -------
        ndarray of float64, shape (N,) if t was a vector, else (N, K)
        """
        self._require_fitted("predict", "fit(x, t)")
        points = as_points("KernelRidge", x, self.x_fit_.shape[1])
        return _expand(self._kernel, points, self.x_fit_, self.sigma_, self.dual_coef_)


def _expand(
    kernel: _Kernel, x: Array, among: Array, sigma: float | None, c: Array, bias: float = 0.0
) -> Array:
    """``sum_i c_i (K(among_i, x) + bias)``, some rows of x at a time."""
    y = np.empty((len(x), *c.shape[1:]))
    for rows in row_blocks(len(x)):
        y[rows] = (kernel(x[rows], among, sigma) + bias) @ c
    return y
