"""Lion: steps of one size, in the direction of the sign."""

from __future__ import annotations

from typing import Any

from convkit.checks import number
from convkit.optimizers.base import Optimizer, Rate


class Lion(Optimizer):
    """Lion (Chen et al. 2023, algorithm 2): every weight moves by the learning rate.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
        A third to a tenth of Adam's.
    beta_1, beta_2 : float
    weight_decay : float, optional
        Decoupled: ``w -= eta * weight_decay * w``.
    name : str
    **options
        ``clipnorm``, ``clipvalue``, ``global_clipnorm``, ``maximize``,
        ``exclude_from_weight_decay``: see `Optimizer`.
    """

    rule = "lion"

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        weight_decay: float | None = None,
        *,
        name: str = "lion",
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, True, name, options)
        self.beta_1 = number(type(self).__name__, "beta_1", beta_1, below=1)
        self.beta_2 = number(type(self).__name__, "beta_2", beta_2, below=1)
        self._seal(Lion)

    @property
    def states(self) -> tuple[str, ...]:
        return ("m",)

    def params(self) -> dict[str, int | float | str]:
        return {**super().params(), "beta1": self.beta_1, "beta2": self.beta_2}
