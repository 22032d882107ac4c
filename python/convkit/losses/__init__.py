"""Losses: what training minimises, as objects or by Keras's names.

============================================= ============================ =======================
names                                         targets                      prediction
============================================= ============================ =======================
``"sparse_categorical_crossentropy"``         integer labels               probabilities of classes
``"categorical_crossentropy"``                one-hot, or a distribution   probabilities of classes
``"binary_crossentropy"``, ``"bce"``          0 to 1, of the output's      probabilities
                                              shape
``"sparse_categorical_focal_crossentropy"``,  as the above                 as the above
``"categorical_focal_crossentropy"``,
``"binary_focal_crossentropy"``
``"discriminative_map"``                      integer labels               negated penalties
``"mean_squared_error"``, ``"mse"``           any numbers                  any numbers
``"sum_squared_error"``, ``"sse"``
``"root_mean_squared_error"``, ``"rmse"``
``"mean_absolute_error"``, ``"mae"``
``"mean_absolute_percentage_error"``, "mape"
``"huber"``, ``"log_cosh"``
``"cosine_similarity"``
``"mean_squared_logarithmic_error"``, "msle"  from 0                       from 0
``"poisson"``                                 from 0                       above 0
``"kl_divergence"``, ``"kld"``                a distribution               probabilities of classes
``"hinge"``, ``"squared_hinge"``              -1 and 1, or 0 and 1         any numbers
``"categorical_hinge"``                       one-hot                      any numbers
``ck.Loss(f, df)``, of one's own              what f takes                 what f takes
============================================= ============================ =======================

With ``from_logits=True`` the prediction is what would go into softmax or sigmoid. Without it the
program still computes softmax and cross-entropy in one stable step.

A loss object is also a function of arrays, ``loss(y_true, y_pred, sample_weight)``; with
``reduction="none"`` it gives the loss of each row. The functions, such as `huber`, do so too.
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
from convkit.losses.custom import CustomLoss
from convkit.losses.discriminative import DiscriminativeMAP
from convkit.losses.divergence import (
    CosineSimilarity,
    KLDivergence,
    Poisson,
    cosine_similarity,
    kl_divergence,
    poisson,
)
from convkit.losses.focal import (
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    SparseCategoricalFocalCrossentropy,
    binary_focal_crossentropy,
    categorical_focal_crossentropy,
    sparse_categorical_focal_crossentropy,
)
from convkit.losses.margin import (
    CategoricalHinge,
    Hinge,
    SquaredHinge,
    categorical_hinge,
    hinge,
    squared_hinge,
)
from convkit.losses.names import get
from convkit.losses.regression import (
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    RootMeanSquaredError,
    SumSquaredError,
    huber,
    log_cosh,
    mean_absolute_error,
    mean_absolute_percentage_error,
    mean_squared_error,
    mean_squared_logarithmic_error,
)

__all__ = [
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "CategoricalHinge",
    "CosineSimilarity",
    "CustomLoss",
    "DiscriminativeMAP",
    "Hinge",
    "Huber",
    "KLDivergence",
    "LogCosh",
    "Loss",
    "MeanAbsoluteError",
    "MeanAbsolutePercentageError",
    "MeanSquaredError",
    "MeanSquaredLogarithmicError",
    "Poisson",
    "RootMeanSquaredError",
    "SparseCategoricalCrossentropy",
    "SparseCategoricalFocalCrossentropy",
    "SquaredHinge",
    "SumSquaredError",
    "binary_crossentropy",
    "binary_focal_crossentropy",
    "categorical_crossentropy",
    "categorical_focal_crossentropy",
    "categorical_hinge",
    "cosine_similarity",
    "get",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_error",
    "mean_squared_logarithmic_error",
    "poisson",
    "sparse_categorical_crossentropy",
    "sparse_categorical_focal_crossentropy",
    "squared_hinge",
]
