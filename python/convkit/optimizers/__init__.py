"""Optimizers: how a gradient changes the weights, as objects or by Keras's names.

The state of an optimizer (momentum, moments) lies in the model's flat buffers; the object holds
the hyperparameters and the number of steps done. Formulas: csrc/ops/update/update.h.
"""

from convkit import schedules
from convkit.optimizers import line_search
from convkit.optimizers.adam import Adam, Adamax, AdamW, Nadam
from convkit.optimizers.adaptive import Adadelta, Adagrad, RMSprop
from convkit.optimizers.base import Optimizer
from convkit.optimizers.conjugate import ConjugateGradient, SteepestDescent
from convkit.optimizers.full_batch import Descent, FullBatch
from convkit.optimizers.levenberg_marquardt import LevenbergMarquardt
from convkit.optimizers.line_search import LineSearch
from convkit.optimizers.lion import Lion
from convkit.optimizers.minimum import Minimum, minimize
from convkit.optimizers.names import get
from convkit.optimizers.quasi_newton import BFGS, LBFGS
from convkit.optimizers.sgd import SGD

__all__ = [
    "BFGS",
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "ConjugateGradient",
    "Descent",
    "FullBatch",
    "LevenbergMarquardt",
    "LineSearch",
    "Lion",
    "Minimum",
    "Nadam",
    "Optimizer",
    "RMSprop",
    "SteepestDescent",
    "get",
    "line_search",
    "minimize",
    "schedules",
]
