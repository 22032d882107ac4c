"""Losses, reported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convkit import losses
from convkit.losses import Loss
from convkit.metrics.base import Metric

if TYPE_CHECKING:
    from convkit.ops.registry import Array
    from convkit.program.program import Builder, Value


class LossAsMetric(Metric):
    """A loss, reported; the mean over the rows."""

    def __init__(self, name: str, loss: Loss) -> None:
        super().__init__(name)
        self.loss = loss
        self.sparse = loss.sparse

    def emit(
        self, builder: Builder, prediction: Value, target: Value, weight: Value | None
    ) -> Value:
        if self.weighted and builder.mask(prediction) is not None:
            raise ValueError(
                f"metric {self.name!r} cannot have sample weights and a mask, whose steps would "
                "count in its mean; move it from weighted_metrics to metrics"
            )
        counted = builder.masked_weight(prediction, weight if self.weighted else None, mean=True)
        return self.loss.emit(builder, prediction, target, counted, gradient=False)[0]

    def result(self, sums: Array, rows: float) -> float:
        return float(sums[0] / rows) if rows else 0.0


class SparseCategoricalCrossentropy(LossAsMetric):
    """`convkit.losses.SparseCategoricalCrossentropy`, reported."""

    def __init__(self, name: str = "sparse_categorical_crossentropy", **options: Any) -> None:
        super().__init__(name, losses.SparseCategoricalCrossentropy(**options))


class CategoricalCrossentropy(LossAsMetric):
    """`convkit.losses.CategoricalCrossentropy`, reported."""

    def __init__(self, name: str = "categorical_crossentropy", **options: Any) -> None:
        super().__init__(name, losses.CategoricalCrossentropy(**options))


class BinaryCrossentropy(LossAsMetric):
    """`convkit.losses.BinaryCrossentropy`, reported."""

    def __init__(self, name: str = "binary_crossentropy", **options: Any) -> None:
        super().__init__(name, losses.BinaryCrossentropy(**options))


class MeanSquaredError(LossAsMetric):
    """`convkit.losses.MeanSquaredError`, reported."""

    def __init__(self, name: str = "mean_squared_error", **options: Any) -> None:
        super().__init__(name, losses.MeanSquaredError(**options))
