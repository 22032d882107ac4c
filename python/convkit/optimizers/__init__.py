"""Optimizers: how a gradient changes the weights, as objects or by Keras's names.

The state of an optimizer (momentum, moments) lies in the model's flat buffers; the object holds
the hyperparameters and the number of steps done. Formulas: csrc/ops/update/update.h.
"""

from convkit import schedules
from convkit.optimizers.adam import Adam, Adamax, AdamW, Nadam
from convkit.optimizers.adaptive import Adadelta, Adagrad, RMSprop
from convkit.optimizers.base import Optimizer
from convkit.optimizers.lion import Lion
from convkit.optimizers.names import get
from convkit.optimizers.sgd import SGD

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Lion",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "get",
    "schedules",
]
