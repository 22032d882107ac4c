"""The package's own exceptions, and the wording that its messages share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "BuildError",
    "NonFiniteError",
    "NotCompiledError",
    "did_you_mean",
    "missing_extra",
    "refuse_options",
]


class BuildError(ImportError):
    """The native module is absent or does not load."""


class NotCompiledError(RuntimeError):
    """`fit`, `evaluate` or `train_on_batch` was called before `compile`."""


class NonFiniteError(ArithmeticError):
    """The loss or a gradient became NaN or infinite; the weights are those from before the step.

    Attributes
    ----------
    epoch, batch : int
        Where it happened, counted from 0.
    layer, where : str
        The first layer and the first pass whose result is not finite.
    """

    def __init__(self, message: str, epoch: int, batch: int, layer: str, where: str) -> None:
        super().__init__(message)
        self.epoch = epoch
        self.batch = batch
        self.layer = layer
        self.where = where


# Known elsewhere, and no misspellings of what is known here.
_NAMES_OF_THEIR_OWN = {
    "adadelta", "adafactor", "adagrad", "adamax", "adamw", "ftrl", "lamb", "lion", "mae", "mape",
    "msle", "muon", "nadam", "rmsprop",
}  # fmt: skip


def did_you_mean(name: object, choices: Iterable[str]) -> str:
    """End of an error message: the nearest known name, or the list of them."""
    known = sorted(choices)
    given = str(name).lower()
    for match in known:
        if given == match.lower() and name != match:  # only in another case
            return f"; did you mean {match!r}?"
    near = difflib.get_close_matches(given, [k.lower() for k in known], n=1, cutoff=0.6)
    if near and near[0] != given and given not in _NAMES_OF_THEIR_OWN:
        match = next(k for k in known if k.lower() == near[0])
        return f"; did you mean {match!r}?"
    return "; known: " + ", ".join(known)


# Arguments that did_you_mean may suggest, of losses, metrics and optimizers.
_ARGUMENTS = (
    "from_logits", "label_smoothing", "reduction", "name", "learning_rate", "momentum", "nesterov",
    "weight_decay", "decoupled", "beta_1", "beta_2", "epsilon", "threshold", "rho", "centered",
    "amsgrad", "clipnorm", "clipvalue", "global_clipnorm", "maximize", "exclude_from_weight_decay",
    "gamma", "alpha", "delta", "half", "apply_class_balancing",
)  # fmt: skip


def refuse_options(owner: str, options: dict[str, Any], harmless: dict[str, Any]) -> None:
    """Raise for keyword arguments that this package does not have, so that none is ignored.

    Parameters
    ----------
    owner : str
        Named in the message.
    options : dict
        What was passed beyond the known arguments.
    harmless : dict
        Keras's arguments that are not supported, with the defaults at which they do nothing.

    Raises
    ------
    TypeError
    """
    for key, value in options.items():
        if key not in harmless:
            near = did_you_mean(key, [k for k in (*harmless, *_ARGUMENTS) if k != key])
            near = "" if key in _ARGUMENTS else near
            near = near if near.startswith("; did") else ""
            raise TypeError(f"{owner} got an unexpected argument {key!r}{near}")
        default = harmless[key]
        if value is not default and value != default:
            raise TypeError(
                f"{owner}: {key}={value!r} is not supported; leave it out ({key}={default!r})"
            )


def missing_extra(module: str, extra: str, purpose: str) -> ImportError:
    """Error for an optional dependency that is not installed."""
    return ImportError(
        f'{purpose} needs {module}, which is not installed: pip install "convkit[{extra}]"'
    )
