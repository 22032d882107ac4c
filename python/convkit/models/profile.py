"""Where a training step spends its time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.registry import Array, Step
from convkit.program.program import Program

if TYPE_CHECKING:
    from convkit.models.model import Model

__all__ = ["Profile", "profile"]


@dataclass(frozen=True, eq=False)
class Profile:
    """Seconds of each instruction of a program; prints as a table.

    Attributes
    ----------
    program : Program
    seconds : ndarray, shape (repeats, instructions)
    """

    program: Program
    seconds: Array

    @property
    def median(self) -> Array:
        """Median seconds per instruction."""
        median: Array = np.median(self.seconds, axis=0)
        return median

    def by_layer(self) -> dict[str, float]:
        """Median seconds per layer, forward and backward together."""
        sums: dict[str, float] = {}
        for instruction, seconds in zip(self.program.instructions, self.median, strict=True):
            name = instruction.layer or instruction.op
            sums[name] = sums.get(name, 0.0) + float(seconds)
        return sums

    def __str__(self) -> str:
        total = float(self.median.sum()) or 1.0
        lines = [f"{'layer':<24} {'instruction':<28} {'kernel':<20} {'us':>9} {'%':>5} {'GF/s':>8}"]
        for i, seconds in zip(self.program.instructions, self.median, strict=True):
            rate = f"{i.flops / seconds / 1e9:.1f}" if i.flops and seconds > 0 else ""
            row = "" if i.row is None else i.row.name
            lines.append(
                f"{i.layer:<24} {i.op + '.' + i.pass_name:<28} {row:<20} "
                f"{seconds * 1e6:>9.1f} {100 * seconds / total:>5.1f} {rate:>8}".rstrip()
            )
        lines.append(f"one step of {self.program.batch} samples: {total * 1e6:.1f} us")
        return "\n".join(lines)


def profile(model: Model, x: ArrayLike, y: ArrayLike, repeats: int = 10) -> Profile:
    """Time each instruction of a training step on one batch; the weights stay as they are.

    Parameters
    ----------
    model : Model
        Compiled.
    x, y : array_like
        One batch.
    repeats : int

    Returns
    -------
    Profile
    """
    from convkit.run.native import NativeExecutor

    batch = len(np.asarray(y))
    program = model.program("train", batch)
    store = model.store
    data = _bind(program, {"x": x, "y": y, "index": np.arange(batch)})
    saved = [a.copy() for a in (store.parameters, store.gradients, store.slots)]
    try:
        seconds = NativeExecutor(program, store).profile(data, Step(), repeats)
    finally:
        for array, values in zip((store.parameters, store.gradients, store.slots), saved):
            array[...] = values
    return Profile(program, seconds)


def _bind(program: Program, given: Mapping[str, ArrayLike]) -> dict[str, Array]:
    data = {}
    for name, value in program.externals.items():
        array = np.ascontiguousarray(given[name], dtype=value.spec.dtype)
        if array.size != value.spec.size:
            raise ValueError(
                f"[profile] {name} has shape {array.shape}, expected {value.spec.shape}"
            )
        data[name] = array.reshape(value.spec.shape)
    return data
