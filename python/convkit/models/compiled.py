"""What ``compile`` leaves behind: loss, metrics and optimizer, checked."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convkit import losses, metrics, optimizers, regularizers
from convkit.errors import did_you_mean
from convkit.losses import Loss
from convkit.metrics import Metric
from convkit.metrics.names import resolve
from convkit.ops.choosing import AS_USUAL, Policy
from convkit.ops.registry import Array
from convkit.optimizers import Optimizer
from convkit.program.program import Program
from convkit.program.terms import term_of
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
    keep_grads : bool
        Whether every gradient can be read after a step.
    policy : Policy
        How kernels are chosen.
    kernels : dict of str to str
        Those that were chosen so far, by call.
    """

    optimizer: Optimizer
    loss: Loss
    metrics: list[Metric]
    weighted_metrics: list[Metric]
    regularizer: Regularizer | None = None
    keep_grads: bool = False
    policy: Policy = AS_USUAL
    kernels: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        resolved: dict[int, list[Metric]] = {}  # by width of the output; no field, nor saved
        object.__setattr__(self, "_resolved", resolved)

    @classmethod
    def make(
        cls,
        optimizer: Any,
        loss: Any,
        metrics: Any,
        weighted_metrics: Any,
        regularizer: Any = None,
        keep_grads: Any = False,
        policy: Policy = AS_USUAL,
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
        if not isinstance(keep_grads, bool):
            raise TypeError(f"keep_grads must be True or False, not {keep_grads!r}")
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
            keep_grads,
            policy,
        )

    def all_kernels(self) -> dict[str, str]:
        """The names that the policy has, and those that were chosen."""
        return {**self.policy.recorded, **self.policy.kernels, **self.kernels}

    def resolve(self, model: Any) -> list[Metric]:
        """The metrics for the output of a model, with unique names; the same ones each time."""
        width = model.outputs[0].shape[-1]
        known: dict[int, list[Metric]] = vars(self)["_resolved"]
        if width not in known:
            known[width] = resolve(self.metrics, self.weighted_metrics, self.loss.sparse, width)
        return list(known[width])


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
        self.rows = 0
        self.samples = 0
        self.weight = 0.0
        self._parts: dict[int, tuple[dict[str, int], Array]] = {}  # by batch size

    def sums_of(self, program: Program) -> Array:
        """The sums of this program's readouts, in order, for its runs to add to.

        A run adds each step to all before it in the epoch, so that the bits do not depend on where
        the runs end.
        """
        if program.batch not in self._parts:
            sizes = {name: value.spec.size for name, value in program.readouts.items()}
            self._parts[program.batch] = sizes, program.zero_sums()
        return self._parts[program.batch][1]

    def add(self, samples: int, rows: int, weights: Array | None) -> None:
        """Count what went in.

        Parameters
        ----------
        samples, rows : int
            A sample of a sequence has several rows.
        weights : ndarray of float64, optional
            The sum of the rows' sample weights in each step; None: 1 for each row.
        """
        self.samples += samples
        self.rows += rows
        if weights is None:
            self.weight += rows
        else:  # one after the other
            self.weight = float(np.cumsum(np.concatenate([[self.weight], weights]))[-1])

    @property
    def sums(self) -> dict[str, Array]:
        """The sums over all steps, by name."""
        sums: dict[str, Array] = {}
        for batch, (sizes, part) in self._parts.items():
            end = 0
            for name, size in sizes.items():
                values, end = part[end : end + size], end + size
                summed = name == "loss" and self.loss.reduction == "sum"
                if summed or term_of(name) is not None:
                    values = values * batch  # a batch counts as often as it has samples
                sums[name] = sums[name] + values if name in sums else values.copy()
        return sums

    def get_state(self) -> dict[str, Any]:
        """What an epoch needs to go on in another process."""
        parts = [[batch, sizes, sums.copy()] for batch, (sizes, sums) in self._parts.items()]
        counts = {name: getattr(self, name) for name in ("samples", "rows", "weight")}
        return {**counts, "parts": parts}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go on from what `get_state` returned."""
        self.samples, self.rows, self.weight = (state[n] for n in ("samples", "rows", "weight"))
        self._parts = {batch: (sizes, np.array(sums)) for batch, sizes, sums in state["parts"]}

    def logs(self) -> dict[str, Any]:
        """Loss and metrics so far, by name in alphabetical order; those of classes are lists."""
        if not self.rows:
            return {}
        sums = self.sums
        error = float(sums["loss"][0] / self.rows)
        terms: dict[str, float] = {}
        for name, part in sums.items():
            if (term := term_of(name)) is not None:
                terms[term] = terms.get(term, 0.0) + float(part[0] / self.samples)
        values: dict[str, Any] = {"loss": error + sum(terms.values())}
        if terms:
            values |= {"error": error, **terms}
        for metric in self.metrics:
            rows = self.weight if metric.weighted else float(self.rows)
            value = metric.from_sums(sums[metric.name], rows)
            values[metric.name] = value.tolist() if isinstance(value, np.ndarray) else value
        return dict(sorted(values.items()))
