"""Honest races: interleaved in one run, outputs compared before anything is timed.

`run_suite` runs what ``convkit bench SUITE`` runs, `race` contenders of your own.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convkit.bench.machine import Machine, Rates, measure
    from convkit.bench.process import Contender
    from convkit.bench.racing import Race, race
    from convkit.bench.report import Report
    from convkit.bench.suites import SUITES, run_suite

__all__ = [
    "SUITES",
    "Contender",
    "Machine",
    "Race",
    "Rates",
    "Report",
    "measure",
    "race",
    "run_suite",
]

# Loaded at first use: the process of a contender is to hold nothing that it does not need.
_HOMES = {
    "machine": ("Machine", "Rates", "measure"),
    "process": ("Contender",),
    "racing": ("Race", "race"),
    "report": ("Report",),
    "suites": ("SUITES", "run_suite"),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            module = importlib.import_module(f"convkit.bench.{home}")
            for each in names:
                globals()[each] = getattr(module, each)
            return globals()[name]
    raise AttributeError(f"module 'convkit.bench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(set(__all__) | set(globals()))
