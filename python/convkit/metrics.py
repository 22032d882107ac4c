"""Metrics: what is reported beside the loss, as objects or by Keras's names.

``"accuracy"`` means what it means in Keras: binary accuracy for one output, sparse categorical
accuracy for integer labels, categorical accuracy otherwise.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit import losses
from convkit.errors import did_you_mean, refuse_options
from convkit.losses import Loss

if TYPE_CHECKING:
    from convkit.ops.registry import Array, Params
    from convkit.program.program import Builder, Value

__all__ = [
    "Accuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "MeanSquaredError",
    "Metric",
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "get",
]


class Metric:
    """Base of the metrics.

    Attributes
    ----------
    name : str
        Key in the logs.
    weighted : bool
        Whether sample weights count; set for `weighted_metrics` of ``compile``.
    sparse : bool or None
        Whether it needs integer labels (True), values (False) or takes both (None).
    """

    sparse: bool | None = None
    rises = False  # whether more is better

    def __init__(self, name: str, options: dict[str, Any] | None = None) -> None:
        refuse_options(type(self).__name__, options or {}, {"dtype": None, "axis": -1})
        self.name = name
        self.weighted = False

    def named(self, name: str, weighted: bool) -> Metric:
        """A copy with another name, for sample weights or not."""
        other = copy.copy(self)
        other.name = name
        other.weighted = weighted
        return other

    def resolve(self, sparse: bool, outputs: int) -> Metric:
        """The metric that this one stands for, given the targets' kind and the output's width."""
        if self.sparse is not None and self.sparse != sparse:
            got = "integer labels" if sparse else "values of the output's shape"
            raise ValueError(
                f"metric {self.name!r} does not fit the loss, whose targets are {got}; "
                'use "accuracy"'
            )
        return self

    def emit(
        self, builder: Builder, prediction: Value, target: Value, weight: Value | None
    ) -> Value:
        """Append the metric to a program.

        Returns
        -------
        Value
            float64; a run sums it over its steps.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define emit()")

    def result(self, sums: Array, rows: float) -> float:
        """The metric from the summed values.

        Parameters
        ----------
        sums : ndarray of float64
        rows : float
            Number of rows, or the sum of their weights if `weighted`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define result(sums, rows)")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class _AccuracyOf(Metric):
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


class SparseCategoricalAccuracy(_AccuracyOf):
    """Share of rows whose largest output is that of the integer label."""

    kind = "sparse"
    sparse = True

    def __init__(self, name: str = "sparse_categorical_accuracy", **options: Any) -> None:
        super().__init__(name, 0.5, options)


class CategoricalAccuracy(_AccuracyOf):
    """Share of rows whose largest output is where the largest target is."""

    kind = "categorical"
    sparse = False

    def __init__(self, name: str = "categorical_accuracy", **options: Any) -> None:
        super().__init__(name, 0.5, options)


class BinaryAccuracy(_AccuracyOf):
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


class _LossAsMetric(Metric):
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


class SparseCategoricalCrossentropy(_LossAsMetric):
    """`convkit.losses.SparseCategoricalCrossentropy`, reported."""

    def __init__(self, name: str = "sparse_categorical_crossentropy", **options: Any) -> None:
        super().__init__(name, losses.SparseCategoricalCrossentropy(**options))


class CategoricalCrossentropy(_LossAsMetric):
    """`convkit.losses.CategoricalCrossentropy`, reported."""

    def __init__(self, name: str = "categorical_crossentropy", **options: Any) -> None:
        super().__init__(name, losses.CategoricalCrossentropy(**options))


class BinaryCrossentropy(_LossAsMetric):
    """`convkit.losses.BinaryCrossentropy`, reported."""

    def __init__(self, name: str = "binary_crossentropy", **options: Any) -> None:
        super().__init__(name, losses.BinaryCrossentropy(**options))


class MeanSquaredError(_LossAsMetric):
    """`convkit.losses.MeanSquaredError`, reported."""

    def __init__(self, name: str = "mean_squared_error", **options: Any) -> None:
        super().__init__(name, losses.MeanSquaredError(**options))


_CLASSES: tuple[Callable[..., Metric], ...] = (
    Accuracy,
    SparseCategoricalAccuracy,
    CategoricalAccuracy,
    BinaryAccuracy,
    SparseCategoricalCrossentropy,
    CategoricalCrossentropy,
    BinaryCrossentropy,
    MeanSquaredError,
)
_ALIASES: dict[str, Callable[..., Metric]] = {
    "accuracy": Accuracy,
    "acc": Accuracy,
    "sparse_categorical_accuracy": SparseCategoricalAccuracy,
    "categorical_accuracy": CategoricalAccuracy,
    "binary_accuracy": BinaryAccuracy,
    "sparse_categorical_crossentropy": SparseCategoricalCrossentropy,
    "categorical_crossentropy": CategoricalCrossentropy,
    "binary_crossentropy": BinaryCrossentropy,
    "bce": BinaryCrossentropy,
    "BCE": BinaryCrossentropy,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
    "MSE": MeanSquaredError,
}
NAMES = {**_ALIASES, **{cls.__name__: cls for cls in _CLASSES}}


def get(identifier: object) -> Metric:
    """Return a metric by name or object; a name is also the key in the logs, as in Keras.

    Parameters
    ----------
    identifier : str, Metric or Metric class

    Returns
    -------
    Metric

    Raises
    ------
    ValueError
        If the name is unknown; the message suggests the nearest one.
    TypeError
        If it is neither a name nor a metric.
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return identifier()  # type: ignore[call-arg]
    if isinstance(identifier, str):
        if identifier in NAMES:
            metric = NAMES[identifier]()
            return metric.named(identifier, False) if identifier in _ALIASES else metric
        raise ValueError(f"unknown metric {identifier!r}{did_you_mean(identifier, _ALIASES)}")
    if isinstance(identifier, Loss):
        return _LossAsMetric(identifier.name, identifier)
    raise TypeError(
        "a metric must be a name or an object of ck.metrics, not "
        f"{getattr(identifier, '__name__', type(identifier).__name__)}"
    )


def resolve(
    metrics: Sequence[Metric], weighted: Sequence[Metric], sparse: bool, outputs: int
) -> list[Metric]:
    """Resolve "accuracy" and make the names unique.

    Parameters
    ----------
    metrics, weighted : sequence of Metric
        Those without and those with sample weights.
    sparse : bool
        Whether the targets are integer labels.
    outputs : int
        Width of the model's output.

    Returns
    -------
    list of Metric
        Fresh copies.
    """
    resolved: list[Metric] = []
    taken = {"loss"}
    for metric, counts in [*((m, False) for m in metrics), *((m, True) for m in weighted)]:
        name = metric.name
        if name in taken and counts:
            name = f"weighted_{name}"
        if name in taken:
            raise ValueError(f"two metrics are called {name!r}; give one another name=")
        taken.add(name)
        resolved.append(metric.resolve(sparse, outputs).named(name, counts))
    return resolved
