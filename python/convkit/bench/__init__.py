"""Honest races: interleaved in one run, outputs compared before anything is timed.

`run_suite` runs what ``convkit bench SUITE`` runs, `race` contenders of your own.
"""

from convkit.bench.machine import Machine, Rates, measure
from convkit.bench.process import Contender
from convkit.bench.race import Race, race
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
