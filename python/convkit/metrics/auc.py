"""The area under a curve of rates over all thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.checks import whole
from convkit.errors import did_you_mean
from convkit.metrics.base import Metric, ratio
from convkit.metrics.thresholds import CountedAbove, Counts, check_thresholds
from convkit.ops.activation_formulas import activation_params

if TYPE_CHECKING:
    from convkit.ops.registry import Array
    from convkit.program.builder import Builder
    from convkit.program.program import Value

CURVES = ("ROC", "PR")
METHODS = ("interpolation", "minoring", "majoring")
EPSILON = 1e-7  # by which the outer thresholds lie outside 0..1, as in Keras


class AUC(CountedAbove):
    """Area under the ROC curve or the precision-recall curve, by a sum over thresholds.

    The ROC curve is that of the true positive rate over the false positive rate. Between two
    points of it the area is that of a trapezium; precision is not linear in recall, so that curve
    is interpolated as by Davis and Goadrich (2006, section 3). All outputs of a row count together,
    one-hot targets too. Without positives, or for ROC without negatives, the area is 0, as in
    Keras, though it is not defined.

    With evenly spaced thresholds the result is an approximation: outputs between two thresholds
    count as equal. It does not depend on how the samples are cut into batches.

    Parameters
    ----------
    num_thresholds : int
        At least 2; evenly spaced, those at the ends by 1e-7 outside of 0..1.
    curve : {"ROC", "PR"}
    summation_method : {"interpolation", "minoring", "majoring"}
        "minoring" and "majoring" take the lower or the higher end of each interval of the curve.
    name : str, optional
    thresholds : sequence of float, optional
        In 0..1, in place of evenly spaced ones; -1e-7 and 1 + 1e-7 are added.
    multi_label : bool
        Only False.
    num_labels, label_weights : None
    from_logits : bool
        Whether the prediction has not gone through sigmoid. Without, values should be in 0..1:
        others lie beyond all thresholds.
    """

    rises = True
    aliases = ("auc",)

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str | None = None,
        dtype: None = None,
        thresholds: Sequence[float] | None = None,
        multi_label: bool = False,
        num_labels: int | None = None,
        label_weights: Sequence[float] | None = None,
        from_logits: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(name or "auc", {"dtype": dtype, **options})
        if multi_label or num_labels is not None or label_weights is not None:
            raise ValueError(
                "AUC: multi_label, num_labels and label_weights are not supported; use one "
                "AUC() for each column of y_pred"
            )
        if curve not in CURVES:
            raise ValueError(f"AUC: unknown curve {curve!r}{did_you_mean(curve, CURVES)}")
        if summation_method not in METHODS:
            known = did_you_mean(summation_method, METHODS)
            raise ValueError(f"AUC: unknown summation_method {summation_method!r}{known}")
        if thresholds is not None:
            inner = np.sort(check_thresholds("AUC", thresholds, 0.5))
        else:
            intervals = whole("AUC", "num_thresholds", num_thresholds, 2) - 1
            inner = np.arange(1, intervals) / intervals
        self.curve, self.summation_method, self.from_logits = curve, summation_method, from_logits
        self.edges = np.array([-EPSILON, *inner, 1 + EPSILON])

    @property
    def for_logits(self) -> str:
        return "" if self.from_logits else "from_logits=True"

    @property
    def num_thresholds(self) -> int:
        return len(self.edges)

    @property
    def thresholds(self) -> list[float]:
        return [float(t) for t in self.edges]

    def resolve_arrays(self, y_true: Array, y_pred: Array, sparse: bool) -> Metric:
        wrong = np.flatnonzero((y_pred < 0) | (y_pred > 1))
        if wrong.size and not self.from_logits:
            raise ValueError(
                f"metric {self.name!r}: y_pred holds {y_pred.flat[wrong[0]]:g}, expected values in "
                "0..1; pass from_logits=True if it has not gone through sigmoid"
            )
        return super().resolve_arrays(y_true, y_pred, sparse)

    def scores(self, builder: Builder, prediction: Value) -> Value:
        if not self.from_logits:
            return prediction
        return self._append(builder, "activation", [prediction], activation_params("sigmoid"))

    def from_sums(self, sums: Array, rows: float) -> float:
        counts = Counts(*(c[0] for c in self.counts(sums)))
        recall = ratio(counts.tp, counts.tp + counts.fn)
        if self.curve == "PR" and self.summation_method == "interpolation":
            return _interpolated_precision(counts)
        if self.curve == "ROC":
            x, y = ratio(counts.fp, counts.fp + counts.tn), recall
        else:
            x, y = recall, ratio(counts.tp, counts.tp + counts.fp)
        heights = {
            "interpolation": (y[:-1] + y[1:]) / 2,
            "minoring": np.minimum(y[:-1], y[1:]),
            "majoring": np.maximum(y[:-1], y[1:]),
        }[self.summation_method]
        return float(((x[:-1] - x[1:]) * heights).sum())


def _interpolated_precision(counts: Counts) -> float:
    """Area under the precision-recall curve where, between two thresholds, true positives grow
    linearly with all predicted positives: the integral of precision over recall (Davis and Goadrich
    2006; the closed form is that of TensorFlow's and Keras's AUC).
    """
    predicted = counts.tp + counts.fp
    higher, lower = predicted[:-1], predicted[1:]
    gained = counts.tp[:-1] - counts.tp[1:]
    slope = ratio(gained, np.maximum(higher - lower, 0))
    intercept = counts.tp[1:] - slope * lower
    growth = np.where((higher > 0) & (lower > 0), ratio(higher, lower), 1.0)
    positives = counts.tp[1:] + counts.fn[1:]
    return float(ratio(slope * (gained + intercept * np.log(growth)), positives).sum())
