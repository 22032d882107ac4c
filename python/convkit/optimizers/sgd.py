"""Gradient descent, with momentum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convkit.optimizers.base import Optimizer, Rate

if TYPE_CHECKING:
    from convkit.program.program import Builder, Value


class SGD(Optimizer):
    """Gradient descent, with momentum ``v = momentum*v - eta*g; w += v`` if asked for.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    momentum : float
    nesterov : bool
    weight_decay : float, optional
    decoupled : bool
        True: ``w -= eta * weight_decay * w``, as Keras. False: ``g += weight_decay * w``, the L2
        regularisation of Caffe.
    name : str
    **options
        ``global_clipnorm``: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        *,
        decoupled: bool = True,
        name: str = "SGD",
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, decoupled, name, options)
        self.momentum = momentum
        self.nesterov = bool(nesterov)
        self._seal(SGD)

    @property
    def momentum(self) -> float:
        """Share of the velocity that a step keeps; a change counts from the next epoch on."""
        return self._momentum

    @momentum.setter
    def momentum(self, value: float) -> None:
        if not 0 <= value <= 1:
            raise ValueError(f"SGD: momentum is {value}, expected 0 to 1")
        self._momentum = float(value)
        make_room = getattr(self._owner(), "_make_room", None)
        if make_room is not None:
            make_room(self)

    @property
    def slots(self) -> int:
        return 1 if self._momentum else 0

    def params(self) -> dict[str, int | float | str]:
        return {**super().params(), "momentum": self.momentum, "nesterov": int(self.nesterov)}

    def emit(
        self, builder: Builder, gradient: Value, slots: Sequence[Value], weight: Value
    ) -> None:
        self._emit(builder, "sgd", [gradient, slots[0] if slots else None, weight])
