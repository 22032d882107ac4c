"""Metrics: what is reported beside the loss, as objects or by Keras's names.

``"accuracy"`` means what it means in Keras: binary accuracy for one output, sparse categorical
accuracy for integer labels, categorical accuracy otherwise.
"""

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
    MeanSquaredError,
    SparseCategoricalCrossentropy,
)
from convkit.metrics.names import get

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
