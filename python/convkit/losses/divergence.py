"""Losses that compare distributions, rates and directions."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from convkit.losses.base import Loss

if TYPE_CHECKING:
    from convkit.ops.registry import Array


class KLDivergence(Loss):
    """``sum_k t_k log(t_k / p_k)``, both clipped to [1e-7, 1] (gradient 0 where p is clipped).

    Parameters
    ----------
    reduction : str
        See `Loss`.
    name : str
    """

    kind = "kl_divergence"
    domain = (0.0, 1.0)
    aliases = ("kl_divergence", "kld", "kullback_leibler_divergence")

    def __init__(
        self,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "kl_divergence",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, 0.0, options)


class Poisson(Loss):
    """``mean_k (p_k - t_k log(p_k + 1e-7))`` for counts t and positive rates p.

    Parameters
    ----------
    reduction : str
        See `Loss`.
    name : str
    """

    kind = "poisson"
    domain = (0.0, math.inf)
    aliases = ("poisson",)

    def __init__(
        self,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "poisson",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, 0.0, options)


class CosineSimilarity(Loss):
    """``-sum_k t_k p_k / (|t| |p|)``, from -1 for equal directions to 1; norms are at least 1e-7.

    Parameters
    ----------
    reduction : str
        See `Loss`.
    name : str
    """

    kind = "cosine_similarity"
    aliases = ("cosine_similarity",)

    def __init__(
        self,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "cosine_similarity",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, 0.0, options)


def kl_divergence(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return KLDivergence().of_rows(y_true, y_pred)


def poisson(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return Poisson().of_rows(y_true, y_pred)


def cosine_similarity(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return CosineSimilarity().of_rows(y_true, y_pred)
