"""Losses by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from convkit.errors import did_you_mean
from convkit.losses import crossentropy, divergence, focal, margin, regression
from convkit.losses.base import Loss
from convkit.losses.crossentropy import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
)
from convkit.losses.discriminative import DiscriminativeMAP
from convkit.losses.divergence import CosineSimilarity, KLDivergence, Poisson
from convkit.losses.focal import (
    BinaryFocalCrossentropy,
    CategoricalFocalCrossentropy,
    SparseCategoricalFocalCrossentropy,
)
from convkit.losses.margin import CategoricalHinge, Hinge, SquaredHinge
from convkit.losses.regression import (
    Huber,
    LogCosh,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    RootMeanSquaredError,
    SumSquaredError,
)

_CLASSES = (
    SparseCategoricalCrossentropy,
    CategoricalCrossentropy,
    BinaryCrossentropy,
    SparseCategoricalFocalCrossentropy,
    CategoricalFocalCrossentropy,
    BinaryFocalCrossentropy,
    DiscriminativeMAP,
    MeanSquaredError,
    SumSquaredError,
    RootMeanSquaredError,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredLogarithmicError,
    Huber,
    LogCosh,
    Hinge,
    SquaredHinge,
    CategoricalHinge,
    KLDivergence,
    Poisson,
    CosineSimilarity,
)


# Every name that Keras knows for these losses; the first alias is the function-style name.
NAMES: dict[str, Callable[..., Loss]] = {
    name: cls for cls in _CLASSES for name in (*cls.aliases, cls.__name__)
}
NAMES |= {
    alias.upper(): NAMES[alias]
    for alias in ("bce", "kld", "mae", "mape", "mse", "msle", "rmse", "sse")
}


_FUNCTIONS: dict[Callable[..., Any], Callable[..., Loss]] = {
    getattr(module, cls.aliases[0]): cls
    for module in (crossentropy, divergence, focal, margin, regression)
    for cls in _CLASSES
    if hasattr(module, cls.aliases[0])
}


def get(identifier: object) -> Loss:
    """Return a loss by name or object.

    Parameters
    ----------
    identifier : str, Loss, Loss class or one of this module's functions

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        If the name is unknown; the message suggests the nearest one.
    TypeError
        If it is neither a name nor a loss.
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()  # type: ignore[call-arg]
    if isinstance(identifier, str):
        if identifier in NAMES:
            return NAMES[identifier]()
        near = did_you_mean(identifier, [name for name in NAMES if name.islower()])
        raise ValueError(f"unknown loss {identifier!r}{near}")
    if callable(identifier):
        if identifier in _FUNCTIONS:
            return _FUNCTIONS[identifier]()
        name = getattr(identifier, "__name__", type(identifier).__name__)
        raise TypeError(
            f"loss={name}: a Python function needs its derivative: give ck.Loss({name}, df) with "
            "df(y_true, y_pred) the derivative of each row's loss with respect to y_pred, or a "
            "name or an object of ck.losses: " + ", ".join(cls.__name__ for cls in _CLASSES)
        )
    raise TypeError(f"loss must be a name or a Loss, not {type(identifier).__name__}")
