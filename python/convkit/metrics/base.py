"""The base of the metrics."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.errors import refuse_options
from convkit.saving.config import Configured, accepts

if TYPE_CHECKING:
    from convkit.ops.registry import Array, Params
    from convkit.program.builder import Builder
    from convkit.program.program import Value


class Metric(Configured):
    """Base of the metrics.

    A metric defines `emit`, which appends instructions to a program, and `from_sums`, which makes
    the number that is reported from what they gave, summed over all steps. So a metric is the same
    for one batch of all samples and for many small ones.

    On arrays it works as in Keras:

    >>> from convkit import metrics
    >>> m = metrics.BinaryAccuracy()
    >>> m.update_state([[1], [0]], [[0.7], [0.6]])
    >>> m.update_state([[1], [1]], [[0.9], [0.8]])
    >>> m.result()
    0.75

    Attributes
    ----------
    name : str
        Key in the logs.
    weighted : bool
        Whether sample weights count; set for `weighted_metrics` of ``compile``.
    sparse : bool or None
        Whether it needs integer labels (True), values (False) or takes both (None).
    """

    sparse: bool | None = None
    rises = False  # whether more is better
    aliases: tuple[str, ...] = ()  # names for `metrics.get`
    needs_classes = False  # whether the prediction has a score for each of several classes

    def __init__(self, name: str, options: dict[str, Any] | None = None) -> None:
        refuse_options(type(self).__name__, options or {}, {"dtype": None, "axis": -1})
        self.name = name
        self.weighted = False
        self._sums: Array | None = None
        self._rows = 0.0

    def _arguments(self) -> dict[str, Any]:
        found = super()._arguments()
        return {**found, "name": self.name} if accepts(type(self), "name") else found

    @property
    def for_logits(self) -> str:
        """The argument that is missing where the output is logits; empty if none is."""
        return ""

    def named(self, name: str, weighted: bool) -> Metric:
        """A copy with another name, for sample weights or not, that has seen nothing yet."""
        other = copy.copy(self)
        other.name = name
        other.weighted = weighted
        other.reset_state()
        return other

    def resolve(self, sparse: bool, outputs: int) -> Metric:
        """The metric that this one stands for, given the targets' kind and the output's width."""
        if self.sparse is not None and self.sparse != sparse:
            got = "integer labels" if sparse else "values of the output's shape"
            raise ValueError(
                f"metric {self.name!r} does not fit the loss, whose targets are {got}; "
                'use "accuracy"'
            )
        return self

    def resolve_arrays(self, y_true: Array, y_pred: Array, sparse: bool) -> Metric:
        """The metric that this one stands for on arrays: y_pred (..., K) and targets."""
        if self.sparse is not None and self.sparse != sparse:
            got = "integer labels" if sparse else "values of y_pred's shape"
            wanted = "integer labels" if self.sparse else "values of y_pred's shape"
            raise ValueError(
                f"metric {self.name!r} needs {wanted}, y_true {y_true.shape} holds {got} "
                f"(y_pred is {y_pred.shape})"
            )
        return self.resolve(sparse, y_pred.shape[-1])

    def emit(
        self, builder: Builder, prediction: Value, target: Value, weight: Value | None
    ) -> Value:
        """Append the metric to a program.

        Parameters
        ----------
        builder : Builder
        prediction, target : Value
        weight : Value, optional
            Of each row; to be heeded if `weighted`.

        Returns
        -------
        Value
            float64; a run sums it over its steps.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define emit()")

    def _counted(self, builder: Builder, prediction: Value, weight: Value | None) -> Value | None:
        """What each row counts: sample weights if they are to, and 0 where a mask leaves it out."""
        return builder.masked_weight(prediction, weight if self.weighted else None)

    def _append(
        self, builder: Builder, op: str, inputs: list[Value | None], params: Params | None = None
    ) -> Value:
        """Append an op of one output, under the metric's name."""
        builder.layer = self.name
        (value,) = builder.emit(op, "forward", inputs, params, prefix="m")
        builder.layer = ""
        assert value is not None
        return value

    def from_sums(self, sums: Array, rows: float) -> float | Array:
        """The metric from the summed values.

        Parameters
        ----------
        sums : ndarray of float64
            Of one axis.
        rows : float
            Number of rows, or the sum of their weights if `weighted`.

        Returns
        -------
        float or ndarray of float64
        """
        raise NotImplementedError(f"{type(self).__name__} does not define from_sums(sums, rows)")

    def update_state(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> None:
        """Count a batch of arrays.

        Parameters
        ----------
        y_true : array_like
            Values of y_pred's shape, or integer labels of its shape without the last axis.
        y_pred : array_like, shape (N, ..., K) or (N,)
        sample_weight : array_like, optional
            Of each sample or each row; 0 leaves it out.

        Raises
        ------
        ValueError
            If shapes or targets do not fit the metric.
        """
        from convkit.metrics.arrays import sums_of

        sums, rows = sums_of(self, y_true, y_pred, sample_weight)
        if self._sums is not None and self._sums.shape != sums.shape:
            raise ValueError(
                f"metric {self.name!r} has counted batches of another number of classes; call "
                "reset_state() first"
            )
        self._sums = sums if self._sums is None else self._sums + sums
        self._rows += rows

    def result(self) -> float | Array:
        """The metric over all arrays since `reset_state`; 0 if there were none."""
        return 0.0 if self._sums is None else self.from_sums(self._sums, self._rows)

    def reset_state(self) -> None:
        """Forget all arrays."""
        self._sums, self._rows = None, 0.0

    def __call__(
        self, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> float | Array:
        """Count a batch of arrays and return the metric over all since `reset_state`."""
        self.update_state(y_true, y_pred, sample_weight)
        return self.result()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"


def ratio(part: ArrayLike, whole: ArrayLike) -> Array:
    """Quotient, 0 where the whole is 0, as Keras's metrics divide."""
    part, whole = np.broadcast_arrays(np.asarray(part, np.float64), whole)
    quotient: Array = np.divide(part, whole, out=np.zeros(part.shape), where=whole != 0)
    return quotient
