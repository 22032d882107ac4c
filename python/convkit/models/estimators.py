"""What the models without layers share: checks of their arrays, and marks for their answers.

They compute in float64 with NumPy: their closed forms are solved to rounding, which float32 could
not show.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit.models.data import as_source
from convkit.ops.registry import Array
from convkit.saving.estimators import Estimator

__all__ = [
    "Classifier", "Regressor", "as_labels", "as_points", "as_values", "check_square",
    "positive_number", "row_blocks",
]  # fmt: skip

_ROWS = 8192  # samples whose distances or kernel values are held at a time
_SPARE = 2.0**10  # times less or more than what has no square is refused: sums and gains need room


def as_points(
    owner: str,
    x: ArrayLike,
    features: int | None = None,
    *,
    least: int = 0,
    dtype: Any = "float64",
    squares: bool = False,
) -> Array:
    """Samples as rows of real numbers.

    Parameters
    ----------
    owner : str
        Named in messages.
    x : array_like, shape (N, C)
    features : int, optional
        What C has to be.
    least : int
        What N has to be at least.
    dtype : dtype
    squares : bool
        Whether |x|^2 must neither overflow nor vanish.

    Returns
    -------
    ndarray of float64, shape (N, C)

    Raises
    ------
    TypeError, ValueError
        If it is no such array, not finite, or without squares where they are needed.
    """
    points = as_source(x, f"[{owner}] x").astype(dtype, copy=False)
    if points.ndim != 2:
        way = "reshape images with x.reshape(len(x), -1)"
        if points.ndim == 1:
            way = "one feature per sample is x[:, None], one sample is x[None]"
        elif points.ndim == 0:
            way = "one sample of one feature is [[x]]"
        raise ValueError(f"[{owner}] x must have shape (N, C), got {points.shape}; {way}")
    if features is not None and points.shape[1] != features:
        raise ValueError(
            f"[{owner}] x must have shape (N, {features}), as in training, got {points.shape}"
        )
    if len(points) < least or not points.shape[1]:
        raise ValueError(f"[{owner}] x has shape {points.shape}, expected at least ({least}, 1)")
    if not np.isfinite(points).all():
        raise ValueError(f"[{owner}] x has values that are NaN or infinite; remove them first")
    if squares:
        size = float(np.abs(points).max(initial=0))
        check_square(owner, "x has values up to", size, points.dtype, points.shape[1])
    return points


def check_square(
    owner: str, what: str, size: float, dtype: Any = "float64", terms: int = 1
) -> None:
    """Refuse a size whose square, or the sum of so many, over- or underflows; 0 is none.

    Raises
    ------
    ValueError
    """
    limits = np.finfo(dtype)
    most = math.sqrt(float(limits.max) / terms) / _SPARE
    least = math.sqrt(float(limits.tiny)) * _SPARE
    if size > most or 0 < size < least:
        verb = "overflow" if size > most else "underflow"
        raise ValueError(
            f"[{owner}] {what} {size:.3g}, whose squares {verb} in {np.dtype(dtype).name}; scale "
            "the data, such as x / abs(x).max()"
        )


def as_values(owner: str, t: ArrayLike, count: int) -> Array:
    """Targets as rows of real numbers, (N, K); a vector becomes one column.

    Raises
    ------
    TypeError, ValueError
        If it is no such array, is not finite, or N is not `count`.
    """
    values = as_source(t, f"[{owner}] t").astype(np.float64, copy=False)
    if values.ndim not in (1, 2):
        raise ValueError(f"[{owner}] t must have shape (N,) or (N, K), got {values.shape}")
    if len(values) != count:
        raise ValueError(f"[{owner}] x has {count} samples, t has {len(values)}")
    if not np.isfinite(values).all():
        raise ValueError(f"[{owner}] t has values that are NaN or infinite; remove them first")
    return values.reshape(count, -1) if values.ndim == 1 else values


def as_labels(owner: str, y: Any, count: int) -> tuple[NDArray[Any], NDArray[np.intp]]:
    """The classes in order, and for each sample which of them it is.

    Parameters
    ----------
    owner : str
    y : array_like, shape (N,) or (N, 1)
        Integers, booleans or strings.
    count : int
        What N has to be.

    Returns
    -------
    classes : ndarray, shape (K,)
    index : ndarray of int, shape (N,)

    Raises
    ------
    TypeError, ValueError
        If it is no such array, or there is one class only.
    """
    labels = np.asarray(y)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        raise ValueError(
            f"[{owner}] y must have one label per sample, shape (N,), got {labels.shape}; labels "
            "of one-hot rows are y.argmax(1)"
        )
    if len(labels) != count:
        raise ValueError(f"[{owner}] x has {count} samples, y has {len(labels)}")
    fractions = labels.dtype.kind == "f" and not (labels == np.rint(labels)).all()
    if labels.dtype.kind not in "biufUS" or fractions:
        raise TypeError(f"[{owner}] labels are integers, booleans or strings, got {labels.dtype}")
    classes, index = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise ValueError(f"[{owner}] y has {len(classes)} class, expected at least 2")
    return classes, index.reshape(-1)


def positive_number(owner: str, name: str, value: Any, *, zero: bool = False) -> float:
    """A finite number above 0, or from 0 on.

    Raises
    ------
    TypeError, ValueError
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"[{owner}] {name} must be a number, got {value!r}") from None
    if not math.isfinite(number) or number < 0 or (number == 0 and not zero):
        bound = "at least 0" if zero else "above 0"
        raise ValueError(f"[{owner}] {name} must be finite and {bound}, got {value!r}")
    return number


def row_blocks(n: int) -> Iterator[slice]:
    """The rows 0 to n - 1 in blocks, so that what is computed of all pairs fits into memory."""
    for at in range(0, n, _ROWS):
        yield slice(at, min(at + _ROWS, n))


def _unfitted(model: object, verb: str, fit: str) -> RuntimeError:
    return RuntimeError(f"[{type(model).__name__}] call {fit} before {verb}")


class Classifier(Estimator):
    """A model that tells classes apart.

    Attributes
    ----------
    classes_ : ndarray, shape (K,)
        The labels, in order; set by ``fit``.
    """

    classes_: NDArray[Any]

    def predict(self, x: ArrayLike) -> NDArray[Any]:
        """Label of each sample.

        Parameters
        ----------
        x : array_like, shape (N, C)

        Returns
        -------
        ndarray, shape (N,)
        """
        scores = self.decision_function(x)
        labels: NDArray[Any] = self.classes_[
            decide(scores[:, None] if scores.ndim == 1 else scores)
        ]
        return labels

    def decision_function(self, x: ArrayLike) -> Array:
        """Scores of each sample: (N,) for two classes, else (N, K)."""
        raise NotImplementedError

    def score(self, x: ArrayLike, y: ArrayLike) -> float:
        """Share of the samples whose label is predicted."""
        predicted = self.predict(x)
        labels = np.asarray(y).reshape(-1)
        if len(labels) != len(predicted) or not len(labels):
            raise ValueError(
                f"[{type(self).__name__}] x has {len(predicted)} samples, y has {len(labels)}"
            )
        return float(np.mean(predicted == labels))

    def _require_fitted(self, verb: str) -> None:
        if not hasattr(self, "classes_"):
            raise _unfitted(self, verb, "fit(x, y)")


def decide(scores: Array) -> NDArray[np.intp]:
    """Index of the class with the largest score, the first among equals.

    One column stands for two classes: its hard limit, 1 from 0 on.
    """
    if scores.shape[-1] == 1:
        return (scores[..., 0] >= 0).astype(np.intp)
    return np.asarray(scores.argmax(-1))


class Regressor(Estimator):
    """A model that predicts numbers."""

    _vector: bool  # whether the targets were (N,) rather than (N, K)

    def predict(self, x: ArrayLike) -> Array:
        """Predictions, of the targets' shape."""
        raise NotImplementedError

    def evaluate(self, x: ArrayLike, t: ArrayLike) -> float:
        """Mean squared error over samples and outputs."""
        return float(np.mean(self._residual(x, t)[0] ** 2))

    def score(self, x: ArrayLike, t: ArrayLike) -> float:
        """Coefficient of determination: 1 is perfect, 0 no better than the mean.

        It is ``1 - sum (t - y)^2 / sum (t - mean t)^2``, averaged over the outputs. An output that
        is constant counts 1 if it is predicted exactly, else 0.
        """
        residual, values = self._residual(x, t)
        rest = (residual**2).sum(0)
        total = ((values - values.mean(0)) ** 2).sum(0)
        shares = np.where(
            total > 0, 1 - rest / np.where(total > 0, total, 1), (rest == 0).astype(float)
        )
        return float(shares.mean())

    def _residual(self, x: ArrayLike, t: ArrayLike) -> tuple[Array, Array]:
        predicted = self.predict(x)
        predicted = predicted.reshape(len(predicted), -1)
        values = as_values(type(self).__name__, t, len(predicted))
        if values.shape != predicted.shape or not len(values):
            raise ValueError(
                f"[{type(self).__name__}] predictions have shape {predicted.shape}, t has "
                f"{values.shape}"
            )
        return values - predicted, values

    def _require_fitted(self, verb: str, fit: str) -> None:
        if not hasattr(self, "_vector"):
            raise _unfitted(self, verb, fit)

    def _shaped(self, y: Array) -> Array:
        # Contiguous, so that what a file gives back has the same sums.
        return np.ascontiguousarray(y[:, 0]) if self._vector else y
