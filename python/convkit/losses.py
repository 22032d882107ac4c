"""Losses: what training minimises, as objects or by Keras's names.

========================================== ============================= =========================
names                                      targets                       prediction
========================================== ============================= =========================
``"sparse_categorical_crossentropy"``      integer labels                probabilities over classes
``"categorical_crossentropy"``             one row per class (one-hot)   probabilities over classes
``"binary_crossentropy"``, ``"bce"``       0 or 1, of the output's shape probabilities
``"mean_squared_error"``, ``"mse"``        of the output's shape         any numbers
``"discriminative_map"``                   integer labels                negated penalties
========================================== ============================= =========================

With ``from_logits=True`` the prediction is what would go into softmax or sigmoid. Without it the
program still computes softmax and cross-entropy in one stable step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.errors import did_you_mean, refuse_options
from convkit.program.logits import logits_of

if TYPE_CHECKING:
    from convkit.ops.registry import Array, Params
    from convkit.program.program import Builder, Value

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "DiscriminativeMAP",
    "Loss",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "binary_crossentropy",
    "categorical_crossentropy",
    "get",
    "mean_squared_error",
    "sparse_categorical_crossentropy",
]

REDUCTIONS = ("sum_over_batch_size", "sum", "none")


class Loss:
    """Base of the losses.

    Attributes
    ----------
    name : str
    kind : str
        Formula in the op ``loss``: see csrc/ops/loss/loss.h.
    sparse : bool
        Whether the targets are integer labels.
    label_smoothing : float
    reduction : str
        "sum_over_batch_size" (mean over the rows, the default) or "sum".
    """

    kind = ""
    sparse = False
    aliases: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        reduction: str | None = "sum_over_batch_size",
        label_smoothing: float = 0.0,
        options: dict[str, Any] | None = None,
        harmless: dict[str, Any] | None = None,
    ) -> None:
        owner = type(self).__name__
        refuse_options(owner, options or {}, {"dtype": None, "axis": -1, **(harmless or {})})
        reduction = "none" if reduction is None else reduction
        if reduction not in REDUCTIONS:
            known = did_you_mean(reduction, REDUCTIONS)
            raise ValueError(f"{owner}: unknown reduction {reduction!r}{known}")
        if reduction == "none":
            raise ValueError(
                f'{owner}: training needs one number; use reduction="sum_over_batch_size" or "sum" '
                "(ck.ops.loss gives the loss of each row)"
            )
        if not 0 <= label_smoothing <= 1:
            raise ValueError(f"{owner}: label_smoothing is {label_smoothing}, expected 0 to 1")
        self.name = name
        self.reduction = reduction
        self.label_smoothing = float(label_smoothing)

    def emit(
        self,
        builder: Builder,
        prediction: Value,
        target: Value,
        weight: Value | None,
        gradient: bool,
    ) -> tuple[Value, Value | None]:
        """Append the loss to a program.

        Parameters
        ----------
        builder : Builder
        prediction, target : Value
        weight : Value, optional
            One factor per row.
        gradient : bool
            Whether the gradient is wanted too.

        Returns
        -------
        total : Value
            Sum of the rows' losses, float64 of shape (1,).
        dp : Value or None
            Gradient of the reduced loss with respect to the prediction.
        """
        return self._emit(self.kind, builder, prediction, target, weight, gradient)

    def _emit(
        self,
        kind: str,
        builder: Builder,
        prediction: Value,
        target: Value,
        weight: Value | None,
        gradient: bool,
    ) -> tuple[Value, Value | None]:
        """Append the op `loss`, of this kind."""
        rows = math.prod(prediction.spec.shape[:-1])
        params: Params = {
            "kind": kind,
            "label_smoothing": self.label_smoothing,
            "scale": 1.0 if self.reduction == "sum" else 1.0 / max(rows, 1),
        }
        builder.layer = self.name
        pass_name = "backward" if gradient else "forward"
        outputs = builder.emit("loss", pass_name, [prediction, target, weight], params, prefix="l")
        builder.layer = ""
        total = outputs[1]
        assert total is not None
        return total, outputs[2] if gradient else None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


class SparseCategoricalCrossentropy(Loss):
    """Cross-entropy of integer labels.

    Parameters
    ----------
    from_logits : bool
        Whether the prediction has not gone through softmax.
    reduction : str
        "sum_over_batch_size" or "sum".
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
        super().__init__(name, reduction, 0.0, options, {"ignore_class": None})
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
        "sum_over_batch_size" or "sum".
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
        "sum_over_batch_size" or "sum".
    name : str
    """

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
        self.kind = "sigmoid_cross_entropy" if from_logits else "binary_cross_entropy"


class DiscriminativeMAP(Loss):
    """The criterion of LeNet-5 (LeCun et al. 1998, equation 9).

    For penalties y_k and the label D it is ``y_D + log(exp(-j) + sum_k exp(-y_k))``, averaged over
    the rows: the cross-entropy of softmax over the negated penalties and a further "rubbish" class
    of the constant penalty j. Penalties above j are pushed no further up.

    The prediction is ``-y_k``, or the softmax of it, which the program then skips: a model that
    ends in ``EuclideanRBF(negate=True, activation="softmax")`` predicts probabilities without the
    rubbish class and trains with it. As ``j`` grows, this becomes the sparse categorical
    cross-entropy.

    Parameters
    ----------
    j : float
        Penalty of the rubbish class. The paper gives no value; 5 does well on MNIST.
    reduction : str
        "sum_over_batch_size" or "sum".
    name : str
    """

    kind = "cross_entropy"  # of a softmax that belongs to it
    sparse = True
    aliases = ("discriminative_map",)

    def __init__(
        self,
        j: float = 5.0,
        *,
        reduction: str | None = "sum_over_batch_size",
        name: str = "discriminative_map",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, 0.0, options)
        if not (math.isfinite(j) and j > 0):
            raise ValueError(f"DiscriminativeMAP: j must be above 0 and finite, got {j}")
        self.j = float(j)

    def emit(
        self,
        builder: Builder,
        prediction: Value,
        target: Value,
        weight: Value | None,
        gradient: bool,
    ) -> tuple[Value, Value | None]:
        logits = logits_of(builder.program, prediction, "softmax")
        if logits is None:
            logits = prediction
        *rows, _ = logits.spec.shape
        builder.layer = self.name
        rubbish = builder.constant(f"{self.name}.j", np.full((*rows, 1), -self.j))
        params: Params = {"axis": len(rows)}
        joined = builder.emit("concatenate", "forward", [logits, rubbish], params, prefix="l")[0]
        assert joined is not None
        return self._emit("softmax_cross_entropy", builder, joined, target, weight, gradient)


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


def _rows(loss: Loss, y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    from convkit import ops

    return ops.loss(y_pred, y_true, loss.kind, label_smoothing=loss.label_smoothing)[0]


def sparse_categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False
) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return _rows(SparseCategoricalCrossentropy(from_logits), y_true, y_pred)


def categorical_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return _rows(CategoricalCrossentropy(from_logits, label_smoothing), y_true, y_pred)


def binary_crossentropy(
    y_true: ArrayLike, y_pred: ArrayLike, from_logits: bool = False, label_smoothing: float = 0.0
) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return _rows(BinaryCrossentropy(from_logits, label_smoothing), y_true, y_pred)


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return _rows(MeanSquaredError(), y_true, y_pred)


_CLASSES = (
    SparseCategoricalCrossentropy,
    CategoricalCrossentropy,
    BinaryCrossentropy,
    DiscriminativeMAP,
    MeanSquaredError,
)

# Every name that Keras knows for these losses; the first alias is the function-style name.
NAMES: dict[str, Callable[..., Loss]] = {
    name: cls for cls in _CLASSES for name in (*cls.aliases, cls.__name__)
}
NAMES["MSE"] = MeanSquaredError
NAMES["BCE"] = BinaryCrossentropy
_FUNCTIONS: dict[Callable[..., Any], Callable[..., Loss]] = {
    sparse_categorical_crossentropy: SparseCategoricalCrossentropy,
    categorical_crossentropy: CategoricalCrossentropy,
    binary_crossentropy: BinaryCrossentropy,
    mean_squared_error: MeanSquaredError,
}


def get(identifier: object) -> Loss:
    """Return a loss by name or object.

    Parameters
    ----------
    identifier : str, Loss, Loss class or one of this module's functions

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        If the name is unknown; the message suggests the nearest one.
    TypeError
        If it is neither a name nor a loss.
    """
    if isinstance(identifier, Loss):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Loss):
        return identifier()  # type: ignore[call-arg]
    if isinstance(identifier, str):
        if identifier in NAMES:
            return NAMES[identifier]()
        near = did_you_mean(identifier, [name for name in NAMES if name.islower()])
        raise ValueError(f"unknown loss {identifier!r}{near}")
    if callable(identifier):
        if identifier in _FUNCTIONS:
            return _FUNCTIONS[identifier]()
        raise TypeError(
            "a Python function as loss is not supported; use a name or an object of ck.losses: "
            + ", ".join(cls.__name__ for cls in _CLASSES)
        )
    raise TypeError(f"loss must be a name or a Loss, not {type(identifier).__name__}")
