"""Which class was taken for which."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.metrics.base import Metric

if TYPE_CHECKING:
    from convkit.ops.registry import Array, Params
    from convkit.program.builder import Builder
    from convkit.program.program import Value


class ConfusionMatrix(Metric):
    """How often each class was taken for each other one: rows are true, columns predicted.

    The predicted class is that of the largest output, of equal ones the first. With one output
    there are two classes, and those above the threshold are predicted to be of the second.

    In the logs it is a list of lists. Precision, recall and accuracy follow from it: the diagonal
    over the sums of columns, over the sums of rows, and its sum over that of all.

    Parameters
    ----------
    threshold : float
        For models with one output.
    name : str

    See Also
    --------
    confusion_matrix : the same from labels, as a function.
    """

    aliases = ("confusion_matrix",)

    def __init__(
        self, threshold: float = 0.5, name: str = "confusion_matrix", **options: Any
    ) -> None:
        super().__init__(name, options)
        self.threshold = float(threshold)

    def emit(
        self, builder: Builder, prediction: Value, target: Value, weight: Value | None
    ) -> Value:
        counted = self._counted(builder, prediction, weight)
        threshold = float(np.dtype(prediction.spec.dtype).type(self.threshold))
        params: Params = {"threshold": threshold}
        return self._append(builder, "confusion", [prediction, target, counted], params)

    def from_sums(self, sums: Array, rows: float) -> Array:
        matrix: Array = sums.reshape(math.isqrt(sums.size), -1)
        return matrix


def _labels(name: str, values: ArrayLike, scores: bool) -> Array:
    """Class labels of one axis, of scores (N, K) the largest."""
    array = np.asarray(values)
    if scores and array.ndim == 2 and array.shape[1] > 1 and array.dtype.kind == "f":
        return np.asarray(array.argmax(axis=1))
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    whole = array.dtype.kind in "biu" or (array.dtype.kind == "f" and (array % 1 == 0).all())
    if array.ndim != 1 or not whole or (array < 0).any():
        raise ValueError(
            f"[confusion_matrix] {name} must hold labels 0, 1, ... of shape (N,), got "
            f"{array.dtype} of shape {array.shape}"
            + ("; or scores of several classes (N, K)" if scores else "")
        )
    return array.astype(np.int64)


def confusion_matrix(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    num_classes: int | None = None,
    sample_weight: ArrayLike | None = None,
) -> Array:
    """How often each class was taken for each other one.

    Parameters
    ----------
    y_true : array_like of int, shape (N,)
        Labels.
    y_pred : array_like, shape (N,) or (N, K)
        Predicted labels, or scores as `predict` returns them: the largest is the predicted class.
    num_classes : int, optional
        By default what the labels and scores have.
    sample_weight : array_like, shape (N,), optional
        What each sample counts.

    Returns
    -------
    ndarray, shape (num_classes, num_classes)
        Rows are true classes, columns predicted ones; int64, or float64 with weights.

    Raises
    ------
    ValueError
        If lengths differ, or a label is negative, no integer or not below num_classes.
    """
    t, p = _labels("y_true", y_true, False), _labels("y_pred", y_pred, True)
    if len(t) != len(p):
        raise ValueError(f"[confusion_matrix] y_true has {len(t)} labels, y_pred {len(p)}")
    scores = np.asarray(y_pred)
    columns = scores.shape[1] if scores.ndim == 2 and scores.shape[1] > 1 else 0
    most = 1 + max(t.max(initial=-1), p.max(initial=-1), columns - 1)
    classes = int(most) if num_classes is None else num_classes
    if most > classes:
        raise ValueError(
            f"[confusion_matrix] class {most - 1} is outside 0..{classes - 1}; raise num_classes"
        )
    weight = None if sample_weight is None else np.asarray(sample_weight, np.float64).reshape(-1)
    if weight is not None and len(weight) != len(t):
        raise ValueError(f"[confusion_matrix] {len(weight)} weights for {len(t)} labels")
    counts: Array = np.bincount(t * classes + p, weight, classes * classes)
    return counts.reshape(classes, classes)
