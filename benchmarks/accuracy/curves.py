"""Runs of training whose curves are kept as they grow, for the scripts beside this one."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from convkit.bench.machine import measure


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
        good = self.curve[-1] >= self.goal if self.rises else self.curve[-1] <= self.goal
        return "reached" if good else "MISSED"


class Report:
    """A file of Markdown that is written anew after each epoch.

    Parameters
    ----------
    path : Path or None
        None: nothing is written.
    title, intro : str
    figure : str
        What the curves show.
    form : str
        How a figure is written, such as ".2%".
    """

    def __init__(self, path: Path | None, title: str, intro: str, figure: str, form: str) -> None:
        self.path = path
        self.title, self.intro, self.figure, self.form = title, intro, figure, form
        self.machine = str(measure())
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
        if self.path is None:
            return
        rows = [
            f"| {run.recipe} | {run.seed} | {run.curve[-1]:{self.form}} | "
            f"{run.goal:{self.form}} {run.verdict()} | {run.seconds:.0f} |"
            for run in self.runs
            if run.curve
        ]
        head = f"| recipe | seed | {self.figure} | goal | seconds |\n|---|---|---|---|---|\n"
        log = "\n".join(
            f"{run.name} seed {run.seed}: " + " ".join(f"{value:.4f}" for value in run.curve)
            for run in self.runs
        )
        parts = [
            f"# {self.title}", f"```\n{self.machine}\n```", self.intro, head + "\n".join(rows),
            f"{self.figure[0].upper()}{self.figure[1:]} after each epoch:", f"```\n{log}\n```",
            *self.notes,
        ]  # fmt: skip
        self.path.parent.mkdir(exist_ok=True)
        self.path.write_text("\n\n".join(parts) + "\n")
