"""Errors of regression, from sums in float64."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.checks import whole
from convkit.errors import did_you_mean
from convkit.metrics.base import Metric, ratio

if TYPE_CHECKING:
    from convkit.ops.registry import Array
    from convkit.program.builder import Builder
    from convkit.program.program import Value

WEIGHT, TARGET, TARGET_SQUARED, _, SQUARED_ERROR, ABSOLUTE_ERROR = range(6)


class _OfMoments(Metric):
    sparse = False

    def emit(
        self, builder: Builder, prediction: Value, target: Value, weight: Value | None
    ) -> Value:
        counted = self._counted(builder, prediction, weight)
        return self._append(builder, "moments", [prediction, target, counted])

    def mean(self, sums: Array, row: int) -> float:
        """Mean over rows and columns of one of the sums."""
        moments = sums.reshape(6, -1)
        return float(ratio(moments[row].sum(), moments[WEIGHT].sum()))


class MeanSquaredError(_OfMoments):
    """Mean over rows and outputs of (p - t)^2."""

    aliases = ("mean_squared_error", "mse", "MSE")

    def __init__(self, name: str = "mean_squared_error", **options: Any) -> None:
        super().__init__(name, options)

    def from_sums(self, sums: Array, rows: float) -> float:
        return self.mean(sums, SQUARED_ERROR)


class RootMeanSquaredError(_OfMoments):
    """Root of the mean over rows and outputs of (p - t)^2: in the targets' unit."""

    aliases = ("root_mean_squared_error", "rmse", "RMSE")

    def __init__(self, name: str = "root_mean_squared_error", **options: Any) -> None:
        super().__init__(name, options)

    def from_sums(self, sums: Array, rows: float) -> float:
        return math.sqrt(self.mean(sums, SQUARED_ERROR))


class MeanAbsoluteError(_OfMoments):
    """Mean over rows and outputs of abs(p - t)."""

    aliases = ("mean_absolute_error", "mae", "MAE")

    def __init__(self, name: str = "mean_absolute_error", **options: Any) -> None:
        super().__init__(name, options)

    def from_sums(self, sums: Array, rows: float) -> float:
        return self.mean(sums, ABSOLUTE_ERROR)


AGGREGATIONS = (None, "uniform_average", "variance_weighted_average")


class R2Score(_OfMoments):
    """Coefficient of determination, 1 - sum (t - p)^2 / sum (t - mean t)^2 of each output.

    1 for perfect predictions, 0 for those no better than the mean of the targets. For a constant
    target, where it is not defined, it is 1 if the predictions are exact, else 0.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average", None}
        Mean over the outputs, plain or weighted by their targets' variance; None: one number for
        each output.
    num_regressors : int
        If above 0, the adjusted coefficient 1 - (1 - R^2) (n - 1) / (n - num_regressors - 1) for n
        rows, or weights that sum to n; with too few rows, there is a warning and no adjustment.
    name : str
    """

    rises = True
    aliases = ("r2_score",)

    def __init__(
        self,
        class_aggregation: str | None = "uniform_average",
        num_regressors: int = 0,
        name: str = "r2_score",
        **options: Any,
    ) -> None:
        super().__init__(name, options)
        if class_aggregation not in AGGREGATIONS:
            known = did_you_mean(class_aggregation, [a for a in AGGREGATIONS if a])
            raise ValueError(f"R2Score: unknown class_aggregation {class_aggregation!r}{known}")
        self.class_aggregation = class_aggregation
        self.num_regressors = whole("R2Score", "num_regressors", num_regressors)

    def from_sums(self, sums: Array, rows: float) -> float | Array:
        moments = sums.reshape(6, -1)
        n, residual = moments[WEIGHT], moments[SQUARED_ERROR]
        total = moments[TARGET_SQUARED] - ratio(moments[TARGET] ** 2, n)
        # What is left of a constant target by rounding is no variance.
        noise = 4 * n * np.finfo(np.float64).eps * moments[TARGET_SQUARED]
        total = np.where(total > noise, total, 0.0)
        scores = np.where(total > 0, 1 - ratio(residual, total), (residual == 0) & (n > 0))
        result: float | Array = scores
        if self.class_aggregation == "uniform_average":
            result = float(scores.mean())
        elif self.class_aggregation == "variance_weighted_average":
            result = float(ratio((scores * total).sum(), total.sum()))
        return self._adjusted(result, float(n[0]))

    def _adjusted(self, score: float | Array, rows: float) -> float | Array:
        if not self.num_regressors or not rows:
            return score
        freedom = rows - self.num_regressors - 1
        if freedom <= 0:
            warnings.warn(
                f"R2Score: {self.num_regressors} regressors need more than "
                f"{self.num_regressors + 1} rows, there are {rows:g}; R^2 is not adjusted",
                UserWarning,
                stacklevel=4,
            )
            return score
        return 1 - (1 - score) * (rows - 1) / freedom
