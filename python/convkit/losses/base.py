"""The base of the losses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from convkit.errors import did_you_mean, refuse_options
from convkit.saving.config import Configured

if TYPE_CHECKING:
    from convkit.ops.registry import Array, Params
    from convkit.program.program import Builder, Value


REDUCTIONS = ("sum_over_batch_size", "sum", "none")


class Loss(Configured):
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
            "scale": builder.share * (1.0 if self.reduction == "sum" else 1.0 / max(rows, 1)),
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


def rows(loss: Loss, y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    from convkit import ops

    return ops.loss(y_pred, y_true, loss.kind, label_smoothing=loss.label_smoothing)[0]
