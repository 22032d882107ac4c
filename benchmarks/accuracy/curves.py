"""Runs of training whose curves are kept as they grow, for the scripts beside this one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import reports

import convkit as ck


@dataclass
class Run:
    """One recipe with one seed.

    Attributes
    ----------
    name, recipe : str
    goal : float
        To reach after the last epoch.
    rises : bool
        Whether more is better.
    seed, epochs : int
    curve : list of float
        The figure after each epoch.
    seconds : float
    """

    name: str
    recipe: str
    goal: float
    rises: bool
    seed: int
    epochs: int
    curve: list[float] = field(default_factory=list)
    seconds: float = 0.0

    def verdict(self) -> str:
        """Whether the goal is reached, as far as the run has come."""
        if len(self.curve) < self.epochs:
            return f"after {len(self.curve)} of {self.epochs} epochs"
        return reports.verdict(self.curve[-1], self.goal, rises=self.rises)


class Report:
    """A file of Markdown that is written anew after each epoch.

    Parameters
    ----------
    name : str or None
        Of the file, as `reports.write_report` takes it; None: nothing is written.
    title, intro : str
    figure : str
        What the curves show.
    form : str
        How a figure is written, such as ".2%".
    """

    def __init__(self, name: str | None, title: str, intro: str, figure: str, form: str) -> None:
        self.name, self.figure, self.form = name, figure, form
        self.head = [*reports.head(title), intro]
        self.runs: list[Run] = []
        self.notes: list[str] = []
        self._start = 0.0

    def begin(self, run: Run) -> None:
        """Start a run."""
        self.runs.append(run)
        self._start = time.perf_counter()
        print(f"{run.name} seed {run.seed}: {run.recipe}", flush=True)

    def add(self, figure: float, **others: float) -> None:
        """Note the figure after one more epoch of the last run."""
        run = self.runs[-1]
        run.curve.append(float(figure))
        run.seconds = time.perf_counter() - self._start
        rest = "".join(f", {name} {value:.4f}" for name, value in others.items())
        print(
            f"  epoch {len(run.curve)}/{run.epochs}: {self.figure} {figure:{self.form}}{rest}, "
            f"{run.seconds:.0f} s",
            flush=True,
        )
        self.write()

    def note(self, text: str) -> None:
        """Add a paragraph to the end."""
        self.notes.append(text)
        self.write()

    def write(self) -> None:
        """Write the file as it is by now."""
        if self.name is None:
            return
        rows = [
            f"{run.recipe} | {run.seed} | {run.curve[-1]:{self.form}} | "
            f"{run.goal:{self.form}} {run.verdict()} | {run.seconds:.0f}"
            for run in self.runs
            if run.curve
        ]
        log = "\n".join(
            reports.curve(f"{run.name} seed {run.seed}", run.curve) for run in self.runs
        )
        parts = [
            *self.head, reports.table(f"recipe | seed | {self.figure} | goal | seconds", rows),
            f"{self.figure[0].upper()}{self.figure[1:]} after each epoch:", reports.block(log),
            *self.notes,
        ]  # fmt: skip
        reports.write_report(self.name, parts)


class Curve(ck.callbacks.Callback):
    """Tells a report about each epoch.

    Parameters
    ----------
    report : Report
    figure : str
        The log that the curve shows.
    others : callable
        Of the logs: what is printed besides, by name.
    """

    def __init__(
        self, report: Report, figure: str, others: Callable[[Any], Mapping[str, float]]
    ) -> None:
        super().__init__()
        self.report, self.figure, self.others = report, figure, others

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.report.add(logs[self.figure], **self.others(logs))
