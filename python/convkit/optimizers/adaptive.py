"""Adagrad, Adadelta and RMSprop: each weight has a rate of its own, from its gradients' squares."""

from __future__ import annotations

from typing import Any

from convkit.checks import number
from convkit.optimizers.base import Optimizer, Rate, divisor


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan and Singer 2011).

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    initial_accumulator_value : float
        What the sums of squares begin with.
    epsilon : float
        Inside the square root, as in Keras.
    weight_decay : float, optional
        Decoupled: ``w -= eta * weight_decay * w``.
    name : str
    **options
        ``clipnorm``, ``clipvalue``, ``global_clipnorm``, ``maximize``,
        ``exclude_from_weight_decay``: see `Optimizer`.
    """

    rule = "adagrad"

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        *,
        name: str = "adagrad",
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, True, name, options)
        owner = type(self).__name__
        self.initial_accumulator_value = number(
            owner, "initial_accumulator_value", initial_accumulator_value
        )
        self.epsilon = divisor(owner, "epsilon", epsilon)
        self._seal(Adagrad)

    @property
    def states(self) -> tuple[str, ...]:
        return ("a",)

    @property
    def initial(self) -> tuple[float, ...]:
        return (self.initial_accumulator_value,)

    def params(self) -> dict[str, int | float | str]:
        return {**super().params(), "epsilon": self.epsilon}


class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012); the paper's own step is that of a learning rate of 1.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    rho : float
        Share of the averages that a step keeps.
    epsilon : float
    weight_decay : float, optional
        Decoupled: ``w -= eta * weight_decay * w``.
    name : str
    **options
        ``clipnorm``, ``clipvalue``, ``global_clipnorm``, ``maximize``,
        ``exclude_from_weight_decay``: see `Optimizer`.
    """

    rule = "adadelta"

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        *,
        name: str = "adadelta",
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, True, name, options)
        self.rho = number(type(self).__name__, "rho", rho, below=1)
        self.epsilon = divisor(type(self).__name__, "epsilon", epsilon)
        self._seal(Adadelta)

    @property
    def states(self) -> tuple[str, ...]:
        return ("a", "d")

    def params(self) -> dict[str, int | float | str]:
        return {**super().params(), "rho": self.rho, "epsilon": self.epsilon}


class RMSprop(Optimizer):
    """RMSprop (Hinton, Srivastava and Swersky 2012, lecture 6e).

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    rho : float
        Share of the average square that a step keeps.
    momentum : float
    epsilon : float
        Inside the square root, as in Keras.
    centered : bool
        Divide by the gradients' spread instead of their size (Graves 2013).
    weight_decay : float, optional
        Decoupled: ``w -= eta * weight_decay * w``.
    name : str
    **options
        ``clipnorm``, ``clipvalue``, ``global_clipnorm``, ``maximize``,
        ``exclude_from_weight_decay``: see `Optimizer`.
    """

    rule = "rmsprop"

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        weight_decay: float | None = None,
        *,
        name: str = "rmsprop",
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, True, name, options)
        owner = type(self).__name__
        self.rho = number(owner, "rho", rho, below=1)
        self.epsilon = divisor(owner, "epsilon", epsilon)
        if not isinstance(centered, bool):
            raise TypeError(f"{owner}: centered must be a bool, not {centered!r}")
        self._centered = centered
        self.momentum = momentum
        self._seal(RMSprop)

    @property
    def centered(self) -> bool:
        """Whether it divides by the gradients' spread; fixed."""
        return self._centered

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
        return ("a", *(("mean?",) if self._centered else ()), *(("v?",) if self._momentum else ()))

    def params(self) -> dict[str, int | float | str]:
        own = {"rho": self.rho, "momentum": self.momentum, "epsilon": self.epsilon}
        return {**super().params(), **own}
