"""Honest races: interleaved in one run, outputs compared before anything is timed."""

from convkit.bench.machine import Machine, measure
from convkit.bench.race import Contender, Race, race

__all__ = ["Contender", "Machine", "Race", "measure", "race"]
