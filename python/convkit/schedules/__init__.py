"""Learning rates that follow from the number of steps done, and a test that finds one.

A schedule is a function of the step alone: it goes on rightly after a model was loaded.
"""

from convkit.schedules.base import LearningRateSchedule
from convkit.schedules.cosine import CosineDecay, CosineDecayRestarts, OneCycle, Warmup
from convkit.schedules.decay import (
    ExponentialDecay,
    Inv,
    InverseTimeDecay,
    PiecewiseConstantDecay,
    PolynomialDecay,
    StepDecay,
)
from convkit.schedules.range_test import RangeTest, range_test

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "Inv",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "OneCycle",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "RangeTest",
    "StepDecay",
    "Warmup",
    "range_test",
]
