"""The base of the losses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.checks import number
from convkit.errors import did_you_mean, refuse_options
from convkit.saving.config import Configured

if TYPE_CHECKING:
    from convkit.ops.registry import Array, Params
    from convkit.program.builder import Builder
    from convkit.program.program import Value


REDUCTIONS = ("sum_over_batch_size", "mean", "sum", "none")


class Loss(Configured):
    """Base of the losses.

    A loss is an argument of ``compile``, and a function of arrays: ``loss(y_true, y_pred)``.

    Attributes
    ----------
    name : str
    kind : str
        Formula in the op ``loss``: see csrc/ops/loss/loss.h.
    sparse : bool
        Whether the targets are integer labels.
    domain : (float, float) or None
        Least and largest target.
    label_smoothing : float
    reduction : str
        "sum_over_batch_size" (or "mean": the mean over the rows, the default) or "sum"; "none" on
        arrays only. With sample weights the first one is the sum of the weighted losses divided by
        the number of rows, as in Keras, not by the sum of the weights.
    op_options : dict
        Parameters of the formula, arguments of `convkit.ops.loss`.
    """

    kind = ""
    sparse = False
    domain: tuple[float, float] | None = None
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
        if reduction == "mean_with_sample_weight":
            raise ValueError(
                f'{owner}: reduction="mean_with_sample_weight" is not supported; divide the sample '
                'weights by their mean and use "sum_over_batch_size"'
            )
        if reduction not in REDUCTIONS:
            known = did_you_mean(reduction, REDUCTIONS)
            raise ValueError(f"{owner}: unknown reduction {reduction!r}{known}")
        self.name = name
        self.reduction = reduction
        self.label_smoothing = number(owner, "label_smoothing", label_smoothing, most=1)
        self.op_options: dict[str, Any] = {}

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
        from convkit.ops.loss import loss_params

        scale = self._scale(builder, prediction)
        options, alpha = dict(self.op_options), None
        if np.ndim(options.get("alpha", 0.0)):
            given = options.pop("alpha")
            if len(given) != prediction.spec.shape[-1]:
                raise ValueError(
                    f"loss {self.name!r}: alpha has {len(given)} numbers, expected one for each of "
                    f"the output's {prediction.spec.shape[-1]} classes"
                )
            alpha = builder.constant(f"{self.name}.alpha", np.asarray(given, np.float64))
        params: Params = loss_params(kind, self.label_smoothing, scale, **options)
        pass_name = "backward" if gradient else "forward"
        return self._append(builder, "loss", pass_name, [prediction, target, weight, alpha], params)

    def _append(
        self,
        builder: Builder,
        op: str,
        pass_name: str,
        inputs: list[Value | None],
        params: Params,
    ) -> tuple[Value, Value | None]:
        """Append a pass that gives the rows' losses, their total and perhaps a gradient."""
        builder.layer = self.name
        _, total, *gradient = builder.emit(op, pass_name, inputs, params, prefix="l")
        builder.layer = ""
        assert total is not None
        return total, gradient[0] if gradient else None

    def _scale(self, builder: Builder, prediction: Value) -> float:
        """What the gradient of a row's loss is multiplied by."""
        rows = math.prod(prediction.spec.shape[:-1])
        # Sums over parts of the data add up as they are; means by the parts' shares.
        return 1.0 if self.reduction == "sum" else builder.share / max(rows, 1)

    def check_targets(self, where: str, y: Array) -> Array:
        """Refuse targets that the loss is not defined for; NaN passes.

        Parameters
        ----------
        where : str
            Beginning of the message.
        y : ndarray

        Returns
        -------
        ndarray
            The targets as the op takes them.

        Raises
        ------
        ValueError
        """
        if self.domain is None:
            return y
        low, high = self.domain
        wrong = np.flatnonzero((y < low) | (y > high))
        if wrong.size:
            at = int(wrong[0])
            index = np.unravel_index(at, y.shape)
            place = str(int(index[0])) if y.ndim == 1 else str(tuple(int(i) for i in index))
            wanted = f"from {low:g}" + ("" if math.isinf(high) else f" to {high:g}")
            raise ValueError(
                f"{where} loss {self.name!r} expects targets {wanted}, got y = {y.flat[at]:g} at "
                f"index {place}"
            )
        return y

    def __call__(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Any:
        """The loss of arrays.

        Parameters
        ----------
        y_true : array_like
            Integer labels of shape (...,) or (..., 1) if `sparse`, otherwise of y_pred's shape.
        y_pred : array_like, shape (..., K)
            Computed in float64 if it is, else in float32.
        sample_weight : array_like, optional
            A factor for each row or for each sample.

        Returns
        -------
        float, or ndarray of shape (...,) with ``reduction="none"``

        Raises
        ------
        ValueError
            If the shapes do not fit or a label, target or weight is out of range.
        """
        losses = self.of_rows(y_true, y_pred, sample_weight)
        if self.reduction == "none":
            return losses
        total = float(losses.sum(dtype=np.float64))
        return total if self.reduction == "sum" else total / max(losses.size, 1)

    def of_rows(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Array:
        """Loss of each row, whatever the reduction; arguments as in a call."""
        where = f"{type(self).__name__}:"
        p = np.asarray(y_pred)
        p = p if p.dtype.name in ("float32", "float64") else p.astype(np.float32)
        if not p.ndim:
            raise ValueError(f"{where} y_pred must have at least one axis, (..., K), got a number")
        y = np.asarray(y_true)
        if self.sparse:
            y = self._labels(where, y)
        else:
            y = self.check_targets(where, y.astype(p.dtype, copy=False))
        weight = None
        if sample_weight is not None:
            weight = row_weights(where, sample_weight, p.shape[:-1], p.dtype)
        return self._of_rows(p, y, weight)

    def _labels(self, where: str, y: Array) -> Array:
        if y.dtype.kind == "f":  # as Keras's data sets often have them
            if not (y == np.floor(y)).all():
                raise ValueError(f"{where} y_true holds {y.dtype} numbers, expected integer labels")
            y = y.astype(np.int64)
        return y

    def _of_rows(self, p: Array, y: Array, weight: Array | None) -> Array:
        from convkit import ops

        if self.sparse and y.shape == p.shape != p.shape[:-1]:
            raise ValueError(
                f"{type(self).__name__}: y_true has shape {y.shape}, expected integer labels of "
                f"shape {p.shape[:-1]}"
            )
        smoothing = self.label_smoothing
        return ops.loss(p, y, self.kind, weight, smoothing, **self.op_options)[0]

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def row_weights(where: str, given: ArrayLike, rows: tuple[int, ...], dtype: Any) -> Array:
    """Sample weights as one factor for each of `rows`, of losses and of metrics on arrays.

    Raises
    ------
    ValueError
        If they are no numbers, negative or not finite, or do not fit the rows.
    """
    weight = np.asarray(given)
    if weight.shape == (*rows, 1):
        weight = weight.reshape(rows)
    if weight.ndim > len(rows) or weight.shape != rows[: weight.ndim]:
        raise ValueError(
            f"{where} sample_weight has shape {weight.shape}, expected {rows} or {rows[:1]}"
        )
    if weight.dtype.kind in "biuf":
        with np.errstate(over="ignore"):  # what is too large for the dtype is not finite in it
            weight = weight.astype(dtype)
    if weight.dtype != dtype or not (np.isfinite(weight) & (weight >= 0)).all():
        raise ValueError(f"{where} sample_weight must be finite and not negative")
    weight = weight.reshape(*weight.shape, *(1,) * (len(rows) - weight.ndim))
    return np.ascontiguousarray(np.broadcast_to(weight, rows))
