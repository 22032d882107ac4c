"""Focal losses: cross-entropies in which what is well classified counts less.

Lin, Goyal, Girshick, He and Dollar, "Focal loss for dense object detection", 2017. With ``gamma=0``
and ``alpha=1`` (binary: without balancing) they are the cross-entropies.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.checks import number
from convkit.losses.base import Loss

if TYPE_CHECKING:
    from convkit.ops.registry import Array


class _CategoricalFocal(Loss):
    """Over classes, of one-hot targets or of labels."""

    def _choose(self, alpha: Any, gamma: float, from_logits: bool) -> None:
        owner = type(self).__name__
        self.gamma = number(owner, "gamma", gamma)
        self.from_logits = bool(from_logits)
        self.alpha: float | list[float]
        if np.ndim(alpha) == 0:
            self.alpha = number(owner, "alpha", alpha)
        elif np.ndim(alpha) == 1:
            self.alpha = [number(owner, "alpha", a) for a in alpha]
        else:
            raise ValueError(
                f"{owner}: alpha has shape {np.shape(alpha)}, expected a number or "
                "one for each class"
            )
        if self.gamma == 0 and self.alpha == 1:
            self.kind = "softmax_cross_entropy" if from_logits else "cross_entropy"
        else:
            self.kind = "softmax_focal_cross_entropy" if from_logits else "focal_cross_entropy"
            self.op_options = {"alpha": self.alpha, "gamma": self.gamma}


class CategoricalFocalCrossentropy(_CategoricalFocal):
    """``sum_k -alpha_k t_k (1 - p_k)^gamma log(p_k)`` for one-hot targets t, or any distribution.

    Parameters
    ----------
    alpha : float or sequence of float
        Factor of all classes, or of each.
    gamma : float
        Focusing parameter: 0 for none.
    from_logits : bool
        Whether the prediction has not gone through softmax.
    label_smoothing : float
        Share of each target that is spread evenly over the classes.
    reduction : str
        See `Loss`.
    name : str
    """

    aliases = ("categorical_focal_crossentropy",)

    def __init__(
        self,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_focal_crossentropy",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, label_smoothing, options)
        self._choose(alpha, gamma, from_logits)


class SparseCategoricalFocalCrossentropy(_CategoricalFocal):
    """`CategoricalFocalCrossentropy` of integer labels.

    Parameters
    ----------
    alpha, gamma, from_logits, label_smoothing, reduction, name
        As there.
    """

    sparse = True
    aliases = ("sparse_categorical_focal_crossentropy",)

    def __init__(
        self,
        alpha: float | Sequence[float] = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "sparse_categorical_focal_crossentropy",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, label_smoothing, options)
        self._choose(alpha, gamma, from_logits)


class BinaryFocalCrossentropy(Loss):
    """Focal loss of independent yes-or-no outputs, averaged over them.

    ``(1 - p_t)^gamma`` times the cross-entropy, where p_t is p for a target of 1 and 1 - p for 0.

    Parameters
    ----------
    apply_class_balancing : bool
        Whether targets of 1 count alpha and those of 0 count 1 - alpha.
    alpha : float
        From 0 to 1.
    gamma : float
        Focusing parameter: 0 for none.
    from_logits : bool
        Whether the prediction has not gone through sigmoid.
    label_smoothing : float
        Share by which targets are drawn to 1/2.
    reduction : str
        See `Loss`.
    name : str
    """

    domain = (0.0, 1.0)
    aliases = ("binary_focal_crossentropy",)

    def __init__(
        self,
        apply_class_balancing: bool = False,
        alpha: float = 0.25,
        gamma: float = 2.0,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_focal_crossentropy",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, label_smoothing, options)
        self.apply_class_balancing = bool(apply_class_balancing)
        owner = type(self).__name__
        self.alpha = number(owner, "alpha", alpha, most=1)
        self.gamma = number(owner, "gamma", gamma)
        self.from_logits = bool(from_logits)
        if self.gamma == 0 and not apply_class_balancing:
            self.kind = "sigmoid_cross_entropy" if from_logits else "binary_cross_entropy"
            return
        self.kind = "sigmoid_focal_cross_entropy" if from_logits else "binary_focal_cross_entropy"
        self.op_options = {"gamma": self.gamma}
        if apply_class_balancing:
            self.op_options |= {"balanced": True, "alpha": self.alpha}


def categorical_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    alpha: float | Sequence[float] = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    loss = CategoricalFocalCrossentropy(alpha, gamma, from_logits, label_smoothing)
    return loss.of_rows(y_true, y_pred)


def sparse_categorical_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    alpha: float | Sequence[float] = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    loss = SparseCategoricalFocalCrossentropy(alpha, gamma, from_logits, label_smoothing)
    return loss.of_rows(y_true, y_pred)


def binary_focal_crossentropy(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    apply_class_balancing: bool = False,
    alpha: float = 0.25,
    gamma: float = 2.0,
    from_logits: bool = False,
    label_smoothing: float = 0.0,
) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    loss = BinaryFocalCrossentropy(
        apply_class_balancing, alpha, gamma, from_logits, label_smoothing
    )
    return loss.of_rows(y_true, y_pred)
