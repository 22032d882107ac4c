"""Losses, reported."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit import losses
from convkit.losses import Loss
from convkit.metrics.base import Metric, ratio
from convkit.metrics.regression import WEIGHT
from convkit.ops.activation_formulas import activation_params

if TYPE_CHECKING:
    from convkit.ops.registry import Array
    from convkit.program.builder import Builder
    from convkit.program.program import Value

SUM = 3  # of the op moments, for values without targets


class LossAsMetric(Metric):
    """A loss, reported; the mean over the rows, weighted where sample weights count."""

    def __init__(self, name: str, loss: Loss) -> None:
        super().__init__(name)
        self.loss = loss
        self.sparse = loss.sparse

    @property
    def for_logits(self) -> str:
        return (
            "from_logits=True"
            if self.loss.kind in ("cross_entropy", "binary_cross_entropy")
            else ""
        )

    def emit(
        self, builder: Builder, prediction: Value, target: Value, weight: Value | None
    ) -> Value:
        counted = self._counted(builder, prediction, weight)
        total = self.loss.emit(builder, prediction, target, None, gradient=False)[0]
        (maker,) = (i for i in builder.program.instructions if total in i.outputs)
        rows = maker.outputs[0]  # an op of losses gives the loss of each row before their total
        assert rows is not None
        values = rows.view((rows.spec.size, 1))
        return self._append(builder, "moments", [values, None, counted])

    def from_sums(self, sums: Array, rows: float) -> float:
        moments = sums.reshape(6, -1)
        return float(ratio(moments[SUM, 0], moments[WEIGHT, 0]))


class SparseCategoricalCrossentropy(LossAsMetric):
    """`convkit.losses.SparseCategoricalCrossentropy`, reported."""

    needs_classes = True
    aliases = ("sparse_categorical_crossentropy",)

    def __init__(self, name: str = "sparse_categorical_crossentropy", **options: Any) -> None:
        super().__init__(name, losses.SparseCategoricalCrossentropy(**options))


class CategoricalCrossentropy(LossAsMetric):
    """`convkit.losses.CategoricalCrossentropy`, reported."""

    needs_classes = True
    aliases = ("categorical_crossentropy",)

    def __init__(self, name: str = "categorical_crossentropy", **options: Any) -> None:
        super().__init__(name, losses.CategoricalCrossentropy(**options))


class BinaryCrossentropy(LossAsMetric):
    """`convkit.losses.BinaryCrossentropy`, reported."""

    aliases = ("binary_crossentropy", "bce", "BCE")

    def __init__(self, name: str = "binary_crossentropy", **options: Any) -> None:
        super().__init__(name, losses.BinaryCrossentropy(**options))


class _OfSigns(LossAsMetric):
    """A loss of targets -1 and 1, which 0 and 1 stand for too, whatever loss trains the model."""

    def emit(
        self, builder: Builder, prediction: Value, target: Value, weight: Value | None
    ) -> Value:
        step = activation_params("step")  # 1 above 0
        above = builder.emit("activation", "forward", [target], step, prefix="t")[0]
        ones = np.ones(target.spec.shape[-1])
        scale, shift = (builder.constant(self.name, c * ones) for c in (2.0, -1.0))
        (signs,) = builder.emit("channel_scale", "forward", [above, scale, shift], prefix="t")
        assert signs is not None
        return super().emit(builder, prediction, signs, weight)


class CategoricalHinge(LossAsMetric):
    """`convkit.losses.CategoricalHinge`, reported."""

    aliases = ("categorical_hinge",)

    def __init__(self, name: str = "categorical_hinge", **options: Any) -> None:
        super().__init__(name, losses.CategoricalHinge(**options))


class Hinge(_OfSigns):
    """`convkit.losses.Hinge`, reported."""

    aliases = ("hinge",)

    def __init__(self, name: str = "hinge", **options: Any) -> None:
        super().__init__(name, losses.Hinge(**options))


class KLDivergence(LossAsMetric):
    """`convkit.losses.KLDivergence`, reported."""

    aliases = ("kl_divergence", "kld", "KLD")

    def __init__(self, name: str = "kl_divergence", **options: Any) -> None:
        super().__init__(name, losses.KLDivergence(**options))


class LogCoshError(LossAsMetric):
    """`convkit.losses.LogCosh`, reported."""

    aliases = ("log_cosh_error", "logcosh", "log_cosh")

    def __init__(self, name: str = "logcosh", **options: Any) -> None:
        super().__init__(name, losses.LogCosh(**options))


class MeanAbsolutePercentageError(LossAsMetric):
    """`convkit.losses.MeanAbsolutePercentageError`, reported."""

    aliases = ("mean_absolute_percentage_error", "mape", "MAPE")

    def __init__(self, name: str = "mean_absolute_percentage_error", **options: Any) -> None:
        super().__init__(name, losses.MeanAbsolutePercentageError(**options))


class MeanSquaredLogarithmicError(LossAsMetric):
    """`convkit.losses.MeanSquaredLogarithmicError`, reported."""

    aliases = ("mean_squared_logarithmic_error", "msle", "MSLE")

    def __init__(self, name: str = "mean_squared_logarithmic_error", **options: Any) -> None:
        super().__init__(name, losses.MeanSquaredLogarithmicError(**options))


class Poisson(LossAsMetric):
    """`convkit.losses.Poisson`, reported."""

    aliases = ("poisson",)

    def __init__(self, name: str = "poisson", **options: Any) -> None:
        super().__init__(name, losses.Poisson(**options))


class SquaredHinge(_OfSigns):
    """`convkit.losses.SquaredHinge`, reported."""

    aliases = ("squared_hinge",)

    def __init__(self, name: str = "squared_hinge", **options: Any) -> None:
        super().__init__(name, losses.SquaredHinge(**options))


class CosineSimilarity(LossAsMetric):
    """Mean cosine of the angle between prediction and target: the negated loss, so 1 is best."""

    rises = True
    aliases = ("cosine_similarity",)

    def __init__(self, name: str = "cosine_similarity", **options: Any) -> None:
        super().__init__(name, losses.CosineSimilarity(**options))

    def from_sums(self, sums: Array, rows: float) -> float:
        return -super().from_sums(sums, rows)


class Perplexity(LossAsMetric):
    """Exponential of the mean cross-entropy: of how many equally likely classes a model is unsure.

    Integer labels and one-hot targets both fit; steps that a mask leaves out do not count.

    Parameters
    ----------
    from_logits : bool
        Whether the prediction has not gone through softmax.
    name : str
    """

    needs_classes = True
    aliases = ("perplexity",)

    def __init__(self, from_logits: bool = False, name: str = "perplexity", **options: Any) -> None:
        if options.pop("mask_token_id", None) is not None:
            raise ValueError(
                "Perplexity: mask_token_id is not supported; use Embedding(mask_zero=True), or "
                "sample weights of 0"
            )
        super().__init__(name, losses.SparseCategoricalCrossentropy(from_logits, **options))
        self.from_logits = from_logits
        self.sparse = None

    def resolve(self, sparse: bool, outputs: int) -> Metric:
        if outputs == 1:
            raise ValueError(
                f"metric {self.name!r} needs the scores of several classes, there is one output"
            )
        other = copy.copy(self)
        if not sparse:
            other.loss = losses.CategoricalCrossentropy(self.from_logits)
        return other

    def from_sums(self, sums: Array, rows: float) -> float:
        with np.errstate(over="ignore"):
            return float(np.exp(super().from_sums(sums, rows)))
