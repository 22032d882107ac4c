"""What ``compile`` leaves behind: loss, metrics and optimizer, checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convkit import losses, metrics, optimizers, regularizers
from convkit.errors import did_you_mean
from convkit.losses import Loss
from convkit.metrics import Metric
from convkit.metrics.names import resolve
from convkit.optimizers import Optimizer
from convkit.program.program import TERM, Program
from convkit.regularizers import Regularizer

__all__ = ["Compiled", "Totals", "reject_unknown"]


def reject_unknown(method: Callable[..., Any], unknown: dict[str, Any]) -> None:
    """Raise for a keyword argument that a method does not have.

    Raises
    ------
    TypeError
    """
    for key in unknown:
        known = list(inspect.signature(method).parameters)[1:-1]  # without self and **unknown
        raise TypeError(
            f"{method.__name__}() got an unexpected argument {key!r}{did_you_mean(key, known)}"
        )


def _many(identifiers: Any, argument: str) -> list[Metric]:
    if identifiers is None:
        return []
    if not isinstance(identifiers, list | tuple):
        identifiers = [identifiers]
    for identifier in identifiers:
        if isinstance(identifier, list | tuple | dict):
            raise TypeError(f"{argument} must be a flat list: a model is trained on one output")
    return [metrics.get(identifier) for identifier in identifiers]


@dataclass(frozen=True, eq=False)
class Compiled:
    """Loss, metrics and optimizer of a model.

    Attributes
    ----------
    optimizer : Optimizer
    loss : Loss
    metrics, weighted_metrics : list of Metric
        As the user gave them.
    regularizer : Regularizer or None
        Of the kernels that have none of their own.
    """

    optimizer: Optimizer
    loss: Loss
    metrics: list[Metric]
    weighted_metrics: list[Metric]
    regularizer: Regularizer | None = None

    @classmethod
    def make(
        cls, optimizer: Any, loss: Any, metrics: Any, weighted_metrics: Any, regularizer: Any = None
    ) -> Compiled:
        """Resolve the arguments of ``compile``.

        Raises
        ------
        TypeError, ValueError
            If one is not known.
        """
        if loss is None:
            raise ValueError(
                'compile() needs a loss, such as loss="sparse_categorical_crossentropy"'
            )
        if isinstance(loss, list | tuple) and len(loss) == 1:
            loss = loss[0]
        if isinstance(loss, list | tuple | dict):
            raise TypeError("loss must be one loss: a model is trained on one output")
        loss = losses.get(loss)
        if loss.reduction == "none":
            raise ValueError(
                f"loss {loss.name!r} has reduction='none', but training needs one number: use "
                "reduction='sum_over_batch_size' or 'sum'; losses of rows come from calling it, "
                "loss(y_true, y_pred)"
            )
        return cls(
            optimizers.get(optimizer),
            loss,
            _many(metrics, "metrics"),
            _many(weighted_metrics, "weighted_metrics"),
            regularizers.get(regularizer),
        )

    def resolve(self, outputs: int) -> list[Metric]:
        """The metrics for an output of this width, with unique names."""
        return resolve(self.metrics, self.weighted_metrics, self.loss.sparse, outputs)


class Totals:
    """Sums of loss and metrics over steps, and the means that the logs show.

    As in Keras the loss shown is the sum over all rows divided by their number, also where sample
    weights multiply the rows' losses. To this error come the terms of the loss, each the mean over
    the batches, which count by their samples; the logs then have "error" and the terms apart too.

    Parameters
    ----------
    loss : Loss
    metrics : sequence of Metric
        Resolved.
    """

    def __init__(self, loss: Loss, metrics: Sequence[Metric]) -> None:
        self.loss = loss
        self.metrics = list(metrics)
        self.sums: dict[str, Any] = {}
        self.rows = 0
        self.samples = 0
        self.weight = 0.0

    def add(self, program: Program, sums: Any, samples: int, rows: int, weight: float) -> None:
        """Add what a run summed.

        Parameters
        ----------
        program : Program
        sums : ndarray of float64
            In the order of the program's readouts.
        samples, rows : int
            That went in; a sample of a sequence has several rows.
        weight : float
            Sum of their sample weights.
        """
        at = 0
        for name, value in program.readouts.items():
            part = sums[at : at + value.spec.size].copy()
            at += value.spec.size
            if name.startswith(TERM) or (name == "loss" and self.loss.reduction == "sum"):
                part *= program.batch  # a batch counts as often as it has samples
            self.sums[name] = self.sums[name] + part if name in self.sums else part
        self.samples += samples
        self.rows += rows
        self.weight += weight

    def logs(self) -> dict[str, Any]:
        """Loss and metrics so far, by name in alphabetical order; those of classes are lists."""
        if not self.rows:
            return {}
        error = float(self.sums["loss"][0] / self.rows)
        terms: dict[str, float] = {}
        for name, sums in self.sums.items():
            if name.startswith(TERM):
                term = name.partition(":")[2].partition(":")[2]
                terms[term] = terms.get(term, 0.0) + float(sums[0] / self.samples)
        values: dict[str, Any] = {"loss": error + sum(terms.values())}
        if terms:
            values |= {"error": error, **terms}
        for metric in self.metrics:
            rows = self.weight if metric.weighted else float(self.rows)
            value = metric.from_sums(self.sums[metric.name], rows)
            values[metric.name] = value.tolist() if isinstance(value, np.ndarray) else value
        return dict(sorted(values.items()))
