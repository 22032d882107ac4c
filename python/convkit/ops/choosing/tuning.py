"""Measuring the candidates for a call, once on a machine: ``compile(autotune=True)``."""

from __future__ import annotations

import statistics
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from convkit.ops import registry
from convkit.ops.choosing.cache import machine, read_verdict, write_verdict
from convkit.ops.choosing.policy import call_text
from convkit.ops.registry import Array, Params, Row, Spec

if TYPE_CHECKING:
    from convkit.ops.choosing.choice import Candidate, Choice

__all__ = ["forget", "measure_candidates", "measure_rows", "measured_seconds", "random_operands"]

FAR = 2.0  # times the best prediction: what is predicted to be slower is not measured
ROUNDS = 7
SAMPLE = 0.002  # seconds that a sample of short calls lasts
LONG = 0.02  # seconds of a call after which three rounds are enough

_known: dict[tuple[str, ...], dict[str, float]] = {}  # of this process, by machine and call


def forget() -> None:
    """Forget what this process has measured or read; files stay."""
    _known.clear()


def measure_candidates(op: str, pass_name: str, candidates: Sequence[Candidate]) -> bool:
    """Set `measured` of the candidates, those that are predicted to be far slower left out.

    What is known of an earlier run on this machine is taken, as is what this process has measured.

    Parameters
    ----------
    op, pass_name : str
    candidates : sequence of Candidate
        For the same call, which all of them support.

    Returns
    -------
    bool
        Whether there are times: False where one is predicted to be by far the fastest, and where
        the machine has no memory for the operands.
    """
    specs, params = candidates[0].specs, candidates[0].params
    text = call_text(op, pass_name, specs, params)
    near = _near(candidates)
    times = _verdict(text, near) if len(near) > 1 else None
    if times is None:
        return False
    for c in near:
        c.measured = times[c.name]
    return True


def measured_seconds(choice: Choice) -> float | None:
    """Time of the row that was chosen, measured if it was the only one; None for want of memory."""
    c = choice.chosen
    if c.measured is None:
        times = _verdict(choice.text, [c])
        c.measured = None if times is None else times[c.name]
    return c.measured


def _near(candidates: Sequence[Candidate]) -> list[Candidate]:
    """The candidates that may be the fastest by their predictions; those without one may."""
    predicted = [c.predicted for c in candidates if c.predicted is not None]
    most = FAR * min(predicted, default=0.0)
    return [c for c in candidates if c.predicted is None or c.predicted <= most]


def _verdict(text: str, candidates: Sequence[Candidate]) -> dict[str, float] | None:
    """Seconds of the candidates: remembered, read from the cache, or measured."""
    key = (*machine().values(), text)
    names = {c.name for c in candidates}
    own = any(c.own for c in candidates)  # what a user registers may change at any time
    known = {} if own else _known.get(key, {})
    if not names <= set(known):
        known = {} if own else read_verdict(text) or {}
    if not names <= set(known):
        specs, params = candidates[0].specs, candidates[0].params
        measured = measure_rows([c.row for c in candidates], specs, params)
        if measured is None:
            return None
        known = {**known, **measured}
        if not own:
            known = write_verdict(text, known, names)
    if not own:
        _known[key] = known
    return known


def measure_rows(
    rows: Sequence[Row], specs: Sequence[Spec | None], params: Params
) -> dict[str, float] | None:
    """Time rows on arrays of a call's shapes, by turns.

    Parameters
    ----------
    rows : sequence of Row
        Of one pass.
    specs : sequence of Spec or None
        Of all operands.
    params : mapping

    Returns
    -------
    dict of str to float or None
        Median seconds of one call, by the row's name; None where there is no memory for it.
    """
    from convkit.program.memory import available_memory
    from convkit.run.timing import timer

    needed = sum(s.nbytes for s in specs if s is not None)
    needed += max(row.workspace_bytes(specs, params) for row in rows)
    free = available_memory()
    if free is not None and needed > free / 2:
        warnings.warn(
            f"[{rows[0].op}] {rows[0].pass_name}: its kernels are not measured, as the operands "
            f"take {needed / 1e6:,.0f} MB and {free / 1e6:,.0f} MB are left; what is predicted to "
            "be the fastest is chosen",
            UserWarning,
            stacklevel=2,
        )
        return None
    outputs = len(registry.get(rows[0].op)[rows[0].pass_name].outputs)
    operands = random_operands(specs)
    inputs, results = operands[: len(specs) - outputs], operands[len(specs) - outputs :]
    timers = [timer(row, params, inputs, results) for row in rows]
    once = []
    for run in timers:
        run(1)  # pages of its workspace are touched for the first time
        once.append(max(run(1), 1e-9))
    repeats = [max(1, min(10_000, round(SAMPLE / t))) for t in once]
    rounds = 3 if max(once) > LONG else ROUNDS
    samples: list[list[float]] = [[] for _ in rows]
    for n in range(rounds):
        for k in range(len(rows)):
            i = (n + k) % len(rows)
            samples[i].append(timers[i](repeats[i]))
    return {row.name: statistics.median(s) for row, s in zip(rows, samples, strict=True)}


def random_operands(specs: Sequence[Spec | None]) -> list[Array | None]:
    """Arrays of these shapes: random floats, as zeros and denormals may be faster or slower."""
    from convkit.run.timing import aligned

    rng = np.random.Generator(np.random.Philox(7))
    made: list[Array | None] = []
    for spec in specs:
        array = None if spec is None else aligned(spec)
        if array is not None and array.dtype.kind == "f":
            flat = array.reshape(-1)
            some = rng.standard_normal(min(flat.size, 1 << 16)).astype(array.dtype)
            for begin in range(0, flat.size, 1 << 16):
                part = flat[begin : begin + (1 << 16)]
                part[...] = some[: part.size]
        made.append(array)
    return made
