"""How many random patterns a Hopfield network holds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from convkit.models.hopfield.discrete import Hopfield
from convkit.random import generator

__all__ = ["CapacityPoint", "bit_error", "capacity_curve"]


@dataclass(frozen=True)
class CapacityPoint:
    """What a network holds at one load.

    Attributes
    ----------
    load : float
        Patterns per neuron, as they were: patterns / n.
    patterns : int
    bit_error : float
        Share of the bits of stored patterns that one step from the pattern changes.
    limit, expected : float
        `bit_error` of the load in theory for Hebb's rule: in a network without end, and in one of
        n neurons.
    sigma : float
        Standard error of `bit_error`: by the scatter of the networks, or by the number of bits if
        that gives more. (Bits of one network are not independent.)
    overlap : float
        Mean overlap of a stored pattern with the state that the network ends in when it starts
        there.
    """

    load: float
    patterns: int
    bit_error: float
    limit: float
    expected: float
    sigma: float
    overlap: float


def bit_error(load: float, n: int | None = None) -> float:
    """Probability that a bit of a stored pattern is unstable: ``erfc(sqrt(1 / (2 load))) / 2``.

    For random patterns, Hebb's rule and a large network: the other patterns add to the field of
    the bit, which is 1, normal noise of variance `load` (Hertz, Krogh and Palmer 1991, section
    2.2). In n neurons without self-coupling the noise is a sum of (n - 1)(P - 1) signs, the field
    is n - 1, and a tie changes nothing: the same function, of slightly other numbers.

    Parameters
    ----------
    load : float
        Patterns per neuron.
    n : int, optional
        Neurons; by default the limit of large n.

    Returns
    -------
    float
    """
    if n is None:
        return math.erfc(math.sqrt(1 / (2 * load))) / 2
    others = round(load * n) - 1
    if others < 1:
        return 0.0
    signs = (n - 1) * others
    # The sum of the signs moves in steps of 2; the normal curve is cut between two of them.
    cut = n - 1 + (1 if (signs - (n - 1)) % 2 == 0 else 0)
    return math.erfc(cut / math.sqrt(2 * signs)) / 2


def capacity_curve(
    n: int,
    loads: Iterable[float],
    *,
    rule: str = "hebb",
    trials: int = 4,
    probes: int = 100,
    max_sweeps: int = 50,
    seed: int = 0,
) -> list[CapacityPoint]:
    """Store random patterns at several loads and measure what is left of them.

    Parameters
    ----------
    n : int
        Neurons; 1000 and more where theory for large networks is to hold.
    loads : iterable of float
        Patterns per neuron; rounded to whole patterns.
    rule : str
        As in `Hopfield`.
    trials : int
        Networks per load.
    probes : int
        Patterns per network from which asynchronous recall starts; all are used for the bit error.
    max_sweeps : int
    seed : int

    Returns
    -------
    list of CapacityPoint

    Raises
    ------
    ValueError
        If a load makes no pattern or a number is not positive.
    """
    if min(trials, probes, max_sweeps) < 1:
        raise ValueError("[capacity_curve] trials, probes and max_sweeps must be at least 1")
    points = []
    for load in loads:
        count = round(load * n)
        if count < 1:
            raise ValueError(f"[capacity_curve] load {load} of {n} neurons makes no pattern")
        errors, overlaps = [], []
        for trial in range(trials):
            rng = generator(seed, count, trial)
            net = Hopfield(n, rule)
            net.store(rng.integers(0, 2, (count, n)) * 2 - 1)
            patterns = net.patterns
            step = net.recall(patterns, "synchronous", max_sweeps=1)
            errors.append(float((step.states != patterns).mean()))
            starts = patterns[:probes]
            end = net.recall(starts, max_sweeps=max_sweeps)
            overlaps.append(float((end.states * starts).mean()))
        limit, expected = bit_error(count / n), bit_error(count / n, n)
        sigma = math.sqrt(expected * (1 - expected) / (trials * count * n))
        if trials > 1:
            sigma = max(sigma, float(np.std(errors, ddof=1)) / math.sqrt(trials))
        measured = float(np.mean(errors)), limit, expected, sigma, float(np.mean(overlaps))
        points.append(CapacityPoint(count / n, count, *measured))
    return points
