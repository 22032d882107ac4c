"""Metrics that count right and wrong positives above thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from convkit.checks import number, whole
from convkit.metrics.base import Metric, ratio
from convkit.ops.histogram import histogram_params

if TYPE_CHECKING:
    from convkit.ops.registry import Array
    from convkit.program.builder import Builder
    from convkit.program.program import Value

Thresholds = float | Sequence[float] | None


class Counts(NamedTuple):
    """Weights of true and false positives and negatives, each of shape (groups, thresholds)."""

    tp: Array
    fp: Array
    tn: Array
    fn: Array


def counts_of(sums: Array, groups: int, thresholds: int) -> Counts:
    """What the op ``histogram`` summed, at each threshold."""
    bins = sums.reshape(groups, thresholds + 1, 2)
    above = np.cumsum(bins[:, ::-1], axis=1)[:, -2::-1]
    below = np.cumsum(bins, axis=1)[:, :-1]
    return Counts(above[..., 1], above[..., 0], below[..., 0], below[..., 1])


class CountedAbove(Metric):
    """Base of the metrics that follow from counts above thresholds.

    A value is predicted positive if it is above the threshold, and is positive if the target is
    above 0; with integer labels each row is positive at its label and negative elsewhere. All
    values of a row count alike, unless `class_id` chooses one.
    """

    edges: Array  # the thresholds, rising
    class_id: int | None = None
    top_k: int | None = None
    per_class = False

    def scores(self, builder: Builder, prediction: Value) -> Value:
        """What is compared with the thresholds."""
        return prediction

    def resolve(self, sparse: bool, outputs: int) -> Metric:
        if self.class_id is not None and not 0 <= self.class_id < outputs:
            raise ValueError(
                f"metric {self.name!r}: class_id {self.class_id} is outside 0..{outputs - 1}"
            )
        return super().resolve(sparse, outputs)

    def emit(
        self, builder: Builder, prediction: Value, target: Value, weight: Value | None
    ) -> Value:
        counted = self._counted(builder, prediction, weight)
        edges = builder.constant(f"{self.name}.thresholds", self.edges)
        inputs = [self.scores(builder, prediction), target, edges, counted]
        params = histogram_params(self.per_class, self.class_id, self.top_k)
        return self._append(builder, "histogram", inputs, params)

    def counts(self, sums: Array) -> Counts:
        """The counts of a run, (groups, thresholds)."""
        return counts_of(sums, sums.size // (2 * (len(self.edges) + 1)), len(self.edges))


def check_thresholds(owner: str, thresholds: Thresholds, default: float) -> Array:
    """Thresholds as an array, the default if there are none.

    Raises
    ------
    ValueError
        If one is not in 0..1, as in Keras.
    """
    if thresholds is None:
        return np.array([default])
    values = np.array([float(t) for t in np.atleast_1d(np.asarray(thresholds, np.float64))])
    if not len(values) or not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"{owner}: thresholds must be in 0..1, got {thresholds!r}")
    return values


class _AtThresholds(CountedAbove):
    """One number for each of the user's thresholds, a plain number for one."""

    def __init__(
        self, thresholds: Thresholds, default: float, name: str, options: dict[str, Any]
    ) -> None:
        super().__init__(name, options)
        values = check_thresholds(type(self).__name__, thresholds, default)
        self.thresholds = thresholds
        self._order = np.argsort(values, kind="stable")
        self.edges = values[self._order]

    @property
    def for_logits(self) -> str:
        return "thresholds=0" if self.thresholds is None and self.top_k is None else ""

    def formula(self, counts: Counts) -> Array:
        """The metric from counts (groups, thresholds)."""
        raise NotImplementedError

    def from_sums(self, sums: Array, rows: float) -> float | Array:
        rising = self.formula(self.counts(sums))[0]
        values = np.empty_like(rising)
        values[self._order] = rising
        return values if len(values) > 1 else float(values[0])


class TruePositives(_AtThresholds):
    """Number of positive values predicted positive, or the sum of their weights.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        By default 0.5; the result has one number for each of several.
    name : str, optional
    """

    rises = True
    aliases = ("true_positives",)

    def __init__(
        self, thresholds: Thresholds = None, name: str | None = None, **options: Any
    ) -> None:
        super().__init__(thresholds, 0.5, name or self.aliases[0], options)

    def formula(self, counts: Counts) -> Array:
        return counts.tp


class TrueNegatives(TruePositives):
    """Number of negative values predicted negative, or the sum of their weights.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        By default 0.5; the result has one number for each of several.
    name : str, optional
    """

    aliases = ("true_negatives",)

    def formula(self, counts: Counts) -> Array:
        return counts.tn


class FalsePositives(TruePositives):
    """Number of negative values predicted positive, or the sum of their weights.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        By default 0.5; the result has one number for each of several.
    name : str, optional
    """

    rises = False
    aliases = ("false_positives",)

    def formula(self, counts: Counts) -> Array:
        return counts.fp


class FalseNegatives(TruePositives):
    """Number of positive values predicted negative, or the sum of their weights.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        By default 0.5; the result has one number for each of several.
    name : str, optional
    """

    rises = False
    aliases = ("false_negatives",)

    def formula(self, counts: Counts) -> Array:
        return counts.fn


class Precision(_AtThresholds):
    """Share of the values predicted positive that are: tp / (tp + fp), 0 if there are none.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        By default 0.5, or none with `top_k`; the result has one number for each of several.
    top_k : int, optional
        Only so many largest values of each row, of equal ones the first, can be predicted positive.
    class_id : int, optional
        Count this output only.
    name : str, optional
    """

    rises = True
    aliases = ("precision",)

    def __init__(
        self,
        thresholds: Thresholds = None,
        top_k: int | None = None,
        class_id: int | None = None,
        name: str | None = None,
        **options: Any,
    ) -> None:
        default = 0.5 if top_k is None else -np.inf
        super().__init__(thresholds, default, name or self.aliases[0], options)
        owner = type(self).__name__
        self.top_k = None if top_k is None else whole(owner, "top_k", top_k, 1)
        self.class_id = None if class_id is None else whole(owner, "class_id", class_id)

    def formula(self, counts: Counts) -> Array:
        return ratio(counts.tp, counts.tp + counts.fp)


class Recall(Precision):
    """Share of the positive values that are predicted so: tp / (tp + fn), 0 if there are none.

    Parameters
    ----------
    thresholds : float or sequence of float, optional
        By default 0.5, or none with `top_k`; the result has one number for each of several.
    top_k : int, optional
        Only so many largest values of each row, of equal ones the first, can be predicted positive.
    class_id : int, optional
        Count this output only.
    name : str, optional
    """

    aliases = ("recall",)

    def formula(self, counts: Counts) -> Array:
        return ratio(counts.tp, counts.tp + counts.fn)


AVERAGES = (None, "micro", "macro", "weighted")


class FBetaScore(CountedAbove):
    """Weighted harmonic mean of precision p and recall r: (1 + b^2) p r / (b^2 p + r).

    0 where precision and recall are (van Rijsbergen 1979, chapter 7).

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        None: one score for each class; "micro": from the counts of all classes together; "macro":
        the mean over the classes; "weighted": the mean weighted by the classes' positives.
    beta : float
        How many times as important recall is.
    threshold : float, optional
        Above it an output is predicted positive; by default the largest output of each row is, of
        equal ones the first.
    name : str
    """

    rises = True
    per_class = True
    aliases: tuple[str, ...] = ("fbeta_score", "f_beta_score")

    def __init__(
        self,
        average: str | None = None,
        beta: float = 1.0,
        threshold: float | None = None,
        name: str = "fbeta_score",
        **options: Any,
    ) -> None:
        super().__init__(name, options)
        owner = type(self).__name__
        if average not in AVERAGES:
            raise ValueError(f"{owner}: average must be one of {AVERAGES}, got {average!r}")
        if threshold is not None:
            number(owner, "threshold", threshold, above=0, most=1)
        self.average, self.threshold = average, threshold
        self.beta = number(owner, "beta", beta, above=0)
        self.edges = np.array([-np.inf if threshold is None else float(threshold)])
        self.top_k = 1 if threshold is None else None

    def resolve(self, sparse: bool, outputs: int) -> Metric:
        if outputs == 1 and self.threshold is None:
            raise ValueError(
                f"metric {self.name!r}: with one output the largest is always that one; pass "
                "threshold=0.5"
            )
        return super().resolve(sparse, outputs)

    def from_sums(self, sums: Array, rows: float) -> float | Array:
        counts = Counts(*(c[:, 0] for c in self.counts(sums)))
        if self.average == "micro":
            counts = Counts(*(c.sum(keepdims=True) for c in counts))
        precision = ratio(counts.tp, counts.tp + counts.fp)
        recall = ratio(counts.tp, counts.tp + counts.fn)
        square = self.beta**2
        scores = (1 + square) * ratio(precision * recall, square * precision + recall)
        if self.average is None:
            return scores
        if self.average == "weighted":
            positives = counts.tp + counts.fn
            return float(ratio((scores * positives).sum(), positives.sum()))
        return float(scores.mean())


class F1Score(FBetaScore):
    """Harmonic mean of precision p and recall r: 2 p r / (p + r), 0 where both are.

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        None: one score for each class; "micro": from the counts of all classes together; "macro":
        the mean over the classes; "weighted": the mean weighted by the classes' positives.
    threshold : float, optional
        Above it an output is predicted positive; by default the largest output of each row is, of
        equal ones the first.
    name : str
    """

    aliases = ("f1_score",)

    def __init__(
        self,
        average: str | None = None,
        threshold: float | None = None,
        name: str = "f1_score",
        **options: Any,
    ) -> None:
        super().__init__(average, 1.0, threshold, name, **options)
