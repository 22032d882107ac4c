"""Radial basis function networks: Gaussian units around centres, and a linear output layer."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit.errors import did_you_mean
from convkit.layers import RBF, Dense, Input
from convkit.models.arguments import count
from convkit.models.distances import gaussian, squared_distances
from convkit.models.estimators import (
    Regressor,
    as_points,
    as_values,
    check_square,
    positive_number,
    row_blocks,
)
from convkit.models.kmeans import KMeans, nearest
from convkit.models.least_squares import RULES, least_squares, select_columns, solve_positive
from convkit.models.sequential import Sequential
from convkit.ops.registry import Array

__all__ = ["RBFNetwork"]

WIDTHS = ("nearest", "cluster", "common", "max")

_HOW = "fit(x, t), or use RBFNetwork.exact or RBFNetwork.grow,"
_DESIGN_ERROR = 1e-6  # relative error of an exact network that is worth a warning


class RBFNetwork(Regressor):
    """Gaussian units around centres, and a linear layer that adds them up.

    ``y_k = sum_j w_jk exp(-|x - c_j|^2 / (2 sigma_j^2)) + b_k`` (Broomhead and Lowe, "Multivariable
    functional interpolation and adaptive networks", 1988). Centres and widths come first, then the
    linear layer by least squares, so there is no gradient descent; `to_model` is where it begins.
    Three ways to the centres:

    ``RBFNetwork(units, ...).fit(x, t)``
        k-means (Moody and Darken, "Fast learning in networks of locally-tuned processing units",
        1989).
    ``RBFNetwork.exact(x, t, spread)``
        Every sample is a centre: the network goes through all of them. MATLAB's ``newrbe``.
    ``RBFNetwork.grow(x, t, goal, spread)``
        Samples become centres one by one until the error is small enough. MATLAB's ``newrb``.

    Classes are predicted as in any network with linear outputs: t has one column for each
    (``ck.utils.to_categorical(y)``), and the largest output decides.

    Parameters
    ----------
    units : int or array_like of shape (units, C)
        Number of k-means centres, or the centres themselves, such as those of a `KMeans`.
    width : str, float or array_like of shape (units,)
        How the widths sigma_j follow from the centres. "nearest": the distance to the nearest other
        centre. "cluster": root of the mean squared distance of a cluster's samples from its centre
        (of all clusters where it is 0). "common": that of all clusters, for all. "max": the largest
        distance between centres divided by ``sqrt(2 units)``, for all (Haykin, "Neural Networks",
        1999, section 5.13); narrow in many dimensions. A number, or one for each unit, is sigma
        itself.
    width_scale : float
        Factor of the widths.
    ridge : float
        Weight of ``sum w_jk^2`` beside the sum of squared errors; the biases are free.
    max_iterations : int
        Of k-means.
    seed : int, optional
        Of k-means; by default the global one.

    Attributes
    ----------
    centers_ : ndarray of float64, shape (units, C)
    widths_ : ndarray of float64, shape (units,)
        The sigma_j. With MATLAB's spread, where a unit gives 0.5, and its bias of the first layer,
        sigma is ``spread / sqrt(2 ln 2)`` and the bias ``sqrt(ln 2) / spread = 0.8326 / spread``.
    weights_ : ndarray of float64, shape (units, K)
    bias_ : ndarray of float64, shape (K,)
    selected_ : ndarray of int, shape (units,)
        Only of `grow` and `exact`: which samples are the centres, in the order they were chosen.
    errors_ : list of float
        Only of `grow`: mean squared error with 0, 1, 2, ... units.

    Examples
    --------
    >>> from convkit.models import RBFNetwork
    >>> x, t = [[1.0], [2.0], [3.0]], [2.0, 4.1, 5.9]
    >>> RBFNetwork.exact(x, t).predict(x).round(6)
    array([2. , 4.1, 5.9])
    """

    errors_: list[float]

    def __init__(
        self,
        units: int | ArrayLike = 10,
        width: str | ArrayLike = "nearest",
        width_scale: float = 1.0,
        ridge: float = 0.0,
        max_iterations: int = 100,
        seed: int | None = None,
    ) -> None:
        self._given = None
        if np.ndim(units):
            self._given = as_points("RBFNetwork", units, least=1, squares=True)
        self.units = (
            count("RBFNetwork", "units", units, None) if self._given is None else len(self._given)
        )
        if isinstance(width, str):
            if width not in WIDTHS:
                known = did_you_mean(width, WIDTHS)
                raise ValueError(f"[RBFNetwork] unknown width {width!r}{known}; or a number")
            self.width: str | Array = width
        else:
            self.width = self._checked_widths(width)
        self.width_scale = positive_number("RBFNetwork", "width_scale", width_scale)
        self.ridge = positive_number("RBFNetwork", "ridge", ridge, zero=True)
        self.max_iterations = count("RBFNetwork", "max_iterations", max_iterations, None)
        self.seed = seed

    def fit(self, x: ArrayLike, t: ArrayLike) -> RBFNetwork:
        """Find centres by k-means, widths and output weights, beginning anew.

        Parameters
        ----------
        x : array_like, shape (N, C)
            k-means works in float32 if x is float32; all else is float64.
        t : array_like, shape (N,) or (N, K)

        Returns
        -------
        RBFNetwork
            Itself.

        Raises
        ------
        TypeError, ValueError
            If the data does not fit together, there are fewer different samples than units, or
            squares of samples or widths over- or underflow.
        """
        points = as_points("RBFNetwork", x, least=1, squares=True)
        values = as_values("RBFNetwork", t, len(points))
        if self._given is None:
            clusters = KMeans(self.units, self.max_iterations, self.seed).fit(x)
            centres, labels = clusters.cluster_centers_.astype(np.float64), clusters.labels_
        else:
            centres = as_points("RBFNetwork", self._given, points.shape[1])
            labels = nearest(points, centres)[0]
        self.centers_: Array = centres
        self.widths_ = self.width_scale * self._find_widths(points, labels)
        for width in (float(self.widths_.min()), float(self.widths_.max())):
            check_square("RBFNetwork", "there is a width of", width)
        self._solve(points, values, np.ndim(t) == 1)
        return self

    @classmethod
    def exact(cls, x: ArrayLike, t: ArrayLike, spread: float = 1.0) -> RBFNetwork:
        """The network whose centres are all samples and whose error on them is 0.

        Of all such output layers it is the one of least norm, as there is one weight more than
        there are equations: the bias.

        Parameters
        ----------
        x : array_like, shape (N, C)
        t : array_like, shape (N,) or (N, K)
        spread : float
            Distance from a centre at which its unit gives 0.5.

        Returns
        -------
        RBFNetwork
            Fitted.

        Raises
        ------
        ValueError
            If spread is not above 0, two samples are the same point, or squares of the samples or
            of spread over- or underflow.

        Warns
        -----
        UserWarning
            If the units are so wide that rounding leaves an error.
        """
        points, values, sigma = _checked("exact", x, t, spread)
        _, first = np.unique(points, axis=0, return_index=True)
        if len(first) < len(points):
            twin = int(np.setdiff1d(np.arange(len(points)), first)[0])
            raise ValueError(
                f"[RBFNetwork.exact] sample {twin} of x is there twice; remove one of them, or use "
                "RBFNetwork.grow"
            )
        network = cls(len(points), sigma)
        network._adopt(points, values, np.arange(len(points)), sigma, np.ndim(t) == 1)
        error = float(np.abs(network._answer(points) - values).max())
        if error > _DESIGN_ERROR * max(float(np.abs(values).max()), 1.0):
            warnings.warn(
                f"[RBFNetwork.exact] with spread={spread:g} the units are nearly the same, and "
                f"rounding leaves an error of {error:.1g} on the samples; use a smaller spread",
                UserWarning,
                stacklevel=2,
            )
        return network

    @classmethod
    def grow(
        cls,
        x: ArrayLike,
        t: ArrayLike,
        goal: float = 0.0,
        spread: float = 1.0,
        max_units: int | None = None,
        rule: str = "ols",
    ) -> RBFNetwork:
        """Make samples centres one by one, until the mean squared error is at most `goal`.

        After each one the output layer is the least-squares solution.

        Parameters
        ----------
        x : array_like, shape (N, C)
            The work is O(N^2) for each unit, the memory O(N^2).
        t : array_like, shape (N,) or (N, K)
        goal : float
            Mean squared error over samples and outputs.
        spread : float
            Distance from a centre at which its unit gives 0.5.
        max_units : int, optional
            By default as many as there are samples.
        rule : str
            "ols": the sample whose unit lowers the error most, found by orthogonal least squares
            (Chen, Cowan and Grant, "Orthogonal least squares learning algorithm for radial basis
            function networks", 1991). The constant 1 of the bias is the first regressor here;
            MATLAB leaves it out of the choice. "worst_error": the sample with the largest error.

        Returns
        -------
        RBFNetwork
            Fitted, with `selected_` and `errors_`. It may miss the goal, where no further sample
            is independent of the centres.

        Raises
        ------
        ValueError
            If an argument is out of range.
        """
        points, values, sigma = _checked("grow", x, t, spread)
        goal = positive_number("RBFNetwork.grow", "goal", goal, zero=True)
        most = count("RBFNetwork.grow", "max_units", max_units, len(points))
        if rule not in RULES:
            raise ValueError(f"[RBFNetwork.grow] unknown rule {rule!r}{did_you_mean(rule, RULES)}")
        units = gaussian(points, points, sigma)
        selected, errors = select_columns(units, values, goal, min(most, len(points)), rule)
        network = cls(max(len(selected), 1), sigma)
        network._adopt(points, values, selected, sigma, np.ndim(t) == 1)
        network.errors_ = errors
        return network

    def hidden(self, x: ArrayLike) -> Array:
        """Outputs of the Gaussian units.

        Parameters
        ----------
        x : array_like, shape (N, C)

        Returns
        -------
        ndarray of float64, shape (N, units)
        """
        self._require_fitted("hidden", _HOW)
        points = as_points("RBFNetwork", x, self.centers_.shape[1])
        return gaussian(points, self.centers_, self.widths_)

    def predict(self, x: ArrayLike) -> Array:
        """Outputs of the network.

        Parameters
        ----------
        x : array_like, shape (N, C)

        Returns
        -------
        ndarray of float64, shape (N,) if t was a vector, else (N, K)
        """
        self._require_fitted("predict", _HOW)
        return self._shaped(self._answer(as_points("RBFNetwork", x, self.centers_.shape[1])))

    def to_model(self, name: str = "rbf_network") -> Sequential:
        """The network as layers, to train centres, widths and output weights by gradients.

        Parameters
        ----------
        name : str

        Returns
        -------
        Sequential
            `RBF` named "hidden" and `Dense` named "output", with the present values in float32. It
            takes samples (N, C) and gives (N, K), and is to be compiled.

        Raises
        ------
        ValueError
            If the network has no units: it is a constant.
        """
        self._require_fitted("to_model", _HOW)
        if not len(self.centers_):
            raise ValueError("[RBFNetwork] to_model: the network has no units to train")
        model = Sequential(
            [
                Input((self.centers_.shape[1],)),
                RBF(len(self.centers_), self.widths_, self.centers_, name="hidden"),
                Dense(len(self.bias_), name="output"),
            ],
            name=name,
        )
        model.build()
        model.get_layer("output").set_weights([self.weights_, self.bias_])
        return model

    def _answer(self, points: Array) -> Array:
        y = np.empty((len(points), len(self.bias_)))
        for rows in row_blocks(len(points)):
            y[rows] = gaussian(points[rows], self.centers_, self.widths_) @ self.weights_
        return y + self.bias_

    def _adopt(
        self, points: Array, values: Array, selected: Any, sigma: float, vector: bool
    ) -> None:
        self.selected_: NDArray[np.intp] = np.asarray(selected, np.intp)
        self.centers_ = points[self.selected_]
        self.widths_ = np.full(len(self.centers_), sigma)
        self._solve(points, values, vector)

    def _checked_widths(self, width: ArrayLike) -> Array:
        if np.ndim(width) == 0:
            return np.array(positive_number("RBFNetwork", "width", width))
        widths = np.asarray(width, np.float64)
        if widths.shape != (self.units,) or not (np.isfinite(widths) & (widths > 0)).all():
            raise ValueError(
                f"[RBFNetwork] width must be one finite number above 0 for each of the "
                f"{self.units} units, got shape {widths.shape}"
            )
        return widths

    def _find_widths(self, points: Array, labels: NDArray[np.intp]) -> Array:
        if not isinstance(self.width, str):
            return np.broadcast_to(self.width, (self.units,))
        if self.width in ("cluster", "common"):
            apart = np.square(points - self.centers_[labels]).sum(1)
            common = np.full(self.units, math.sqrt(float(apart.mean())))
            if self.width == "common":
                widths = common
            else:
                sizes = np.maximum(np.bincount(labels, minlength=self.units), 1)
                widths = np.sqrt(np.bincount(labels, apart, self.units) / sizes)
                # A cluster of one sample has no extent, or one of rounding only.
                widths = np.where(widths > 1e-6 * common, widths, common)
        else:
            d = np.sqrt(squared_distances(self.centers_, self.centers_))
            if self.width == "max":
                widths = np.full(self.units, d.max() / math.sqrt(2 * self.units))
            else:
                widths = np.where(np.eye(self.units, dtype=bool), np.inf, d).min(1)
        if not (np.isfinite(widths).all() and (widths > 0).all()):
            raise ValueError(
                f"[RBFNetwork] width={self.width!r} gives no width for {self.units} centres at "
                "these samples; pass a number"
            )
        return widths

    def _solve(self, points: Array, values: Array, vector: bool) -> None:
        """The output layer by least squares."""
        n, units = len(points), len(self.centers_)
        if not units:
            solution = values.mean(0, keepdims=True)
        elif self.ridge == 0:
            h = np.column_stack([gaussian(points, self.centers_, self.widths_), np.ones(n)])
            solution = least_squares(h, values)
        else:
            a = np.diag(np.append(np.full(units, self.ridge), 0.0))
            b = np.zeros((units + 1, values.shape[1]))
            for rows in row_blocks(n):
                part = gaussian(points[rows], self.centers_, self.widths_)
                h = np.column_stack([part, np.ones(len(part))])
                a += h.T @ h
                b += h.T @ values[rows]
            solution = solve_positive("RBFNetwork", a, b, "use a larger ridge, or 0")
        if not np.isfinite(solution).all():
            raise ValueError("[RBFNetwork] the output weights overflow; scale t")
        self.weights_: Array = solution[:-1]
        self.bias_: Array = solution[-1]
        self._vector = vector


def _checked(verb: str, x: ArrayLike, t: ArrayLike, spread: float) -> tuple[Array, Array, float]:
    """The samples, the targets and sigma."""
    owner = f"RBFNetwork.{verb}"
    sigma = positive_number(owner, "spread", spread) / math.sqrt(2 * math.log(2))
    check_square(owner, "spread is", sigma)
    points = as_points(owner, x, least=1, squares=True)
    return points, as_values(owner, t, len(points)), sigma
