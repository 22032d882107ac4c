"""Hopfield networks: associative memories, and energies that solve problems."""

from convkit.models.hopfield.capacity import CapacityPoint, bit_error, capacity_curve
from convkit.models.hopfield.continuous import ContinuousHopfield, Trajectory
from convkit.models.hopfield.discrete import Hopfield, Recall
from convkit.models.hopfield.problems import (
    QueensResult,
    TSPResult,
    anneal,
    hopfield_queens,
    hopfield_tank_network,
    hopfield_tsp,
    queens_network,
    tsp_network,
)

__all__ = [
    "CapacityPoint",
    "ContinuousHopfield",
    "Hopfield",
    "QueensResult",
    "Recall",
    "TSPResult",
    "Trajectory",
    "anneal",
    "bit_error",
    "capacity_curve",
    "hopfield_queens",
    "hopfield_tank_network",
    "hopfield_tsp",
    "queens_network",
    "tsp_network",
]
