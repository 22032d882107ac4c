"""Proof: check a kernel against its reference, compare executors, check gradients."""

from convkit.testing.check import CaseReport, KernelReport, check_kernel
from convkit.testing.compare import Difference, compare
from convkit.testing.gradients import GradientReport, check_gradients

__all__ = [
    "CaseReport",
    "Difference",
    "GradientReport",
    "KernelReport",
    "check_gradients",
    "check_kernel",
    "compare",
]
