"""Adam."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convkit.optimizers.base import Optimizer, Rate, at_least_zero

if TYPE_CHECKING:
    from convkit.program.program import Builder, Value


class Adam(Optimizer):
    """Adam (Kingma and Ba 2015).

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    beta_1, beta_2 : float
    epsilon : float
        Outside the square root, as in Keras.
    weight_decay : float, optional
        Decoupled (AdamW): ``w -= eta * weight_decay * w``.
    name : str
    **options
        ``global_clipnorm``: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        weight_decay: float | None = None,
        *,
        name: str = "adam",
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, weight_decay, True, name, options, {"amsgrad": False})
        for key, beta in (("beta_1", beta_1), ("beta_2", beta_2)):
            if not 0 <= beta < 1:
                raise ValueError(f"Adam: {key} is {beta}, expected at least 0 and below 1")
        self.beta_1 = float(beta_1)
        self.beta_2 = float(beta_2)
        self.epsilon = at_least_zero("Adam", "epsilon", epsilon)
        self._seal(Adam)

    @property
    def slots(self) -> int:
        return 2

    def params(self) -> dict[str, int | float | str]:
        own = {"beta1": self.beta_1, "beta2": self.beta_2, "epsilon": self.epsilon}
        return {**super().params(), **own}

    def emit(
        self, builder: Builder, gradient: Value, slots: Sequence[Value], weight: Value
    ) -> None:
        self._emit(builder, "adam", [gradient, *slots, weight])
