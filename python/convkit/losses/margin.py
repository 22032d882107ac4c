"""Losses of margins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.losses.base import Loss

if TYPE_CHECKING:
    from convkit.ops.registry import Array


class Hinge(Loss):
    """``mean_k max(1 - t_k p_k, 0)``.

    Targets are -1 and 1; where all of them are 0 or 1, these become -1 and 1, as in Keras.

    Parameters
    ----------
    reduction : str
        See `Loss`.
    name : str
    """

    kind = "hinge"
    aliases = ("hinge",)

    def __init__(
        self,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "hinge",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, 0.0, options)

    def check_targets(self, where: str, y: Array) -> Array:
        zero, minus = y == 0, y == -1
        other = ~((y == 1) | zero | minus | np.isnan(y))
        wrong = np.flatnonzero(other if other.any() else zero & minus.any())
        if wrong.size:
            raise ValueError(
                f"{where} loss {self.name!r} expects targets of -1 and 1, or of 0 and 1, got "
                f"y = {y.flat[int(wrong[0])]:g}" + ("" if other.any() else " beside -1")
            )
        return y if minus.any() else 2 * y - 1


class SquaredHinge(Hinge):
    """``mean_k max(1 - t_k p_k, 0)^2``; targets as for `Hinge`.

    Parameters
    ----------
    reduction : str
        See `Loss`.
    name : str
    """

    kind = "squared_hinge"
    aliases = ("squared_hinge",)

    def __init__(
        self,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "squared_hinge",
        **options: Any,
    ) -> None:
        super().__init__(reduction=reduction, name=name, **options)


class CategoricalHinge(Loss):
    """``max(1 + max_k (1 - t_k) p_k - sum_k t_k p_k, 0)`` for one-hot targets t.

    As in Keras the right class counts as 0 among the others. Equal largest ones share the gradient.

    Parameters
    ----------
    reduction : str
        See `Loss`.
    name : str
    """

    kind = "categorical_hinge"
    domain = (-1.0, 1.0)
    aliases = ("categorical_hinge",)

    def __init__(
        self,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_hinge",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, 0.0, options)


def hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return Hinge().of_rows(y_true, y_pred)


def squared_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return SquaredHinge().of_rows(y_true, y_pred)


def categorical_hinge(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return CategoricalHinge().of_rows(y_true, y_pred)
