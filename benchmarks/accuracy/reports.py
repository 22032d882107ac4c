"""Reports in Markdown, for the scripts beside this one: their parts, and the file."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from convkit.bench.machine import measure

RESULTS = Path(__file__).parents[1] / "results"


def head(title: str) -> list[str]:
    """The title, and the machine as it is now."""
    return [f"# {title}", block(str(measure()))]


def block(text: str) -> str:
    """Text that stays as it is."""
    return f"```\n{text}\n```"


def table(head: str, rows: Iterable[str]) -> str:
    """A table; cells are separated by " | "."""
    bars = "|" + "---|" * (head.count("|") + 1)
    return "\n".join([f"| {head} |", bars, *(f"| {row} |" for row in rows)])


def curve(name: str, values: Iterable[float], form: str = ".4f") -> str:
    """A line with the figure after each epoch."""
    return f"{name}: " + " ".join(f"{value:{form}}" for value in values)


def outcome(good: bool) -> str:
    """How it is called that a goal is reached or not."""
    return "reached" if good else "MISSED"


def verdict(value: float, goal: float, *, rises: bool = True) -> str:
    """Whether the goal is reached; `rises`: more is better."""
    return outcome(value >= goal if rises else value <= goal)


def seeds_table(what: str, figure: str, rows: Iterable[str]) -> str:
    """A table of recipes that are run with several seeds each, from `seeds_row`."""
    return table(f"{what} | seeds | {figure}, mean | of each seed | goal | seconds a seed", rows)


def seeds_row(
    recipe: str,
    seeds: Sequence[int],
    figures: Sequence[float],
    goal: float,
    seconds: Sequence[float],
    *,
    rises: bool = True,
) -> str:
    """A recipe's shares with each seed; their mean is what the goal is for."""
    mean = statistics.mean(figures)
    each = ", ".join(f"{figure:.2%}" for figure in figures)
    return (
        f"{recipe} | {', '.join(map(str, seeds))} | {mean:.2%} | {each} | "
        f"{goal:.1%} {verdict(mean, goal, rises=rises)} | {statistics.median(seconds):.0f}"
    )


def write_report(name: str, parts: Iterable[str]) -> None:
    """Write the parts, with an empty line between them, as ``results/NAME.md``."""
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text("\n\n".join(parts) + "\n")
