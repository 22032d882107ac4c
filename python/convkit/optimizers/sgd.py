"""Gradient descent, with momentum."""

from __future__ import annotations

from typing import Any

from convkit.checks import number
from convkit.optimizers.base import Optimizer, Rate


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
        ``clipnorm``, ``clipvalue``, ``global_clipnorm``, ``maximize``,
        ``exclude_from_weight_decay``: see `Optimizer`.
    """

    rule = "sgd"

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
        self._momentum = number(type(self).__name__, "momentum", value, most=1)
        self._state_changed()

    @property
    def states(self) -> tuple[str, ...]:
        return ("v?",) if self._momentum else ()

    def params(self) -> dict[str, int | float | str]:
        return {**super().params(), "momentum": self.momentum, "nesterov": int(self.nesterov)}
