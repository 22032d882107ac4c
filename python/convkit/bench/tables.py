"""The tables of a suite, made of its record alone: for Markdown and for a terminal."""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from convkit.bench.racing import IMPLAUSIBLE, Race

__all__ = ["Table", "milliseconds", "tables"]


_Row = tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """Rows of text.

    Attributes
    ----------
    title : str
    header : tuple of str
    rows : list of tuple of str
    """

    title: str
    header: _Row
    rows: list[_Row]

    def markdown(self) -> str:
        """As Markdown, without the title."""
        if not self.header:
            return ""
        head, *rows = (f"| {' | '.join(cells)} |" for cells in (self.header, *self.rows))
        return "\n".join([head, "|---" * len(self.header) + "|", *rows])

    def text(self, width: int | None = None) -> str:
        """For a terminal.

        Parameters
        ----------
        width : int, optional
            In characters; by default the terminal's, and 170 where there is none.
        """
        from rich import box
        from rich.console import Console
        from rich.table import Table as Rich

        rich = Rich(title=self.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for i, name in enumerate(self.header):
            rich.add_column(name, justify="right" if i else "left", no_wrap=not i, overflow="fold")
        for row in self.rows:
            rich.add_row(*row)
        if width is None:
            terminal = Console()
            width = max(terminal.width, 80) if terminal.is_terminal else 170
        file = io.StringIO()
        Console(file=file, width=width, color_system=None).print(rich)
        return "\n".join(line.rstrip() for line in file.getvalue().strip("\n").splitlines())


def milliseconds(seconds: float) -> str:
    """Milliseconds to three or four digits, however many or few they are."""
    ms = seconds * 1e3
    digits = 3 - math.floor(math.log10(ms)) if ms > 0 else 3
    return f"{ms:.{max(0, digits - 1 if ms < 1 else digits)}f}"


def _spread(r: Race, name: str) -> str:
    low, high = r.spread(name)
    return f"{milliseconds(r.median(name))} ({milliseconds(low)}-{milliseconds(high)})"


def _ratio(r: Race, peer: str | None) -> tuple[str, str]:
    """Ratio with its interval, and the verdict."""
    if peer is None:
        return "-", "no peer was left"
    ratio, low, high = r.ratio(peer)
    return f"{ratio:.2f} ({low:.2f}-{high:.2f})", r.verdict(peer)


def _ratio_alone(r: Race, peer: str | None) -> str:
    """Ratio with its interval where no verdict stands beside it."""
    return f"{_ratio(r, peer)[0]}{', machine busy' if r.mark else ''}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.0%}"


def _of_peak(r: Race, name: str) -> str:
    share = r.share_of_peak(name)
    doubt = " (implausible)" if share is not None and share > IMPLAUSIBLE else ""
    return f"{_percent(share)}{doubt}"


def _peak(r: Race) -> str:
    """Median and range of the peak in the seconds of a race."""
    if r.rates is None:
        return "-"
    peaks = r.rates.peak_gflops
    return f"{r.rates.peak:.0f} ({min(peaks):.0f}-{max(peaks):.0f})"


def _target(case: Mapping[str, Any], r: Race, peer: str | None) -> str:
    """The ratio aimed at, and on which side of it the whole interval lies, if anything follows."""
    target = case["target"]
    if target is None or peer is None:
        return "-"
    _, low, high = r.ratio(peer)
    if r.undecided:
        return f"{target:g}: no verdict"
    outcome = "reached" if low >= target else "missed" if high < target else "within the noise"
    return f"{target:g} {outcome}"


_Entry = tuple[Mapping[str, Any], Race]


def _summary(entries: Sequence[_Entry]) -> list[Table]:
    """One row per case, ours against its best peer; then all contenders."""
    header = (
        "case", "convkit, median ms (quartiles)", "of peak", "best peer",
        "its median ms (quartiles)", "ratio (95 %)", "target", "verdict", "peak GFLOP/s (range)",
    )  # fmt: skip
    rows: list[_Row] = []
    for case, r in entries:
        ours, peer = r.names[0], r.best_peer()
        theirs = ("-", "-") if peer is None else (peer, _spread(r, peer))
        ratio, verdict = _ratio(r, peer)
        rows.append(
            (
                r.case, _spread(r, ours), _of_peak(r, ours), *theirs, ratio,
                _target(case, r, peer), verdict, _peak(r),
            )
        )  # fmt: skip
    return [Table("convkit against its best peer", header, rows), _contenders(entries)]


def _contenders(entries: Sequence[_Entry]) -> Table:
    header = (
        "case", "contender", "median ms", "times convkit (95 %)", "of peak",
        "outputs differ by", "rounds",
    )  # fmt: skip
    rows: list[_Row] = []
    for _, r in entries:
        for name in r.names:
            ratio = "1" if name == r.names[0] else _ratio_alone(r, name)
            common = (f"{r.disagreement:.1e}", str(r.rounds))
            share = _of_peak(r, name)
            rows.append((r.case, name, milliseconds(r.median(name)), ratio, share, *common))
        rows += [(r.case, name, "failed", "-", "-", "-", "-") for name in r.left_out]
    return Table("Every contender", header, rows)


def _layers(entries: Sequence[_Entry]) -> list[Table]:
    header = (
        "layer", "pass", "kernel", "median ms", "GFLOP/s", "of peak", "bound ms", "of bound",
        "best peer", "its GFLOP/s", "ratio (95 %)", "verdict",
    )  # fmt: skip
    rows: list[_Row] = []
    for case, r in entries:
        ours, peer, labels = r.names[0], r.best_peer(), case["labels"]
        t, flops = r.median(ours), r.facts["flops"]
        bound, which = _bound(r)
        ratio, verdict = _ratio(r, peer)
        rate = "-" if peer is None else f"{flops / r.median(peer) / 1e9:.1f}"
        rows.append(
            (
                labels["layer"], labels["pass"], r.facts["kernel"], milliseconds(t),
                f"{flops / t / 1e9:.1f}", _of_peak(r, ours),
                f"{milliseconds(bound)} {which}", _percent(bound / t), peer or "-", rate, ratio,
                verdict,
            )
        )  # fmt: skip
    return [
        Table("Layers; the bound is of compute (c) or memory (m)", header, rows),
        _contenders(entries),
    ]


def _bound(r: Race) -> tuple[float, str]:
    """Seconds of the roofline (Williams, Waterman and Patterson 2009), and which roof it is."""
    assert r.rates is not None
    compute = r.facts["flops"] / r.rates.peak / 1e9
    memory = r.facts["bytes"] / r.rates.copy / 1e9
    return max(compute, memory), "c" if compute > memory else "m"


def _small(entries: Sequence[_Entry]) -> list[Table]:
    """Microseconds of a step, a column for each contender."""
    names = list(dict.fromkeys(name for _, r in entries for name in r.names))
    header = ("case", *(f"{name}, us" for name in names), "ratio to the best peer (95 %)")
    rows: list[_Row] = []
    for _, r in entries:
        cells = (f"{r.median(n) * 1e6:.0f}" if n in r.names else "-" for n in names)
        rows.append((r.case, *cells, _ratio_alone(r, r.best_peer())))
    return [Table("Cost of a step", header, rows), *_summary(entries)]


def _threads(entries: Sequence[_Entry]) -> list[Table]:
    header = (
        "case", "threads", "convkit, median ms", "speed-up", "best peer", "its median ms",
        "its speed-up", "ratio (95 %)", "verdict", "peak GFLOP/s (range)",
    )  # fmt: skip
    single = {case["labels"]["case"]: r for case, r in entries if case["labels"]["threads"] == 1}
    rows: list[_Row] = []
    for case, r in sorted(entries, key=lambda e: _first(entries, e[0]["labels"]["case"])):
        labels, peer = case["labels"], r.best_peer()
        base = single.get(labels["case"])

        def speedup(name: str | None, r: Race = r, base: Race | None = base) -> str:
            if base is None or name is None or name not in base.names:
                return "-"
            return f"{base.median(name) / r.median(name):.2f}"

        ratio, verdict = _ratio(r, peer)
        theirs = ("-", "-") if peer is None else (peer, milliseconds(r.median(peer)))
        rows.append(
            (
                labels["case"], str(labels["threads"]), milliseconds(r.median(r.names[0])),
                speedup(r.names[0]), *theirs, speedup(peer), ratio, verdict, _peak(r),
            )
        )  # fmt: skip
    return [Table("Threads", header, rows)]


def _first(entries: Sequence[_Entry], name: str) -> int:
    return next(i for i, (case, _) in enumerate(entries) if case["labels"]["case"] == name)


def _scaling(entries: Sequence[_Entry]) -> list[Table]:
    header = (
        "axis", "value", "convkit, ms a step", "us a sample", "exponent", "of peak", "best peer",
        "its ms a step", "its exponent", "ratio (95 %)",
    )  # fmt: skip
    rows: list[_Row] = []
    last: dict[str, tuple[int, Race]] = {}
    for case, r in entries:
        axis, value = case["labels"]["axis"], case["labels"]["value"]
        ours, peer = r.names[0], r.best_peer()
        grown = functools.partial(_exponent, last.get(axis), (value, r))

        theirs = ("-", "-") if peer is None else (peer, milliseconds(r.median(peer)))
        samples = r.facts.get("samples", 1)
        rows.append(
            (
                axis, str(value), milliseconds(r.median(ours)),
                f"{r.median(ours) * 1e6 / samples:.1f}", grown(ours),
                _of_peak(r, ours), *theirs, grown(peer), _ratio_alone(r, peer),
            )
        )  # fmt: skip
        last[axis] = value, r
    return [Table("How cost grows", header, rows), _contenders(entries)]


def _exponent(before: tuple[int, Race] | None, now: tuple[int, Race], name: str | None) -> str:
    """The b of ``time = a value^b`` through two points."""
    if before is None or name is None or name not in before[1].names:
        return "-"
    grown = now[1].median(name) / before[1].median(name)
    return f"{math.log(grown) / math.log(now[0] / before[0]):.2f}"


def _memory(record: Mapping[str, Any]) -> list[Table]:
    header = (
        "case", "contender", "peak MB", "of the least of the others", "before the first step, MB",
        "allocations a step", "page faults a step",
    )  # fmt: skip
    rows: list[_Row] = []
    for case in record["cases"]:
        found = case["memory"]["contenders"]
        peaks = [m["peak_mb"] for m in found.values()]
        least = min(peaks[1:], default=math.nan)
        for name, m in found.items():
            count = m["allocations_per_step"]
            rows.append(
                (
                    case["name"], name, f"{m['peak_mb']:,.0f}",
                    "-" if math.isnan(least) else f"{m['peak_mb'] / least:.0%}",
                    f"{m['before_mb']:,.0f}", "-" if count is None else f"{count:,.0f}",
                    f"{m['faults_per_step']:,.0f}",
                )
            )  # fmt: skip
    made = [Table("Peak memory of a process, and allocations", header, rows)]
    extra = record["extra"]
    if "import" in extra:
        rows = []
        for name, e in extra["import"].items():
            low, high = (1e3 * q for q in e["quartiles_s"])
            more = f"{e['more_s'] * 1e3:.1f}" if e["more_than"] else "-"
            cell = f"{e['median_s'] * 1e3:.1f} ({low:.1f}-{high:.1f})"
            rows.append((name, cell, e["more_than"] or "-", more))
        columns = ("a fresh interpreter that imports", "ms (quartiles)", "more than", "by ms")
        made.append(Table("What importing costs", columns, rows))
    if "wheel" in extra:
        rows = [
            (w["part"], *(f"{w[size] / 1e3:.0f}" for size in ("packed", "plain")))
            for w in extra["wheel"]
        ]
        made.append(Table("The wheel", ("part", "packed kB", "unpacked kB"), rows))
    return made


_MAKERS: dict[str, Callable[[Sequence[_Entry]], list[Table]]] = {
    "layers": _layers,
    "scaling": _scaling,
    "small": _small,
    "threads": _threads,
}


def tables(record: Mapping[str, Any]) -> list[Table]:
    """The tables of a suite, the summary first.

    Parameters
    ----------
    record : dict
        As `convkit.bench.report.Report.as_dict` gives it.
    """
    if record["suite"] == "memory":
        return _memory(record) if record["cases"] or record["extra"] else []
    entries = [(case, Race.from_dict(case["race"])) for case in record["cases"]]
    return _MAKERS.get(record["suite"], _summary)(entries) if entries else []
