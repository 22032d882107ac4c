"""The race: outputs compared, samples interleaved, the machine measured between the rounds."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convkit.bench.load import Load, OtherWork
from convkit.bench.machine import Rates, to_digits
from convkit.bench.outputs import TOLERANCE, Outputs, disagreement, outputs_of
from convkit.bench.process import Contender, ContenderError, Crew, Worker
from convkit.checks import number, whole
from convkit.errors import did_you_mean
from convkit.ops.registry import Array

__all__ = ["FEWEST", "IMPLAUSIBLE", "Race", "paired_ratio", "race"]

FEWEST = 5  # rounds; with fewer, one of two equals wins all of them once in eight races
# Of the peak, with operations of direct convolutions: Winograd's 3 x 3 has a quarter of them. More
# is no kernel, whatever the clock.
IMPLAUSIBLE = 4.5
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
    load : Load, optional
        What others did in the rounds, where the system says so.
    """

    case: str
    names: tuple[str, ...]
    seconds: dict[str, Array]
    disagreement: float
    threads: int
    rates: Rates | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    load: Load | None = None

    def _samples(self, name: str) -> Array:
        if name in self.left_out:
            raise ValueError(f"race {self.case!r}: {name} was left out: {self.left_out[name]}")
        if name not in self.seconds:
            near = did_you_mean(name, self.seconds)
            raise ValueError(f"race {self.case!r} has no contender {name!r}{near}")
        return self.seconds[name]

    @property
    def rounds(self) -> int:
        """How many samples there are of each contender."""
        return len(self.seconds[self.names[0]])

    def median(self, name: str) -> float:
        """Median seconds per step."""
        return float(np.median(self._samples(name)))

    def spread(self, name: str) -> tuple[float, float]:
        """Quartiles of the seconds per step."""
        low, high = np.percentile(self._samples(name), [25, 75])
        return float(low), float(high)

    def ratio(self, other: str) -> tuple[float, float, float]:
        """How many times faster the first contender is than another, see `paired_ratio`."""
        return paired_ratio(self._samples(self.names[0]), self._samples(other))

    def best_peer(self, prefix: str = "") -> str | None:
        """Name of the fastest other contender whose name begins with `prefix`, if there is one."""
        peers = [n for n in self.names[1:] if n.startswith(prefix)]
        return min(peers, key=self.median) if peers else None

    @property
    def undecided(self) -> str:
        """Why nothing follows from any ratio of this race; empty where something may."""
        if self.rounds < FEWEST:
            return f"{self.rounds} rounds, fewer than {FEWEST}"
        return self.mark if self.load is not None and self.load.too_busy else ""

    @property
    def mark(self) -> str:
        """What is said beside its results where others kept the machine busy, else empty."""
        return "" if self.load is None else self.load.mark

    def faster(self, other: str) -> bool | None:
        """Whether the first contender is; None where nobody can say so."""
        _, low, high = self.ratio(other)
        return None if self.undecided or low <= 1 <= high else low > 1

    def verdict(self, other: str) -> str:
        """In words; none where the noise exceeds the effect, or the machine was too busy."""
        ratio = self.ratio(other)[0]
        faster = self.faster(other)
        if self.undecided:
            return f"no verdict: {self.undecided}"
        if faster is None:
            words = "no verdict: the noise exceeds the difference"
        else:
            words = f"{ratio:.2f}x faster" if faster else f"{1 / ratio:.2f}x slower"
        return f"{words} ({self.mark})" if self.mark else words

    def share_of_peak(self, name: str) -> float | None:
        """Operations of a step per second, of the peak measured in the same seconds.

        More than `IMPLAUSIBLE` says that the operations are not what was stated, or that the peak
        was measured while others held the machine.
        """
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
            "load": None if self.load is None else self.load.as_dict(),
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
            load=Load(**record["load"]) if record.get("load") else None,
        )


class _Field:
    """Those who are still in a race, and why the others are not."""

    def __init__(self, contenders: Sequence[Contender]) -> None:
        self.first = contenders[0].name
        self.contenders = {c.name: c for c in contenders}
        self.workers: dict[str, Worker] = {}
        self.left_out: dict[str, str] = {}

    def attempt(self, name: str, action: Callable[..., Any], *arguments: Any) -> Any:
        """Result of an action for a contender; None where it fails and is optional.

        The first is never optional: without it there is nothing to compare with.
        """
        try:
            return action(*arguments)
        except (ContenderError, ArithmeticError) as error:
            if name == self.first or not self.contenders[name].optional:
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
    tolerance: float = TOLERANCE,
    time_limit: float | None = None,
    deadline: float | None = None,
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
        The first is the one that ratios are about, and has to finish. One of the others that is
        optional may fail or disagree: it is left out then, and the result says why.
    rounds : int
        At least 1; there is no verdict from fewer than five.
    sample_seconds : float
        About how long one sample lasts; one step at least.
    threads : int, optional
        Of each contender; by default all processors that this process may use.
    isa : str, optional
        Instruction set that everybody is held to, see `convkit.bench.machine`.
    tolerance : float
        On the difference of the outputs, relative to the largest value of each (1e-3); for outputs
        whose name begins with "change" ten times that.
    time_limit : float, optional
        Seconds after which no further round begins, once there are five.
    deadline : float, optional
        Of `time.monotonic`, after which no further round begins, however few there are.
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
        If there is no contender, two have one name, a factory is not named as `Contender` says, or
        a number is out of range.
    """
    names = [c.name for c in contenders]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"race {case!r} needs contenders with different names, got {names}")
    for contender in contenders:
        contender.check()
    owner = f"race {case!r}"
    whole(owner, "rounds", rounds, 1)
    number(owner, "sample_seconds", sample_seconds, above=0)
    number(owner, "tolerance", tolerance)
    if time_limit is not None:
        number(owner, "time_limit", time_limit)
    number(owner, "timeout", timeout, above=0)
    ends = _Ends(time_limit, deadline)
    if crew is None:
        with Crew(threads, isa, timeout) as own:
            return _race(case, contenders, rounds, sample_seconds, tolerance, ends, own)
    return _race(case, contenders, rounds, sample_seconds, tolerance, ends, crew)


@dataclass
class _Ends:
    """When a race begins no further round."""

    time_limit: float | None
    deadline: float | None
    start: float = field(default_factory=time.monotonic)

    def after(self, rounds: int) -> bool:
        """Whether so many rounds are all."""
        now = time.monotonic()
        if rounds and self.deadline is not None and now > self.deadline:
            return True
        limit = self.time_limit
        return limit is not None and rounds >= FEWEST and now - self.start > limit


def _race(
    case: str,
    contenders: Sequence[Contender],
    rounds: int,
    sample_seconds: float,
    tolerance: float,
    ends: _Ends,
    crew: Crew,
) -> Race:
    field_ = _Field(contenders)
    first = field_.first
    crew.rest({c.name for c in contenders})
    outputs: dict[str, Outputs] = {}
    worst, steps = 0.0, {}

    def begin(contender: Contender) -> None:
        nonlocal worst
        name = contender.name
        worker = crew.load(contender)
        found = outputs_of(worker, contender)
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
    facts = field_.workers[first].facts()
    field_.workers[first].stop()
    yardstick = crew.yardstick() if crew.measures else None
    if yardstick is not None:
        yardstick.call("restart")
    rng = np.random.Generator(np.random.Philox(1))
    seconds: dict[str, list[float]] = {name: [] for name in field_.workers}
    ends.start = time.monotonic()
    ours = [w for w in (yardstick, *field_.workers.values()) if w is not None]
    others = OtherWork([w.process.pid for w in ours])
    for n in range(rounds):
        if ends.after(n):
            break
        if yardstick is not None:
            # Copying takes longest; a third of the rounds give samples enough.
            yardstick.call("sample", copy=n % 3 == 0)
            yardstick.stop()
        names = list(field_.workers)
        for name in (names[i] for i in rng.permutation(len(names))):
            worker = field_.workers[name]
            seconds[name].append(field_.attempt(name, _sample, worker, steps[name], sample_seconds))
    busy = others.processors()
    timed = [name for name in seconds if name in field_.workers]
    return Race(
        case,
        tuple(timed),
        {name: np.asarray(seconds[name]) for name in timed},
        worst,
        crew.threads,
        crew.rates() if crew.measures else None,
        field_.left_out,
        facts,
        None if busy is None else Load(busy, os.cpu_count() or 1, crew.threads),
    )


def _sample(worker: Worker, steps: int, sample_seconds: float) -> float:
    """Seconds of a step."""
    warm = min(_WARM_SECONDS / sample_seconds, 1.0)
    if steps > 1:
        worker.seconds(max(1, round(warm * steps)))
    seconds = to_digits(worker.seconds(steps) / steps)
    worker.stop()
    return seconds
