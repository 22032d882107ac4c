"""Reports of races: a table for the terminal or Markdown, and JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convkit.bench.machine import Machine
from convkit.bench.race import Race


def table(races: Sequence[Race]) -> str:
    """A Markdown table: one row per case, the first contender against its best peer."""
    lines = [
        "| case | convkit, median ms (quartiles) | best peer | its median ms (quartiles) "
        "| ratio (95 %) | verdict |",
        "|---|---|---|---|---|---|",
    ]
    for r in races:
        ours, peer = r.names[0], r.best_peer()
        ratio, low, high = r.ratio(peer)
        lines.append(
            f"| {r.case} | {_ms(r, ours)} | {peer} | {_ms(r, peer)} "
            f"| {ratio:.2f} ({low:.2f}-{high:.2f}) | {r.verdict(peer)} |"
        )
    return "\n".join(lines)


def _ms(r: Race, name: str) -> str:
    low, high = r.spread(name)
    return f"{r.median(name) * 1e3:.3f} ({low * 1e3:.3f}-{high * 1e3:.3f})"


def markdown(title: str, machine: Machine, races: Sequence[Race], notes: str = "") -> str:
    """A whole report: machine, table, every contender's median."""
    parts = [f"# {title}", "```\n" + str(machine) + "\n```", table(races)]
    if notes:
        parts.append(notes)
    parts.append("Every contender, median ms per step:")
    lines = [
        "| case | contender | median ms | times convkit | outputs differ by |",
        "|---|---|---|---|---|",
    ]
    for r in races:
        for name in r.names:
            ratio = r.median(name) / r.median(r.names[0])
            lines.append(
                f"| {r.case} | {name} | {r.median(name) * 1e3:.3f} | {ratio:.2f} "
                f"| {r.disagreement:.1e} |"
            )
    parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def record(title: str, machine: Machine, races: Sequence[Race]) -> dict[str, Any]:
    """A whole report, for JSON."""
    return {"title": title, "machine": machine.as_dict(), "races": [r.as_dict() for r in races]}


def write(stem: Path, title: str, machine: Machine, races: Sequence[Race], notes: str = "") -> None:
    """Write `stem`.md and `stem`.json."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    stem.with_suffix(".md").write_text(markdown(title, machine, races, notes))
    text = json.dumps(record(title, machine, races), indent=1)
    stem.with_suffix(".json").write_text(text + "\n")
