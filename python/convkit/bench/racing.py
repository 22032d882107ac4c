"""The race: outputs compared, samples interleaved, the machine measured between the rounds."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convkit.bench.machine import Rates, to_digits
from convkit.bench.process import Contender, ContenderError, Crew, Worker
from convkit.ops.registry import Array

__all__ = ["FEWEST", "Race", "disagreement", "paired_ratio", "race"]

FEWEST = 5  # rounds; with fewer, one of two equals wins all of them once in eight races
_WARM_SECONDS = 0.02  # of steps before a sample, in which caches, pages and clock warm up


def paired_ratio(ours: Array, theirs: Array) -> tuple[float, float, float]:
    """Ratio of the medians and its 95 % bootstrap interval.

    Rounds are drawn in pairs, since what disturbs one contender in a round disturbs the other; the
    interval is that of the percentiles (Efron and Tibshirani, "An introduction to the bootstrap",
    1993, chapter 13) over 2,000 draws, the same in every call.

    Parameters
    ----------
    ours, theirs : ndarray, shape (rounds,)
        Seconds.

    Returns
    -------
    ratio, low, high : float
        How many times faster ours is.
    """
    rng = np.random.Generator(np.random.Philox(0))
    draws = rng.integers(0, len(ours), (2000, len(ours)))
    ratios = np.median(theirs[draws], axis=1) / np.median(ours[draws], axis=1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return float(np.median(theirs) / np.median(ours)), float(low), float(high)


@dataclass(frozen=True)
class Race:
    """Result of a race.

    Attributes
    ----------
    case : str
    names : tuple of str
        Who was timed; the first is the one that the ratios are about.
    seconds : dict of str to ndarray
        Seconds per step, one entry per round.
    disagreement : float
        Largest relative difference of the outputs between contenders.
    threads : int
    rates : Rates, optional
        Of the machine, between the rounds.
    left_out : dict of str to str
        Optional contenders that failed, and why.
    facts : dict
        What the first contender says of a step: "flops", "bytes", "samples" where it knows them.
    """

    case: str
    names: tuple[str, ...]
    seconds: dict[str, Array]
    disagreement: float
    threads: int
    rates: Rates | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """How many samples there are of each contender."""
        return len(self.seconds[self.names[0]])

    def median(self, name: str) -> float:
        """Median seconds per step."""
        return float(np.median(self.seconds[name]))

    def spread(self, name: str) -> tuple[float, float]:
        """Quartiles of the seconds per step."""
        low, high = np.percentile(self.seconds[name], [25, 75])
        return float(low), float(high)

    def ratio(self, other: str) -> tuple[float, float, float]:
        """How many times faster the first contender is than another, see `paired_ratio`."""
        return paired_ratio(self.seconds[self.names[0]], self.seconds[other])

    def best_peer(self, prefix: str = "") -> str | None:
        """Name of the fastest other contender whose name begins with `prefix`, if there is one."""
        peers = [n for n in self.names[1:] if n.startswith(prefix)]
        return min(peers, key=self.median) if peers else None

    def verdict(self, other: str) -> str:
        """In words; none where the noise exceeds the effect."""
        ratio, low, high = self.ratio(other)
        if self.rounds < FEWEST:
            return f"no verdict: {self.rounds} rounds, fewer than {FEWEST}"
        if low <= 1 <= high:
            return "no verdict: the noise exceeds the difference"
        return f"{ratio:.2f}x faster" if ratio > 1 else f"{1 / ratio:.2f}x slower"

    def share_of_peak(self, name: str) -> float | None:
        """Operations of a step per second, of the peak measured in the same seconds."""
        flops = self.facts.get("flops")
        if not flops or self.rates is None:
            return None
        return float(flops / self.median(name) / self.rates.peak / 1e9)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the samples, and what follows from them."""
        rows: dict[str, Any] = {}
        for name in self.names:
            rows[name] = {"median_s": self.median(name), "quartiles_s": list(self.spread(name))}
            if name != self.names[0]:
                rows[name]["ratio"], *rows[name]["ratio_95"] = self.ratio(name)
                rows[name]["verdict"] = self.verdict(name)
            rows[name]["samples_s"] = self.seconds[name].tolist()
        return {
            "case": self.case,
            "threads": self.threads,
            "rounds": self.rounds,
            "disagreement": self.disagreement,
            "contenders": rows,
            "left_out": self.left_out,
            "rates": None if self.rates is None else self.rates.as_dict(),
            "facts": self.facts,
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Race:
        """Read what `as_dict` gives."""
        rows = record["contenders"]
        return cls(
            case=record["case"],
            names=tuple(rows),
            seconds={name: np.asarray(row["samples_s"], float) for name, row in rows.items()},
            disagreement=record["disagreement"],
            threads=record["threads"],
            rates=Rates.from_dict(record["rates"]) if record["rates"] else None,
            left_out=dict(record["left_out"]),
            facts=dict(record["facts"]),
        )


_Outputs = dict[str, list[float]]


def disagreement(ours: _Outputs, theirs: _Outputs, tolerance: float) -> tuple[float, str]:
    """Largest difference of any output, relative to its largest value, and what is wrong if so.

    How weights change may differ by ten times the tolerance: where a rounding turns a ReLU or the
    winner of a pooling, gradients jump.
    """
    if ours.keys() != theirs.keys():
        name = next(iter(ours.keys() ^ theirs.keys()))
        return float("nan"), f"different outputs: {name!r} is of one of them only"
    worst = 0.0
    for name, values in ours.items():
        a, b = np.asarray(values, float), np.asarray(theirs[name], float)
        if a.shape != b.shape:
            return float("nan"), f"different outputs: {name} has {b.size} values, not {a.size}"
        if not a.size:
            return float("nan"), f"{name} is empty"
        difference = float(np.max(np.abs(a - b)) / max(float(np.max(np.abs(a))), 1e-30))
        allowed = tolerance * (10 if name.startswith("change") else 1)
        if not difference <= allowed:
            return difference, f"{name} differs by {difference:.2e}, tolerance {allowed:.0e}"
        worst = max(worst, difference)
    return worst, ""


class _Field:
    """Those who are still in a race, and why the others are not."""

    def __init__(self, contenders: Sequence[Contender]) -> None:
        self.contenders = {c.name: c for c in contenders}
        self.workers: dict[str, Worker] = {}
        self.left_out: dict[str, str] = {}

    def attempt(self, name: str, action: Callable[..., Any], *arguments: Any) -> Any:
        """Result of an action for a contender; None where it fails and is optional."""
        try:
            return action(*arguments)
        except (ContenderError, ArithmeticError) as error:
            if not self.contenders[name].optional:
                raise
            self.workers.pop(name, None)
            self.left_out[name] = str(error)
            return None


def _steps_per_sample(worker: Worker, sample_seconds: float) -> int:
    """Warm up, and find how many steps a sample has: one where a step takes longer than that."""
    once = worker.seconds(1)
    if once >= sample_seconds:  # the first step also prepares what the others find
        once = worker.seconds(1)
    if once < sample_seconds:
        worker.seconds(3)
        once = worker.seconds(3) / 3
    return max(1, min(100_000, round(sample_seconds / max(once, 1e-9))))


def race(
    case: str,
    contenders: Sequence[Contender],
    *,
    rounds: int = 21,
    sample_seconds: float = 0.05,
    threads: int | None = None,
    isa: str | None = None,
    tolerance: float = 1e-3,
    time_limit: float | None = None,
    timeout: float = 600.0,
    crew: Crew | None = None,
) -> Race:
    """Race contenders against each other in one run.

    Each has a process of its own with the same number of threads. Outputs are compared first; then
    every contender warms up; then each round takes one sample of every contender, in an order drawn
    anew for each round. Those whose turn it is not are stopped, as the threads of some libraries
    spin for a while when they have nothing to do; so whoever's turn it is takes some steps that do
    not count first. Between the rounds the peak of the machine, its copy bandwidth and its clock
    are measured.

    Parameters
    ----------
    case : str
        What is raced, for reports.
    contenders : sequence of Contender
        The first is the one that ratios are about. One of the others that is optional may fail or
        disagree: it is left out then, and the result says why.
    rounds : int
        At least 1; there is no verdict from fewer than five.
    sample_seconds : float
        About how long one sample lasts; one step at least.
    threads : int, optional
        Of each contender; by default all processors that this process may use.
    isa : str, optional
        Instruction set that everybody is held to, see `convkit.bench.machine`.
    tolerance : float
        On the difference of the outputs, relative to the largest value of each; for outputs whose
        name begins with "change" ten times that.
    time_limit : float, optional
        Seconds after which no further round begins, once there are five.
    timeout : float
        Seconds that one answer of a contender may take.
    crew : Crew, optional
        Processes to use and to keep; it decides on threads, ISA and timeout then.

    Returns
    -------
    Race

    Raises
    ------
    ArithmeticError
        If the outputs differ: there is nothing to time then.
    RuntimeError
        If a contender fails, ends or hangs; the message has its name and the reason.
    ValueError
        If there is no contender, two have one name, or a number is out of range.
    """
    names = [c.name for c in contenders]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"race {case!r} needs contenders with different names, got {names}")
    if rounds < 1:
        raise ValueError(f"race {case!r}: rounds must be at least 1, got {rounds}")
    if crew is None:
        with Crew(threads, isa, timeout) as own:
            return _race(case, contenders, rounds, sample_seconds, tolerance, time_limit, own)
    return _race(case, contenders, rounds, sample_seconds, tolerance, time_limit, crew)


def _race(
    case: str,
    contenders: Sequence[Contender],
    rounds: int,
    sample_seconds: float,
    tolerance: float,
    time_limit: float | None,
    crew: Crew,
) -> Race:
    first = contenders[0].name
    field_ = _Field(contenders)
    crew.rest({c.name for c in contenders})
    outputs: dict[str, _Outputs] = {}
    worst, steps = 0.0, {}

    def begin(contender: Contender) -> None:
        nonlocal worst
        name = contender.name
        worker = crew.load(contender)
        found = worker.call("outputs")[0]
        if name != first:
            difference, wrong = disagreement(outputs[first], found, tolerance)
            if wrong:
                raise ArithmeticError(f"race {case!r}: {name} disagrees with {first}: {wrong}")
            worst = max(worst, difference)
        outputs[name], field_.workers[name] = found, worker

    for contender in contenders:
        field_.attempt(contender.name, begin, contender)
    for name, worker in list(field_.workers.items()):
        steps[name] = field_.attempt(name, _steps_per_sample, worker, sample_seconds)
        worker.stop()
    yardstick = crew.yardstick()
    yardstick.call("restart")
    rng = np.random.Generator(np.random.Philox(1))
    seconds: dict[str, list[float]] = {name: [] for name in field_.workers}
    start = time.perf_counter()
    for n in range(rounds):
        if time_limit is not None and n >= FEWEST and time.perf_counter() - start > time_limit:
            break
        # Copying takes longest; a third of the rounds give samples enough.
        yardstick.call("sample", copy=n % 3 == 0)
        yardstick.stop()
        names = list(field_.workers)
        for name in (names[i] for i in rng.permutation(len(names))):
            worker = field_.workers[name]
            seconds[name].append(field_.attempt(name, _sample, worker, steps[name], sample_seconds))
    timed = [name for name in seconds if name in field_.workers]
    return Race(
        case,
        tuple(timed),
        {name: np.asarray(seconds[name]) for name in timed},
        worst,
        crew.threads,
        crew.rates(),
        field_.left_out,
        field_.workers[first].facts(),
    )


def _sample(worker: Worker, steps: int, sample_seconds: float) -> float:
    """Seconds of a step."""
    warm = min(_WARM_SECONDS / sample_seconds, 1.0)
    if steps > 1:
        worker.seconds(max(1, round(warm * steps)))
    seconds = to_digits(worker.seconds(steps) / steps)
    worker.stop()
    return seconds
