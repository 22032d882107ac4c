"""The base of the metrics."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from convkit.errors import refuse_options
from convkit.saving.config import Configured

if TYPE_CHECKING:
    from convkit.ops.registry import Array
    from convkit.program.program import Builder, Value


class Metric(Configured):
    """Base of the metrics.

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

    def __init__(self, name: str, options: dict[str, Any] | None = None) -> None:
        refuse_options(type(self).__name__, options or {}, {"dtype": None, "axis": -1})
        self.name = name
        self.weighted = False

    def named(self, name: str, weighted: bool) -> Metric:
        """A copy with another name, for sample weights or not."""
        other = copy.copy(self)
        other.name = name
        other.weighted = weighted
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

    def emit(
        self, builder: Builder, prediction: Value, target: Value, weight: Value | None
    ) -> Value:
        """Append the metric to a program.

        Returns
        -------
        Value
            float64; a run sums it over its steps.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define emit()")

    def result(self, sums: Array, rows: float) -> float:
        """The metric from the summed values.

        Parameters
        ----------
        sums : ndarray of float64
        rows : float
            Number of rows, or the sum of their weights if `weighted`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define result(sums, rows)")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"
