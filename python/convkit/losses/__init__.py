"""Losses: what training minimises, as objects or by Keras's names.

========================================== ============================= =========================
names                                      targets                       prediction
========================================== ============================= =========================
``"sparse_categorical_crossentropy"``      integer labels                probabilities over classes
``"categorical_crossentropy"``             one row per class (one-hot)   probabilities over classes
``"binary_crossentropy"``, ``"bce"``       0 or 1, of the output's shape probabilities
``"mean_squared_error"``, ``"mse"``        of the output's shape         any numbers
``"discriminative_map"``                   integer labels                negated penalties
========================================== ============================= =========================

With ``from_logits=True`` the prediction is what would go into softmax or sigmoid. Without it the
program still computes softmax and cross-entropy in one stable step.
"""

from convkit.losses.base import Loss
from convkit.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    binary_crossentropy,
    categorical_crossentropy,
    sparse_categorical_crossentropy,
)
from convkit.losses.discriminative import DiscriminativeMAP
from convkit.losses.names import get
from convkit.losses.regression import MeanSquaredError, mean_squared_error

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "DiscriminativeMAP",
    "Loss",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "categorical_crossentropy",
    "get",
    "mean_squared_error",
    "sparse_categorical_crossentropy",
]
