"""Metrics by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from convkit.errors import did_you_mean
from convkit.losses import Loss
from convkit.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
)
from convkit.metrics.base import Metric
from convkit.metrics.from_loss import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    LossAsMetric,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from convkit.program.program import REGULARIZATION

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
        return LossAsMetric(identifier.name, identifier)
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
    taken = {"loss", "error", REGULARIZATION}
    for metric, counts in [*((m, False) for m in metrics), *((m, True) for m in weighted)]:
        name = metric.name
        if name in taken and counts:
            name = f"weighted_{name}"
        if name in taken:
            raise ValueError(f"two metrics are called {name!r}; give one another name=")
        taken.add(name)
        resolved.append(metric.resolve(sparse, outputs).named(name, counts))
    return resolved
