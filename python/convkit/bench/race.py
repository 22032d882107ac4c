"""The race: contenders in processes of their own, outputs compared, samples interleaved."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convkit.bench.machine import BLAS_VARIABLES
from convkit.errors import did_you_mean
from convkit.ops.registry import Array


@dataclass(frozen=True)
class Contender:
    """One side of a race.

    Attributes
    ----------
    name : str
    factory : str
        "module:function"; called with `arguments` in a process of its own, see
        `convkit.bench.worker`.
    arguments : dict
        What JSON can hold.
    """

    name: str
    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)


class _Worker:
    """The process of a contender."""

    def __init__(self, contender: Contender, threads: int) -> None:
        self.name = contender.name
        environment = {k: v for k, v in os.environ.items() if k not in BLAS_VARIABLES}
        for variable in ("CONVKIT_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
            environment[variable] = str(threads)
        arguments = json.dumps({**contender.arguments, "threads": threads})
        command = [sys.executable, "-m", "convkit.bench.worker", contender.factory, arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._read()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            self.close()
            raise RuntimeError(f"contender {self.name!r}: {answer['error']}")
        return dict(answer)

    def ask(self, **request: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # it ended; what it said last is still to be read
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        return self._read()

    def seconds(self, steps: int) -> float:
        return float(self.ask(do="run", steps=steps)["seconds"])

    def close(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True)
class Race:
    """Result of a race.

    Attributes
    ----------
    case : str
    names : tuple of str
        The first is the one that the ratios are about.
    seconds : dict of str to ndarray
        Seconds per step, one entry per round.
    disagreement : float
        Largest relative difference of the outputs between contenders.
    threads : int
    """

    case: str
    names: tuple[str, ...]
    seconds: dict[str, Array]
    disagreement: float
    threads: int

    def median(self, name: str) -> float:
        """Median seconds per step."""
        return float(np.median(self.seconds[name]))

    def spread(self, name: str) -> tuple[float, float]:
        """Quartiles of the seconds per step."""
        low, high = np.percentile(self.seconds[name], [25, 75])
        return float(low), float(high)

    def ratio(self, other: str) -> tuple[float, float, float]:
        """How many times faster the first contender is than another.

        Returns
        -------
        ratio, low, high : float
            Ratio of the medians and its 95 % bootstrap interval; rounds are drawn in pairs, since
            what disturbs one contender in a round disturbs the other.
        """
        ours, theirs = self.seconds[self.names[0]], self.seconds[other]
        rng = np.random.Generator(np.random.Philox(0))
        draws = rng.integers(0, len(ours), (2000, len(ours)))
        ratios = np.median(theirs[draws], axis=1) / np.median(ours[draws], axis=1)
        low, high = np.percentile(ratios, [2.5, 97.5])
        return float(np.median(theirs) / np.median(ours)), float(low), float(high)

    def best_peer(self, prefix: str = "") -> str:
        """Name of the fastest other contender whose name begins with `prefix`."""
        return min((n for n in self.names[1:] if n.startswith(prefix)), key=self.median)

    def verdict(self, other: str) -> str:
        """In words; none where the noise exceeds the effect."""
        ratio, low, high = self.ratio(other)
        if low <= 1 <= high:
            return "no verdict: the noise exceeds the difference"
        return f"{ratio:.2f}x faster" if ratio > 1 else f"{1 / ratio:.2f}x slower"

    def as_dict(self) -> dict[str, Any]:
        """For JSON: medians, quartiles and ratios."""
        rows: dict[str, Any] = {}
        for name in self.names:
            low, high = self.spread(name)
            rows[name] = {"median_s": self.median(name), "quartiles_s": [low, high]}
            if name != self.names[0]:
                rows[name]["ratio"], *rows[name]["ratio_95"] = self.ratio(name)
        return {
            "case": self.case,
            "threads": self.threads,
            "rounds": len(self.seconds[self.names[0]]),
            "disagreement": self.disagreement,
            "contenders": rows,
        }


def _disagreement(outputs: dict[str, dict[str, list[float]]], tolerance: float, case: str) -> float:
    """Largest relative difference of any output from the first contender's."""
    first, *others = outputs
    worst = 0.0
    for other in others:
        if outputs[other].keys() != outputs[first].keys():
            known = did_you_mean(next(iter(outputs[other])), outputs[first])
            raise ValueError(f"race {case!r}: {other} and {first} give different outputs{known}")
        for name, values in outputs[first].items():
            a, b = np.asarray(values), np.asarray(outputs[other][name])
            difference = float(np.max(np.abs(a - b)) / max(float(np.max(np.abs(a))), 1e-30))
            if not difference <= tolerance:
                raise ArithmeticError(
                    f"race {case!r} is off: {name} of {other} differs from {first} by "
                    f"{difference:.2e}, tolerance {tolerance:.0e}"
                )
            worst = max(worst, difference)
    return worst


def race(
    case: str,
    contenders: Sequence[Contender],
    *,
    rounds: int = 20,
    sample_seconds: float = 0.05,
    threads: int = 1,
    tolerance: float = 1e-3,
) -> Race:
    """Race contenders against each other in one run.

    Each has a process of its own with the same number of threads. Outputs are compared first; then
    every contender warms up; then each round takes one sample of every contender, in an order that
    turns from round to round, after a pause in which the others' threads come to rest.

    Parameters
    ----------
    case : str
        What is raced, for reports.
    contenders : sequence of Contender
        The first is the one that ratios are about.
    rounds : int
    sample_seconds : float
        About how long one sample lasts.
    threads : int
    tolerance : float
        On the relative difference of the outputs.

    Returns
    -------
    Race

    Raises
    ------
    ArithmeticError
        If the outputs differ: there is nothing to time then.
    RuntimeError
        If a contender fails; the message has its name and error.
    """
    workers: list[_Worker] = []
    try:
        for contender in contenders:
            workers.append(_Worker(contender, threads))
        outputs = {w.name: w.ask(do="outputs")["outputs"] for w in workers}
        disagreement = _disagreement(outputs, tolerance, case)
        steps = {}
        for w in workers:
            w.seconds(3)
            once = w.seconds(3) / 3
            steps[w.name] = max(1, min(100_000, round(sample_seconds / once)))
        seconds: dict[str, list[float]] = {w.name: [] for w in workers}
        for n in range(rounds):
            turn = n % len(workers)
            for w in (*workers[turn:], *workers[:turn]):
                time.sleep(0.005)
                w.seconds(1)
                seconds[w.name].append(w.seconds(steps[w.name]) / steps[w.name])
    finally:
        for w in workers:
            w.close()
    arrays = {name: np.asarray(values) for name, values in seconds.items()}
    return Race(case, tuple(c.name for c in contenders), arrays, disagreement, threads)
