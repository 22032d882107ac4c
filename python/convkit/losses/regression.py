"""Losses of numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from convkit.losses.base import Loss, rows

if TYPE_CHECKING:
    from convkit.ops.registry import Array


class MeanSquaredError(Loss):
    """Mean of the squared differences over the outputs.

    Parameters
    ----------
    reduction : str
        "sum_over_batch_size" or "sum".
    name : str
    """

    kind = "squared_error"
    aliases = ("mean_squared_error", "mse")

    def __init__(
        self,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "mean_squared_error",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, 0.0, options)


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return rows(MeanSquaredError(), y_true, y_pred)
