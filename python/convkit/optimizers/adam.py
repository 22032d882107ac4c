"""Adam and its relatives, which average gradients and their squares."""

from __future__ import annotations

from typing import Any

from convkit.checks import number
from convkit.optimizers.base import Optimizer, Rate, divisor


class _Moments(Optimizer):
    """What Adam's relatives have in common."""

    def __init__(
        self,
        learning_rate: Rate,
        beta_1: float,
        beta_2: float,
        epsilon: float,
        weight_decay: float | None,
        name: str,
        options: dict[str, Any],
    ) -> None:
        super().__init__(learning_rate, weight_decay, True, name, options)
        owner = type(self).__name__
        self.beta_1 = number(owner, "beta_1", beta_1, below=1)
        self.beta_2 = number(owner, "beta_2", beta_2, below=1)
        self.epsilon = divisor(owner, "epsilon", epsilon)

    @property
    def states(self) -> tuple[str, ...]:
        return ("m", "v")

    def params(self) -> dict[str, int | float | str]:
        own = {"beta1": self.beta_1, "beta2": self.beta_2, "epsilon": self.epsilon}
        return {**super().params(), **own}


class Adam(_Moments):
    """Adam (Kingma and Ba 2015).

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    beta_1, beta_2 : float
    epsilon : float
        Outside the square root, as in Keras.
    amsgrad : bool
        Divide by the largest average so far (Reddi, Kale and Kumar 2018).
    weight_decay : float, optional
        Decoupled (AdamW): ``w -= eta * weight_decay * w``.
    name : str
    **options
        ``clipnorm``, ``clipvalue``, ``global_clipnorm``, ``maximize``,
        ``exclude_from_weight_decay``: see `Optimizer`.
    """

    rule = "adam"

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        weight_decay: float | None = None,
        *,
        name: str = "adam",
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, name, options)
        if not isinstance(amsgrad, bool):
            raise TypeError(f"{type(self).__name__}: amsgrad must be a bool, not {amsgrad!r}")
        self._amsgrad = amsgrad
        self._seal(Adam)

    @property
    def amsgrad(self) -> bool:
        """Whether it divides by the largest average so far; fixed."""
        return self._amsgrad

    @property
    def states(self) -> tuple[str, ...]:
        return ("m", "v", "largest?") if self._amsgrad else ("m", "v")


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    weight_decay : float
        ``w -= eta * weight_decay * w``.
    beta_1, beta_2, epsilon, amsgrad, name, **options
        As `Adam`.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        *,
        name: str = "adamw",
        **options: Any,
    ) -> None:
        if weight_decay is None:
            raise ValueError("AdamW: weight_decay is None, expected a number; else use Adam")
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, name=name, **options
        )
        self._seal(AdamW)


class Nadam(_Moments):
    """Adam with Nesterov's momentum (Dozat 2016, algorithm 2).

    The momentum of step t is ``beta_1 * (1 - 0.96 ** t / 2)``, as in Keras.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    beta_1, beta_2 : float
    epsilon : float
    weight_decay : float, optional
        Decoupled: ``w -= eta * weight_decay * w``.
    name : str
    **options
        ``clipnorm``, ``clipvalue``, ``global_clipnorm``, ``maximize``,
        ``exclude_from_weight_decay``: see `Optimizer`.
    """

    rule = "nadam"

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        *,
        name: str = "nadam",
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, name, options)
        self._seal(Nadam)


class Adamax(_Moments):
    """Adam with the largest faded gradient in place of the average square.

    Kingma and Ba 2015, algorithm 2.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    beta_1, beta_2 : float
    epsilon : float
    weight_decay : float, optional
        Decoupled: ``w -= eta * weight_decay * w``.
    name : str
    **options
        ``clipnorm``, ``clipvalue``, ``global_clipnorm``, ``maximize``,
        ``exclude_from_weight_decay``: see `Optimizer`.
    """

    rule = "adamax"

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        *,
        name: str = "adamax",
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, epsilon, weight_decay, name, options)
        self._seal(Adamax)

    @property
    def states(self) -> tuple[str, ...]:
        return ("m", "u")
