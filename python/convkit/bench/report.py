"""Reports of suites: a record in JSON, and the tables, Markdown and plot that it makes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from convkit.bench.load import BUSY, TOO_BUSY, Load
from convkit.bench.machine import Machine
from convkit.bench.racing import Race
from convkit.bench.tables import Table, tables
from convkit.errors import missing_extra
from convkit.saving.files import replace_file, writable_place

__all__ = ["PLOT_FORMATS", "Report", "check_outputs"]

FORMAT = 1
PLOT_FORMATS = (".pdf", ".png", ".svg")


class Report:
    """What a suite found.

    Attributes
    ----------
    suite, title, notes : str
    options : dict
        What was asked for.
    unset : list of str
        Variables that this process has and that its contenders did not get.
    machine : Machine, optional
        None until a case is over.
    planned : list of str
        Names of the cases that were to run.
    ended : str
        Why not all of them did, if the suite itself ended before.
    cases : list of dict
        Of each case ``"race"``, as `Race.as_dict` gives it, or ``"memory"``; ``"target"`` and
        ``"labels"``.
    failed : dict of str to str
        Cases that came to no result, and why.
    seconds : dict of str to float
        How long each case took, its preparations included.
    extra : dict
        What else a suite measured: what importing costs, the parts of a wheel.
    unwritten : dict of str to str
        Files that could not be written when they last should have been, and why; not in the record.
    """

    def __init__(self, suite: str, title: str, notes: str, options: Mapping[str, Any]) -> None:
        self.suite = suite
        self.title = title
        self.notes = notes
        self.options = dict(options)
        self.unset: list[str] = []
        self.machine: Machine | None = None
        self.planned: list[str] = []
        self.ended = ""
        self.cases: list[dict[str, Any]] = []
        self.failed: dict[str, str] = {}
        self.seconds: dict[str, float] = {}
        self.extra: dict[str, Any] = {}
        self.unwritten: dict[str, str] = {}

    @classmethod
    def begin(
        cls, suite: str, title: str, notes: str, options: Any, unset: Sequence[str]
    ) -> Report:
        """An empty report."""
        given = {k: list(v) if isinstance(v, tuple) else v for k, v in vars(options).items()}
        if options.wheel is not None:
            given["wheel"] = Path(options.wheel).name  # where it lay is of one machine
        report = cls(suite, title, notes, given)
        report.unset = list(unset)
        return report

    def add(self, name: str, race: Race, target: float | None, labels: Mapping[str, Any]) -> None:
        """Append a race."""
        entry = {"name": name, "target": target, "labels": dict(labels), "race": race.as_dict()}
        self.cases.append(entry)

    @property
    def races(self) -> list[Race]:
        """The races, in their order."""
        return [Race.from_dict(case["race"]) for case in self.cases if "race" in case]

    def as_dict(self) -> dict[str, Any]:
        """For JSON: everything that the tables and the plot are made of."""
        return {
            "format": FORMAT,
            "suite": self.suite,
            "title": self.title,
            "options": self.options,
            "unset": self.unset,
            "planned": self.planned,
            "ended": self.ended,
            "machine": None if self.machine is None else self.machine.as_dict(),
            "cases": self.cases,
            "failed": self.failed,
            "seconds": self.seconds,
            "extra": self.extra,
            "notes": self.notes,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Report:
        """Read what `as_dict` gives.

        Raises
        ------
        ValueError
            If it is no record of this format.
        """
        if record.get("format") != FORMAT:
            raise ValueError(
                f"this is no record of `convkit bench` in format {FORMAT}: its format is "
                f"{record.get('format')!r}"
            )
        report = cls(record["suite"], record["title"], record["notes"], record["options"])
        report.machine = Machine.from_dict(record["machine"]) if record["machine"] else None
        report.planned = record.get("planned", [])  # which older records do not have
        report.ended = record.get("ended", "")
        for name in ("unset", "cases", "failed", "seconds", "extra"):
            setattr(report, name, record[name])
        return report

    @classmethod
    def load(cls, path: str | Path) -> Report:
        """Read a JSON file that `run_suite` wrote.

        Raises
        ------
        OSError
            If it cannot be read.
        ValueError
            If it is none, or was cut off.
        """
        try:
            record = json.loads(Path(path).read_text())
            if not isinstance(record, dict):
                raise TypeError(f"it holds {type(record).__name__}, not an object")
            return cls.from_dict(record)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"{path} is no whole record of `convkit bench`: {error}") from None

    def tables(self) -> list[Table]:
        """The suite's tables; the first is the summary."""
        return tables(self.as_dict())

    def _lines(self) -> list[str]:
        """What is to be said beside the tables."""
        lines = []
        lines += self._completeness()
        lines += self._business()
        if self.options.get("quick"):
            lines.append("--quick: short samples, smaller large cases, no torch.compile.")
        if self.unset:
            lines.append(
                f"Unset in every contender: {', '.join(self.unset)}, which would hold OpenBLAS to "
                "another processor's kernels."
            )
        if self.options.get("isa"):
            lines.append(
                f"Everybody was held to {self.options['isa']}: convkit by CONVKIT_ISA, PyTorch by "
                "ONEDNN_MAX_CPU_ISA, ATEN_CPU_CAPABILITY and MKL_ENABLE_INSTRUCTIONS, OpenBLAS by "
                "OPENBLAS_CORETYPE."
            )
        lines += [f"{name} failed: {why}" for name, why in self.failed.items()]
        for case in self.cases:
            left = case.get("race", case.get("memory", {})).get("left_out", {})
            lines += [f"{case['name']}: left out {who}: {why}" for who, why in left.items()]
        return lines

    def _completeness(self) -> list[str]:
        """What was planned and is not there."""
        over = {case["name"] for case in self.cases} | set(self.failed)
        left = [name for name in self.planned if name not in over]
        if not left:
            return []
        why = self.ended or "the run was ended, or is going on"
        done, of = len(self.planned) - len(left), len(self.planned)
        return [f"{done} of {of} cases, as {why}. Not run: {'; '.join(left)}."]

    def _business(self) -> list[str]:
        """What others did to the machine meanwhile."""
        if self.machine is None:
            return []
        lines = []
        load = Load(self.machine.load, self.machine.cpus, self.machine.threads)
        if load.shared >= BUSY:
            lines.append(
                f"The machine was busy with other work, on {load.others:.1f} of its {load.cpus} "
                "processors at most: threads that wait for each other suffer most."
            )
        races = self.races
        marked, unclear = ([r for r in races if test(r)] for test in (_is_marked, _is_too_busy))
        if marked:
            lines.append(
                f"Machine busy: in {len(marked)} of {len(races)} races other work and the threads "
                f"of a contender were {BUSY:g} processors or more beyond those that there are, "
                f"measured in the rounds; from {TOO_BUSY:g} on, as in {len(unclear)}, there is no "
                "verdict."
            )
        return lines

    def markdown(self) -> str:
        """The whole report as Markdown."""
        parts = [f"# {self.title}"]
        if self.machine is not None:
            parts.append(f"```\n{self.machine}\n```")
        first, *others = self.tables() or [Table("", (), [])]
        said = "\n".join(f"- {line}" for line in self._lines())
        parts += [first.markdown(), said, self.notes]
        parts += [f"{table.title}:\n\n{table.markdown()}" for table in others]
        return "\n\n".join(part for part in parts if part) + "\n"

    def text(self, width: int | None = None) -> str:
        """Machine and tables for a terminal."""
        found = [] if self.machine is None else [str(self.machine)]
        found += [table.text(width) for table in self.tables()]
        return "\n\n".join([*found, *self._lines()])

    def write(
        self,
        json_file: str | Path | None = None,
        markdown_file: str | Path | None = None,
        plot_file: str | Path | None = None,
    ) -> None:
        """Write the files that are named; each is there whole or as it was before.

        Raises
        ------
        OSError
            If one cannot be written; see `convkit.saving.files.replace_file`.
        """
        if json_file is not None:
            _write(json_file, json.dumps(self.as_dict(), indent=1) + "\n")
        if markdown_file is not None:
            _write(markdown_file, self.markdown())
        if plot_file is not None:
            self.plot(plot_file)

    def plot(self, path: str | Path) -> None:
        """Draw the ratios with their intervals, and a mark for each target.

        Parameters
        ----------
        path : path
            Ending in .svg, .png or .pdf.

        Raises
        ------
        ImportError
            If matplotlib is absent.
        ValueError
            If the format is another one, or the suite has no races.
        """
        from convkit.bench.plot import draw

        check_outputs(None, None, path)
        draw(self.as_dict(), Path(path))

    def __repr__(self) -> str:
        return f"<Report of {self.suite}: {len(self.cases)} cases, {len(self.failed)} failed>"


def _is_marked(r: Race) -> bool:
    return bool(r.mark)


def _is_too_busy(r: Race) -> bool:
    return r.load is not None and r.load.too_busy


def _write(path: str | Path, text: str) -> None:
    def write(file: IO[bytes]) -> None:
        file.write(text.encode())

    replace_file(path, write)


def check_outputs(
    json_file: str | Path | None, markdown_file: str | Path | None, plot_file: str | Path | None
) -> None:
    """Refuse files that could not be written, before anything takes time.

    Raises
    ------
    ImportError
        If there is to be a plot and no matplotlib.
    OSError
        If a folder does not exist or cannot be written to, or a name is that of a folder, a device
        or a pipe.
    ValueError
        If a plot has a format that is not known, or two outputs are to be one file.
    """
    files = [Path(p) for p in (json_file, markdown_file, plot_file) if p is not None]
    targets: list[Path] = []
    for path in files:
        target = writable_place(path)
        if target in targets:
            raise ValueError(f"{path} is to hold two outputs; name a file for each")
        targets.append(target)
    if plot_file is not None:
        if Path(plot_file).suffix not in PLOT_FORMATS:
            raise ValueError(f"a plot is one of {', '.join(PLOT_FORMATS)}, got {plot_file}")
        if find_spec("matplotlib") is None:
            raise missing_extra("matplotlib", "plot", "drawing a plot of a suite")
