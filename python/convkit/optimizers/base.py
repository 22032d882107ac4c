"""The base of the optimizers."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convkit.errors import did_you_mean, refuse_options
from convkit.saving.config import Configured
from convkit.schedules import LearningRateSchedule

if TYPE_CHECKING:
    from convkit.ops.registry import Params
    from convkit.program.program import Builder, Value


# Arguments of Keras's optimizers that are not supported, with the values at which they do nothing.
HARMLESS: dict[str, Any] = {
    "clipnorm": None,
    "clipvalue": None,
    "use_ema": False,
    "ema_momentum": 0.99,
    "ema_overwrite_frequency": None,
    "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}


Rate = float | LearningRateSchedule | Callable[[int], float]


class Optimizer(Configured):
    """Base of the optimizers.

    Attributes
    ----------
    learning_rate : float, LearningRateSchedule or callable
        May be set at any time, also by a callback; a callable maps the step number to a rate.
    iterations : int
        Steps done.
    global_clipnorm : float or None
        If the gradient of all weights together has a larger 2-norm, it is scaled down to this one.
    slots : int
        Numbers of state per parameter; follows from the hyperparameters.
    """

    _sealed = False  # whether new attributes are refused

    def __init__(
        self,
        learning_rate: Rate,
        weight_decay: float | None,
        decoupled: bool,
        name: str,
        options: dict[str, Any],
        harmless: dict[str, Any] | None = None,
    ) -> None:
        owner = type(self).__name__
        if "lr" in options:
            raise TypeError(
                f"{owner} got an unexpected argument 'lr'; did you mean 'learning_rate'?"
            )
        own = {k: v for k, v in options.items() if k != "global_clipnorm"}
        refuse_options(owner, own, {**HARMLESS, **(harmless or {})})
        self.name = name
        self.learning_rate = learning_rate
        self.weight_decay = at_least_zero(owner, "weight_decay", weight_decay or 0.0)
        self.decoupled = bool(decoupled)
        clip = options.get("global_clipnorm")
        if clip is not None and not at_least_zero(owner, "global_clipnorm", clip):
            raise ValueError(f"{owner}: global_clipnorm is {clip}, expected a number above 0")
        self.global_clipnorm = None if clip is None else float(clip)
        self.iterations = 0
        self._owner: Callable[[], object] = nobody

    @property
    def slots(self) -> int:
        return 0

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse attributes that nothing would read."""
        if name == "lr" or (self._sealed and not name.startswith("_") and not hasattr(self, name)):
            known = [key for key in vars(self) if not key.startswith("_")] + ["learning_rate"]
            known += ["momentum"] if hasattr(self, "momentum") else []
            near = "; did you mean 'learning_rate'?" if name == "lr" else did_you_mean(name, known)
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{near}")
        super().__setattr__(name, value)

    def _recorded(self) -> dict[str, Any]:
        """The arguments, with the options that were set since."""
        found = super()._recorded()
        for key in ("clipnorm", "clipvalue", "global_clipnorm", "maximize"):
            if getattr(self, key, None):
                found[key] = getattr(self, key)
            else:
                found.pop(key, None)
        return found

    def _seal(self, kind: type[Optimizer]) -> None:
        """Refuse new attributes from here on, except in subclasses of `kind`."""
        self._sealed = type(self) is kind

    @property
    def learning_rate(self) -> Rate:
        return self._learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Rate) -> None:
        if not callable(value):
            value = at_least_zero(type(self).__name__, "learning_rate", value)
        self._learning_rate = value

    def rates(self, first: int, count: int) -> NDArray[np.float64]:
        """Learning rates of `count` steps from step `first` on."""
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            return rate.rates(first, count)
        if callable(rate):
            return np.array([float(rate(step)) for step in range(first, first + count)], np.float64)
        return np.full(count, rate, np.float64)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_owner": nobody}  # a copy's model claims it

    def claim(self, model: object) -> bool:
        """Make the model the one whose state this is; tells whether it was not before.

        Raises
        ------
        ValueError
            If another living model is trained by this object.
        """
        owner = self._owner()
        if owner is model:
            return False
        if owner is not None:
            raise ValueError(
                f"this {type(self).__name__} already trains model "
                f"{getattr(owner, 'name', '?')!r}; make a new one for each model"
            )
        self._owner = weakref.ref(model)
        self.iterations = 0
        return True

    def params(self) -> dict[str, int | float | str]:
        """Parameters of the op update."""
        return {
            "momentum": 0.0,
            "nesterov": 0,
            "beta1": 0.9,
            "beta2": 0.999,
            "epsilon": 1e-7,
            "weight_decay": self.weight_decay,
            "decoupled": int(self.decoupled),
            "lr_scale": 1.0,
            "max_norm": np.inf if self.global_clipnorm is None else self.global_clipnorm,
        }

    def emit_clipping(self, builder: Builder, gradients: Sequence[Value]) -> None:
        """Append what clips the gradient, given in its stretches, before the updates."""
        if self.global_clipnorm is None:
            return
        builder.layer = self.name
        (norm,) = builder.emit("update", "global_norm", gradients, self.params(), prefix="norm")
        for gradient in gradients:
            builder.emit("update", "clip_norm", [norm, gradient], self.params())
        builder.layer = ""

    def emit(
        self, builder: Builder, gradient: Value, slots: Sequence[Value], weight: Value
    ) -> None:
        """Append the update of one stretch of the flat parameter buffer."""
        raise NotImplementedError(f"{type(self).__name__} does not define emit()")

    def _emit(self, builder: Builder, name: str, operands: Sequence[Value | None]) -> None:
        builder.layer = self.name
        params: Params = self.params()
        builder.emit("update", name, operands, params, out=[])
        builder.layer = ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} learning_rate={self._learning_rate}>"


def nobody() -> None:
    """The owner of an optimizer that trains no model."""


def at_least_zero(owner: str, name: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{owner}: {name} must be a number, not {value!r}") from None
    if not 0 <= number < np.inf:
        raise ValueError(f"{owner}: {name} is {value}, expected a number of at least 0")
    return number
