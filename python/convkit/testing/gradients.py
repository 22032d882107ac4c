"""Gradient check: every entry against central differences in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.ops.differences import compare_entry
from convkit.run.executor import Executor, make_executor
from convkit.testing.probe import Probe, probe

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter
    from convkit.models.model import Model


@dataclass(frozen=True)
class GradientReport:
    """Result of `check_gradients`.

    Attributes
    ----------
    passed : bool
    entries : int
        How many gradient entries were compared.
    skipped : int
        Entries where the loss has a kink within every step tried, so that central differences say
        nothing. Whether it has one is read off the loss alone, never off the gradient.
    worst : float
        Largest relative error.
    parameter : str
        Where it is.
    position : tuple of int
    gradient, difference : float
        The gradient there, and the central difference.
    tolerance : float
    """

    passed: bool
    entries: int
    skipped: int
    worst: float
    parameter: str
    position: tuple[int, ...]
    gradient: float
    difference: float
    tolerance: float

    def __str__(self) -> str:
        verdict = "pass" if self.passed else "FAIL"
        at = ", ".join(map(str, self.position))
        return (
            f"{verdict}: {self.entries} gradient entries, worst relative error {self.worst:.2e} "
            f"(tolerance {self.tolerance:.0e}) at {self.parameter}[{at}]: gradient "
            f"{self.gradient:.10g}, central difference {self.difference:.10g}; "
            f"{self.skipped} entries at kinks skipped"
        )


class _Loss:
    """The loss of one batch as a function of the parameters, in float64."""

    def __init__(self, job: Probe, kind: str) -> None:
        self.job = job
        self.store = job.store
        self.executor: Executor = make_executor(kind, job.program, job.store)
        self.objective = job.objective

    def __call__(self) -> float:
        sums = self.job.program.zero_sums()
        error = self.executor.run(self.job.data, 1, self.job.step, None, sums).error
        if error is not None:
            raise error
        return self.objective(sums)


def check_gradients(
    model: Model,
    x: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    executor: str = "native",
    step: float = 1e-3,
    tolerance: float = 1e-6,
    max_entries: int | None = None,
) -> GradientReport:
    """Compare every gradient entry of a model with central differences in float64.

    Parameters
    ----------
    model : Model
        Compiled. It is checked with its present parameters, which do not change.
    x, y : array_like
        One small batch: each entry costs four forward passes.
    sample_weight : array_like, optional
    executor : str
        "native" checks the float64 kernels, "reference" the NumPy references.
    step : float
        Step of the differences, relative to max(1, |w|).
    tolerance : float
        On ``|gradient - difference| / max(1e-3, |gradient|, |difference|)``.
    max_entries : int, optional
        Check this many entries per parameter, evenly spaced; by default all.

    Returns
    -------
    GradientReport
        Print it; it names the worst entry.
    """
    job = probe(model, x, y, sample_weight=sample_weight, dtype="float64", update=False)
    loss = _Loss(job, executor)
    middle = loss()
    gradients = job.store.gradients.copy()
    flat = job.store.parameters
    worst: tuple[float, Parameter | None, int, float, float] = (-1.0, None, 0, 0.0, 0.0)
    entries = skipped = 0
    for p in job.store.members:
        if not p.trainable:
            continue
        size = int(np.prod(p.shape))
        count = size if max_entries is None else min(size, max_entries)
        for k in np.linspace(0, size - 1, count).astype(int) if count else ():
            at = p.offset + int(k)
            g = float(gradients[at])
            error, d, smooth = compare_entry(loss, flat, at, g, middle, tolerance, step)
            if not smooth and np.isfinite((g, middle)).all():
                skipped += 1
                continue
            entries += 1
            if error > worst[0]:
                worst = (error, p, int(k), g, d)
    error, parameter, k, g, d = worst
    path = parameter.path if parameter is not None else ""
    position = np.unravel_index(k, parameter.shape) if parameter is not None else ()
    return GradientReport(
        entries > 0 and error <= tolerance, entries, skipped, max(error, 0.0), path,
        tuple(int(n) for n in position), g, d, tolerance,
    )  # fmt: skip
