"""Optimizers by name."""

from __future__ import annotations

from collections.abc import Callable

from convkit.errors import did_you_mean
from convkit.optimizers.adam import Adam, Adamax, AdamW, Nadam
from convkit.optimizers.adaptive import Adadelta, Adagrad, RMSprop
from convkit.optimizers.base import Optimizer
from convkit.optimizers.conjugate import ConjugateGradient, SteepestDescent
from convkit.optimizers.levenberg_marquardt import LevenbergMarquardt
from convkit.optimizers.lion import Lion
from convkit.optimizers.quasi_newton import BFGS, LBFGS
from convkit.optimizers.sgd import SGD

_KINDS = (SGD, Adadelta, Adagrad, Adam, AdamW, Adamax, Lion, Nadam, RMSprop)
NAMES: dict[str, Callable[[], Optimizer]] = {
    **{kind.__name__.lower(): kind for kind in _KINDS},
    "steepest_descent": SteepestDescent,
    "conjugate_gradient": ConjugateGradient,
    "cg": ConjugateGradient,
    "bfgs": BFGS,
    "lbfgs": LBFGS,
    "l-bfgs": LBFGS,
    "levenberg_marquardt": LevenbergMarquardt,
    "lm": LevenbergMarquardt,
}


def get(identifier: object) -> Optimizer:
    """Return an optimizer by name (in any case) or object.

    Parameters
    ----------
    identifier : str, Optimizer or Optimizer class

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If the name is unknown; the message suggests the nearest one.
    TypeError
        If it is neither a name nor an optimizer.
    """
    if isinstance(identifier, Optimizer):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Optimizer):
        return identifier()  # type: ignore[call-arg]
    if isinstance(identifier, str):
        if identifier.lower() in NAMES:
            return NAMES[identifier.lower()]()
        raise ValueError(f"unknown optimizer {identifier!r}{did_you_mean(identifier, NAMES)}")
    raise TypeError(
        f"optimizer must be a name or an object of ck.optimizers, not {type(identifier).__name__}"
    )
