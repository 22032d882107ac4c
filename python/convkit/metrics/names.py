"""Metrics by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from convkit import losses
from convkit.errors import did_you_mean
from convkit.losses import Loss
from convkit.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from convkit.metrics.auc import AUC
from convkit.metrics.base import Metric
from convkit.metrics.confusion import ConfusionMatrix, confusion_matrix
from convkit.metrics.from_loss import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    LossAsMetric,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    Perplexity,
    Poisson,
    SparseCategoricalCrossentropy,
    SquaredHinge,
)
from convkit.metrics.regression import (
    MeanAbsoluteError,
    MeanSquaredError,
    R2Score,
    RootMeanSquaredError,
)
from convkit.metrics.thresholds import (
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from convkit.program.terms import REGULARIZATION

_CLASSES: tuple[Any, ...] = (
    AUC,
    Accuracy,
    BinaryAccuracy,
    BinaryCrossentropy,
    CategoricalAccuracy,
    CategoricalCrossentropy,
    CategoricalHinge,
    ConfusionMatrix,
    CosineSimilarity,
    F1Score,
    FBetaScore,
    FalseNegatives,
    FalsePositives,
    Hinge,
    KLDivergence,
    LogCoshError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Perplexity,
    Poisson,
    Precision,
    R2Score,
    Recall,
    RootMeanSquaredError,
    SparseCategoricalAccuracy,
    SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy,
    SquaredHinge,
    TopKCategoricalAccuracy,
    TrueNegatives,
    TruePositives,
)
_ALIASES: dict[str, Callable[[], Metric]] = {
    alias: cls for cls in _CLASSES for alias in cls.aliases
}
NAMES = {**_ALIASES, **{cls.__name__: cls for cls in _CLASSES}}


_FUNCTIONS: dict[object, Callable[[], Metric]] = {
    binary_accuracy: BinaryAccuracy,
    categorical_accuracy: CategoricalAccuracy,
    confusion_matrix: ConfusionMatrix,
    sparse_categorical_accuracy: SparseCategoricalAccuracy,
    sparse_top_k_categorical_accuracy: SparseTopKCategoricalAccuracy,
    top_k_categorical_accuracy: TopKCategoricalAccuracy,
}


def get(identifier: object) -> Metric:
    """Return a metric by name or object; a name is also the key in the logs, as in Keras.

    Parameters
    ----------
    identifier : str, Metric, Metric class, Loss, or a function of this module or of the losses
        A loss, its name or its function, is reported as the mean over the rows.

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
            metric: Metric = NAMES[identifier]()
            return metric.named(identifier, False) if identifier in _ALIASES else metric
        try:
            return LossAsMetric(identifier, losses.get(identifier))
        except ValueError:
            known = did_you_mean(identifier, _ALIASES)
            raise ValueError(f"unknown metric {identifier!r}{known}") from None
    if isinstance(identifier, Loss):
        return LossAsMetric(identifier.name, identifier)
    if callable(identifier):
        if identifier in _FUNCTIONS:
            return _FUNCTIONS[identifier]()
        if getattr(losses, getattr(identifier, "__name__", ""), None) is identifier:
            return get(losses.get(identifier))
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
