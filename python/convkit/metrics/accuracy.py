"""Shares of right answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.metrics.base import Metric

if TYPE_CHECKING:
    from convkit.ops.registry import Array, Params
    from convkit.program.program import Builder, Value


class AccuracyOf(Metric):
    """Share of rows that an accuracy formula counts as right."""

    kind = ""
    rises = True

    def __init__(self, name: str, threshold: float, options: dict[str, Any]) -> None:
        super().__init__(name, options)
        self.threshold = float(threshold)

    def emit(
        self, builder: Builder, prediction: Value, target: Value, weight: Value | None
    ) -> Value:
        counted = builder.masked_weight(prediction, weight if self.weighted else None)
        inputs = [prediction, target, counted]
        # Compared in the working dtype, so that 0.3 means the same number everywhere.
        threshold = float(np.dtype(prediction.spec.dtype).type(self.threshold))
        params: Params = {"kind": self.kind, "threshold": threshold}
        builder.layer = self.name
        (result,) = builder.emit("accuracy", "forward", inputs, params, prefix="m")
        builder.layer = ""
        assert result is not None
        return result

    def result(self, sums: Array, rows: float) -> float:
        return float(sums[0] / sums[1]) if sums[1] else 0.0


class SparseCategoricalAccuracy(AccuracyOf):
    """Share of rows whose largest output is that of the integer label."""

    kind = "sparse"
    sparse = True

    def __init__(self, name: str = "sparse_categorical_accuracy", **options: Any) -> None:
        super().__init__(name, 0.5, options)


class CategoricalAccuracy(AccuracyOf):
    """Share of rows whose largest output is where the largest target is."""

    kind = "categorical"
    sparse = False

    def __init__(self, name: str = "categorical_accuracy", **options: Any) -> None:
        super().__init__(name, 0.5, options)


class BinaryAccuracy(AccuracyOf):
    """Share of outputs on the same side of a threshold as their targets.

    Parameters
    ----------
    name : str
    threshold : float
    """

    kind = "binary"
    sparse = False

    def __init__(
        self, name: str = "binary_accuracy", threshold: float = 0.5, **options: Any
    ) -> None:
        super().__init__(name, threshold, options)


class Accuracy(Metric):
    """The accuracy that fits targets and output, as ``"accuracy"`` chooses it."""

    rises = True

    def __init__(self, name: str = "accuracy", **options: Any) -> None:
        super().__init__(name, options)

    def resolve(self, sparse: bool, outputs: int) -> Metric:
        kind: Callable[..., Metric]
        if sparse:
            kind = SparseCategoricalAccuracy
        else:
            kind = BinaryAccuracy if outputs == 1 else CategoricalAccuracy
        return kind().named(self.name, self.weighted)
