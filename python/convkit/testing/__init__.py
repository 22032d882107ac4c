"""Proof: compare executors, check gradients, race a kernel against its reference."""

from convkit.testing.compare import Difference, compare
from convkit.testing.gradients import GradientReport, check_gradients

__all__ = ["Difference", "GradientReport", "check_gradients", "compare"]
