"""Losses of numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

from convkit.checks import number
from convkit.losses.base import Loss

if TYPE_CHECKING:
    from convkit.ops.registry import Array

_MEAN = "sum_over_batch_size"


class MeanSquaredError(Loss):
    """``mean_k (t_k - p_k)^2``, averaged over the rows.

    Parameters
    ----------
    per : "output" or "sample"
        What the mean is over: outputs and rows, as in Keras, or the rows alone, where the squares
        of a row's outputs are summed ("squared error divided by the number of samples").
    reduction : str
        See `Loss`.
    name : str
    """

    kind = "squared_error"
    aliases = ("mean_squared_error", "mse")

    def __init__(
        self,
        *,
        per: str = "output",
        reduction: str | None = _MEAN,
        name: str = "mean_squared_error",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, 0.0, options)
        if per not in ("output", "sample"):
            raise ValueError(
                f"MeanSquaredError: per is {per!r}, expected 'output' (mean over the outputs) or "
                "'sample' (their sum)"
            )
        self.per = per
        if per == "sample":
            self.op_options = {"divisor": 1.0}


class SumSquaredError(Loss):
    """``sum_k (t_k - p_k)^2``, summed over the rows of the batch; half of it with ``half=True``.

    With ``half=True`` it is the error E = 1/2 sum (t - a)^2 of which backpropagation is usually
    derived, whose gradient is a - t (Rumelhart, Hinton and Williams 1986, equation 3). The gradient
    of a batch grows with its rows, so the learning rate that suits it depends on the batch size.
    What an epoch reports is the mean over its batches, not the sum over the data.

    Parameters
    ----------
    half : bool
        Whether the sum is halved.
    reduction : str
        "sum" by default: of all rows of the batch. With "sum_over_batch_size" the sum over outputs
        is averaged over the rows, as by ``MeanSquaredError(per="sample")``.
    name : str
    """

    kind = "squared_error"
    aliases = ("sum_squared_error", "sse")

    def __init__(
        self,
        half: bool = False,
        *,
        reduction: str | None = "sum",
        name: str = "sum_squared_error",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, 0.0, options)
        self.half = bool(half)
        self.op_options = {"divisor": 2.0 if half else 1.0}


class RootMeanSquaredError(Loss):
    """``sqrt(mean_rk (t_rk - p_rk)^2)``: the root of the mean over outputs and rows of the batch.

    It couples the rows of a batch, so that rows have no losses of their own: a root for each row
    would be the mean absolute error of a model with one output. The gradient is that of the mean
    squared error divided by twice the root; where the error is 0 it is 0. What an epoch reports is
    the mean over its batches; the metric of this name takes the root over all rows. Sample weights
    multiply the rows' squared errors.

    Parameters
    ----------
    reduction : str
        "sum_over_batch_size".
    name : str
    """

    kind = "root_mean_squared_error"
    aliases = ("root_mean_squared_error", "rmse")

    def __init__(
        self,
        *,
        reduction: str | None = _MEAN,
        name: str = "root_mean_squared_error",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, 0.0, options)
        if self.reduction not in (_MEAN, "mean"):
            raise ValueError(
                f"RootMeanSquaredError: reduction={reduction!r} is not defined, as the root is "
                "over all rows; use MeanSquaredError for a loss of each row"
            )


class MeanAbsoluteError(Loss):
    """``mean_k |t_k - p_k|``; the gradient is 0 where they are equal.

    Parameters
    ----------
    reduction : str
        See `Loss`.
    name : str
    """

    kind = "absolute_error"
    aliases = ("mean_absolute_error", "mae")

    def __init__(
        self, *, reduction: str | None = _MEAN, name: str = "mean_absolute_error", **options: Any
    ) -> None:
        super().__init__(name, reduction, 0.0, options)


class MeanAbsolutePercentageError(Loss):
    """``100 mean_k |t_k - p_k| / max(|t_k|, 1e-7)``.

    Parameters
    ----------
    reduction : str
        See `Loss`.
    name : str
    """

    kind = "absolute_percentage_error"
    aliases = ("mean_absolute_percentage_error", "mape")

    def __init__(
        self,
        *,
        reduction: str | None = _MEAN,
        name: str = "mean_absolute_percentage_error",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, 0.0, options)


class MeanSquaredLogarithmicError(Loss):
    """``mean_k (log(1 + t_k) - log(1 + p_k))^2``, with numbers below 1e-7 as 1e-7.

    Parameters
    ----------
    reduction : str
        See `Loss`.
    name : str
    """

    kind = "squared_logarithmic_error"
    domain = (0.0, math.inf)
    aliases = ("mean_squared_logarithmic_error", "msle")

    def __init__(
        self,
        *,
        reduction: str | None = _MEAN,
        name: str = "mean_squared_logarithmic_error",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, 0.0, options)


class Huber(Loss):
    """Mean of d^2/2 where |d| <= delta and of delta (|d| - delta/2) beyond; d = t - p.

    Parameters
    ----------
    delta : float
        Where the loss becomes linear.
    reduction : str
        See `Loss`.
    name : str
    """

    kind = "huber"
    aliases = ("huber", "huber_loss")

    def __init__(
        self,
        delta: float = 1.0,
        *,
        reduction: str | None = _MEAN,
        name: str = "huber_loss",
        **options: Any,
    ) -> None:
        super().__init__(name, reduction, 0.0, options)
        self.delta = number(type(self).__name__, "delta", delta, above=0)
        self.op_options = {"delta": self.delta}


class LogCosh(Loss):
    """``mean_k log(cosh(p_k - t_k))``: d^2/2 for small d, |d| - log 2 for large ones.

    Parameters
    ----------
    reduction : str
        See `Loss`.
    name : str
    """

    kind = "log_cosh"
    aliases = ("log_cosh", "logcosh")

    def __init__(
        self, *, reduction: str | None = _MEAN, name: str = "log_cosh", **options: Any
    ) -> None:
        super().__init__(name, reduction, 0.0, options)


def mean_squared_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return MeanSquaredError().of_rows(y_true, y_pred)


def mean_absolute_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return MeanAbsoluteError().of_rows(y_true, y_pred)


def mean_absolute_percentage_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return MeanAbsolutePercentageError().of_rows(y_true, y_pred)


def mean_squared_logarithmic_error(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return MeanSquaredLogarithmicError().of_rows(y_true, y_pred)


def huber(y_true: ArrayLike, y_pred: ArrayLike, delta: float = 1.0) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return Huber(delta).of_rows(y_true, y_pred)


def log_cosh(y_true: ArrayLike, y_pred: ArrayLike) -> Array:
    """Loss of each row; as an argument of ``compile``, the loss of that name."""
    return LogCosh().of_rows(y_true, y_pred)
