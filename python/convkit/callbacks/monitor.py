"""What callbacks watch: a value in the logs, and when it has improved."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from convkit.errors import did_you_mean

__all__ = ["Monitor", "at_least", "whole"]

MODES = ("auto", "min", "max")


class Monitor:
    """One value of the logs, with the direction in which it improves.

    Parameters
    ----------
    owner : str
        The callback's name, for messages.
    name : str
        Key in the logs, such as "val_loss".
    mode : {"auto", "min", "max"}
        "auto": "max" for accuracies and other metrics that rise, "min" for the rest.
    min_delta : float
        Changes of this size or smaller are no improvement.

    Raises
    ------
    TypeError, ValueError
        If an argument is none of these, or if `name` is of the part of the data for testing, which
        must not influence training.
    """

    def __init__(self, owner: str, name: str, mode: str = "auto", min_delta: float = 0.0) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{owner}: monitor must be a key of the logs, not {name!r}")
        if name.startswith("test_"):
            raise ValueError(
                f"{owner}: monitor={name!r} is of the data for testing, which would no longer tell "
                f"anything once it decides; monitor 'val_{name.removeprefix('test_')}'"
            )
        if mode not in MODES:
            raise ValueError(f"{owner}: unknown mode {mode!r}{did_you_mean(mode, MODES)}")
        self.owner = owner
        self.name = name
        self.mode = mode
        self.min_delta = min_delta
        self.maximise = mode == "max"

    def settle(self, model: Any) -> None:
        """Find out the direction of "auto", from the metrics of a model."""
        if self.mode != "auto":
            return
        name = self.name.removeprefix("val_")
        metrics = {m.name: m for m in getattr(model, "metrics", ())}
        rises = getattr(metrics.get(name), "rises", "accuracy" in name)
        self.maximise = bool(name.endswith("acc") or rises)

    @property
    def worst(self) -> float:
        """What every value improves on."""
        return -math.inf if self.maximise else math.inf

    def improved(self, value: float, reference: float) -> bool:
        """Whether a value is better than another one by more than `min_delta`."""
        if self.maximise:
            return value - self.min_delta > reference
        return value + self.min_delta < reference

    def value(self, logs: Mapping[str, float] | None) -> float | None:
        """The value in the logs; None, with a warning, if it is not there.

        Raises
        ------
        TypeError
            If it is no number, such as the values of a metric for each class.
        """
        if logs and self.name in logs:
            value: Any = logs[self.name]
            if not isinstance(value, float | int | np.floating | np.integer):
                raise TypeError(
                    f"{self.owner}: {self.name!r} is {value!r}, and only a number can be better or "
                    "worse; monitor a metric that is an average over the classes"
                )
            return float(value)
        warnings.warn(
            f"{self.owner}: {self.name!r} is not in the logs{did_you_mean(self.name, logs or {})}",
            stacklevel=3,
        )
        return None


def whole(owner: str, name: str, value: Any, least: int = 0) -> int:
    """A whole number of at least `least`.

    Raises
    ------
    TypeError, ValueError
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{owner}: {name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{owner}: {name} is {value}, expected at least {least}")
    return int(value)


def at_least(owner: str, name: str, value: Any, least: float = 0.0) -> float:
    """A finite number of at least `least`.

    Raises
    ------
    TypeError, ValueError
    """
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{owner}: {name} must be a number, not {value!r}") from None
    if not least <= number < math.inf:
        wanted = "finite number" if least == -math.inf else f"number of at least {least:g}"
        raise ValueError(f"{owner}: {name} is {value}, expected a {wanted}")
    return number
