"""What contenders give: checked when it comes, and compared before anything is timed."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.bench.process import Contender, ContenderError, Worker
from convkit.ops.registry import Array

__all__ = ["TOLERANCE", "Outputs", "disagreement", "outputs_of"]

Outputs = dict[str, Array]

# Of a difference, relative to the largest value: far more than what float32 sums in another order
# make of the first steps, and less than what a mistake does.
TOLERANCE = 1e-3


def outputs_of(worker: Worker, contender: Contender) -> Outputs:
    """The outputs of a contender, as arrays of float64 by name.

    Raises
    ------
    ContenderError
        If they are no lists of finite numbers by name, or there are none.
    """
    found, _ = worker.call("outputs")
    wanted = "outputs() must give lists of numbers by name, such as {'loss': [0.5]}"

    def refuse(why: str) -> ContenderError:
        return ContenderError(f"contender {contender.name!r}: {why}")

    if not isinstance(found, dict):
        raise refuse(f"{wanted}, not {_short(found)}")
    if not found:
        raise refuse("outputs() is empty: give what can be compared with the others")
    outputs: Outputs = {}
    for name, values in found.items():
        try:
            if not isinstance(values, list):
                raise TypeError
            outputs[name] = np.asarray(values, float)
        except (TypeError, ValueError):
            raise refuse(f"{wanted}; {name!r} is {_short(values)}") from None
        if not np.isfinite(outputs[name]).all():
            raise refuse(f"its output {name!r} holds NaN or infinity: there is nothing to compare")
    return outputs


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def disagreement(ours: Outputs, theirs: Outputs, tolerance: float) -> tuple[float, str]:
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
