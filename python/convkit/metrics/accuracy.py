"""Shares of right answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.checks import whole
from convkit.metrics.arrays import as_prediction, as_target
from convkit.metrics.base import Metric
from convkit.ops.accuracy import SPARSE_ACCURACIES, accuracy_params, matches

if TYPE_CHECKING:
    from convkit.ops.registry import Array
    from convkit.program.builder import Builder
    from convkit.program.program import Value


class AccuracyOf(Metric):
    """Share of rows that a formula of the op ``accuracy`` counts as right."""

    kind = ""
    rises = True
    threshold = 0.5
    k: int | None = None

    def emit(
        self, builder: Builder, prediction: Value, target: Value, weight: Value | None
    ) -> Value:
        counted = self._counted(builder, prediction, weight)
        # Compared in the working dtype, so that 0.3 means the same number everywhere.
        threshold = float(np.dtype(prediction.spec.dtype).type(self.threshold))
        params = accuracy_params(self.kind, threshold, self.k)
        return self._append(builder, "accuracy", [prediction, target, counted], params)

    def from_sums(self, sums: Array, rows: float) -> float:
        return float(sums[0] / sums[1]) if sums[1] else 0.0


class SparseCategoricalAccuracy(AccuracyOf):
    """Share of rows whose largest output is that of the integer label."""

    kind = "sparse"
    sparse = True
    needs_classes = True
    aliases = ("sparse_categorical_accuracy",)

    def __init__(self, name: str = "sparse_categorical_accuracy", **options: Any) -> None:
        super().__init__(name, options)


class CategoricalAccuracy(AccuracyOf):
    """Share of rows whose largest output is where the largest target is."""

    kind = "categorical"
    sparse = False
    needs_classes = True
    aliases = ("categorical_accuracy",)

    def __init__(self, name: str = "categorical_accuracy", **options: Any) -> None:
        super().__init__(name, options)


class BinaryAccuracy(AccuracyOf):
    """Share of outputs on the same side of a threshold as their targets.

    Parameters
    ----------
    name : str
    threshold : float
        An output that equals it is not above it.
    """

    kind = "binary"
    sparse = False
    aliases = ("binary_accuracy",)

    def __init__(
        self, name: str = "binary_accuracy", threshold: float = 0.5, **options: Any
    ) -> None:
        super().__init__(name, options)
        self.threshold = float(threshold)

    @property
    def for_logits(self) -> str:
        return "threshold=0" if self.threshold == 0.5 else ""


class TopKCategoricalAccuracy(AccuracyOf):
    """Share of rows in which fewer than k outputs are larger than the one at the largest target.

    Ties are in favour of the target, as in TensorFlow's ``in_top_k``.

    Parameters
    ----------
    k : int
    name : str
    """

    kind = "categorical_top_k"
    sparse = False
    needs_classes = True
    aliases = ("top_k_categorical_accuracy",)

    def __init__(
        self, k: int = 5, name: str = "top_k_categorical_accuracy", **options: Any
    ) -> None:
        super().__init__(name, options)
        self.k = whole(type(self).__name__, "k", k, 1)


class SparseTopKCategoricalAccuracy(AccuracyOf):
    """Share of rows in which fewer than k outputs are larger than the one at the integer label.

    Ties are in favour of the label, as in TensorFlow's ``in_top_k``.

    Parameters
    ----------
    k : int
    name : str
    """

    kind = "sparse_top_k"
    sparse = True
    needs_classes = True
    aliases = ("sparse_top_k_categorical_accuracy",)

    def __init__(
        self, k: int = 5, name: str = "sparse_top_k_categorical_accuracy", **options: Any
    ) -> None:
        super().__init__(name, {k: v for k, v in options.items() if k != "from_sorted_ids"})
        if options.get("from_sorted_ids"):
            raise ValueError("SparseTopKCategoricalAccuracy: from_sorted_ids is not supported")
        self.k = whole(type(self).__name__, "k", k, 1)


class _EqualValues(AccuracyOf):
    kind = "equal"


class Accuracy(Metric):
    """The accuracy that fits targets and output, as ``"accuracy"`` chooses it.

    In a model that is binary accuracy for one output, sparse categorical accuracy for integer
    labels, categorical accuracy otherwise. On arrays of equal shapes it is, as in Keras, the share
    of equal values.
    """

    rises = True
    aliases = ("accuracy", "acc")

    def __init__(self, name: str = "accuracy", **options: Any) -> None:
        super().__init__(name, options)

    def resolve(self, sparse: bool, outputs: int) -> Metric:
        kind: Callable[..., Metric]
        if sparse:
            kind = SparseCategoricalAccuracy
        else:
            kind = BinaryAccuracy if outputs == 1 else CategoricalAccuracy
        return kind().named(self.name, self.weighted)

    def resolve_arrays(self, y_true: Array, y_pred: Array, sparse: bool) -> Metric:
        return self.resolve(sparse, y_pred.shape[-1]) if sparse else _EqualValues(self.name)

    def from_sums(self, sums: Array, rows: float) -> float:
        return float(sums[0] / sums[1]) if sums[1] else 0.0


def _matches(
    name: str, kind: str, y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5, k: int = 1
) -> Array:
    """How far each row is right, as the op ``accuracy`` says."""
    p = as_prediction(name, y_pred, kind != "binary")
    y = as_target(name, y_true, p)
    sparse = kind in SPARSE_ACCURACIES
    if sparse != (y.dtype.kind == "i"):
        wanted = "integer labels" if sparse else "values of y_pred's shape"
        raise ValueError(f"{name}: y_true must hold {wanted}, got shape {np.shape(y_true)}")
    threshold = float(p.dtype.type(threshold))
    return matches(kind, p, y, threshold, k).reshape(p.shape[:-1])


def binary_accuracy(y_true: ArrayLike, y_pred: ArrayLike, threshold: float = 0.5) -> Array:
    """Share of values of each row (..., K) on the same side of the threshold, shape (...,)."""
    return _matches("binary_accuracy", "binary", y_true, y_pred, threshold)


def categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """1 for each row (..., K) whose largest value is at the largest target, else 0."""
    return _matches("categorical_accuracy", "categorical", y_true, y_pred)


def sparse_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """1 for each row (..., K) whose largest value is at the integer label, else 0."""
    return _matches("sparse_categorical_accuracy", "sparse", y_true, y_pred)


def top_k_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike, k: int = 5) -> Array:
    """1 for each row (..., K) with fewer than k values above that of the largest target, else 0."""
    k = whole("top_k_categorical_accuracy", "k", k, 1)
    return _matches("top_k_categorical_accuracy", "categorical_top_k", y_true, y_pred, k=k)


def sparse_top_k_categorical_accuracy(y_true: ArrayLike, y_pred: ArrayLike, k: int = 5) -> Array:
    """1 for each row (..., K) with fewer than k values above that of the integer label, else 0."""
    k = whole("sparse_top_k_categorical_accuracy", "k", k, 1)
    return _matches("sparse_top_k_categorical_accuracy", "sparse_top_k", y_true, y_pred, k=k)
