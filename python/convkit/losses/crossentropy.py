"""Cross-entropies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from convkit.losses.base import Loss

if TYPE_CHECKING:
    from convkit.ops.registry import Array


class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy of integer labels.

    Parameters
    ----------
    from_logits : bool
        Whether the prediction has not gone through softmax.
    reduction : str
        See `Loss`.
    name : str
    """

    sparse = True
    aliases = ("sparse_categorical_crossentropy",)

    def __init__(
        self,
        from_logits: bool = False,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "sparse_categorical_crossentropy",
        **options: Any,
    ) -> None:
        if options.get("ignore_class") is not None:
            raise TypeError(
                f"SparseCategoricalCrossentropy: ignore_class={options['ignore_class']!r} is not "
                "supported; give those rows sample_weight 0 and any label, such as "
                "sample_weight=(y != c), np.where(y == c, 0, y)"
            )
        super().__init__(name, reduction, 0.0, options, {"ignore_class": None})
        self.from_logits = bool(from_logits)
        self.kind = "softmax_cross_entropy" if from_logits else "cross_entropy"


class CategoricalCrossentropy(Loss):
    """Cross-entropy of one-hot targets, or of any distribution over the classes.

    Parameters
    ----------
    from_logits : bool
        Whether the prediction has not gone through softmax.
    label_smoothing : float
        Share of each target that is spread evenly over the classes.
    reduction : str
        See `Loss`.
    name : str
    """

    aliases = ("categorical_crossentropy",)

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "categorical_crossentropy",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, label_smoothing, options)
        self.from_logits = bool(from_logits)
        self.kind = "softmax_cross_entropy" if from_logits else "cross_entropy"


class BinaryCrossentropy(Loss):
    """Cross-entropy of independent yes-or-no outputs, averaged over them.

    Parameters
    ----------
    from_logits : bool
        Whether the prediction has not gone through sigmoid.
    label_smoothing : float
        Share by which targets are drawn to 1/2.
    reduction : str
        See `Loss`.
    name : str
    """

    domain = (0.0, 1.0)
    aliases = ("binary_crossentropy", "bce")

    def __init__(
        self,
        from_logits: bool = False,
        label_smoothing: float = 0.0,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "binary_crossentropy",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, label_smoothing, options)
        self.from_logits = bool(from_logits)
        self.kind = "sigmoid_cross_entropy" if from_logits else "binary_cross_entropy"


def sparse_categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False
) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return SparseCategoricalCrossentropy(from_logits).of_rows(y_true, y_pred)


def categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return CategoricalCrossentropy(from_logits, label_smoothing).of_rows(y_true, y_pred)


def binary_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return BinaryCrossentropy(from_logits, label_smoothing).of_rows(y_true, y_pred)
