"""The plot of a suite: ratios with their intervals, and the targets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convkit.bench.racing import Race
from convkit.saving.files import replace_file

__all__ = ["draw"]

_COLOURS = {True: "#2a7f62", False: "#b4432f", None: "#7a7a7a"}  # faster, slower, no verdict


def draw(record: Mapping[str, Any], path: Path) -> None:
    """Write a picture: a line for each case, against its best peer.

    Parameters
    ----------
    record : dict
        As `convkit.bench.report.Report.as_dict` gives it.
    path : Path
        Its suffix is the format.

    Raises
    ------
    ValueError
        If there is no race to draw.
    """
    import matplotlib

    races = [(case, Race.from_dict(case["race"])) for case in record["cases"] if "race" in case]
    lines = [(case, r, peer) for case, r in races if (peer := r.best_peer()) is not None]
    if not lines:
        raise ValueError(f"[{record['suite']}] there is no race to draw")
    # Text stays text, and the same record gives the same file.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": record["suite"]}):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 1.2 + 0.32 * len(lines)), layout="constrained")
        axes = figure.add_subplot()
        for y, (case, r, peer) in enumerate(lines):
            ratio, low, high = r.ratio(peer)
            colour = _COLOURS[r.faster(peer)]
            axes.plot([low, high], [y, y], color=colour, linewidth=2, solid_capstyle="butt")
            axes.plot([ratio], [y], "o", color=colour, markersize=5)
            at = axes.get_yaxis_transform()  # at the right edge, at this case's height
            axes.text(1.01, y, f"{ratio:.2f}x {peer}", va="center", fontsize=7, transform=at)
            if case["target"] is not None:
                axes.plot([case["target"]], [y], "|", color="black", markersize=14)
        axes.axvline(1.0, color="black", linewidth=0.8)
        axes.set_xscale("log")
        ticks = [t for t in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100) if _within(t, lines)]
        axes.set_xticks(ticks, [f"{t:g}" for t in ticks])
        axes.set_xticks([], minor=True)
        axes.set_yticks(range(len(lines)), [r.case for _, r, _ in lines], fontsize=8)
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.grid(axis="x", linewidth=0.3)
        axes.set_xlabel(
            "times faster than the best peer: median, 95 % interval; | target; grey: no verdict"
        )
        machine = record["machine"]
        where = (
            f"{machine['cpu']}, {machine['threads']} threads, {machine['isa']}" if machine else ""
        )
        axes.set_title(f"{record['title']}: {where}", fontsize=9, loc="left")
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        form = path.suffix.removeprefix(".")
        replace_file(path, lambda f: figure.savefig(f, format=form, dpi=150, metadata=metadata))


def _within(tick: float, lines: list[tuple[Any, Race, str]]) -> bool:
    """Whether a tick is near what is drawn."""
    values = [1.0]
    for case, r, peer in lines:
        values += r.ratio(peer)[1:]
        if case["target"] is not None:
            values.append(case["target"])
    return min(values) / 2 <= tick <= max(values) * 2
