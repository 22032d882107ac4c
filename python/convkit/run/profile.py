"""Where the time of a step goes, per instruction, next to what this machine can do."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from convkit import _core
from convkit.cuda import device_info
from convkit.ops.registry import Array
from convkit.program.program import Instruction, Program


@dataclass(frozen=True)
class ProfileRow:
    """One instruction of a profile.

    Attributes
    ----------
    instruction : Instruction
    seconds : float
        Median over the steps.
    gflops, gbs : float
        Rates: floating-point operations, and bytes of the operands (each moved once), per second.
    share : float
        Of the machine's measured peak: of multiply-adds for an instruction that is bound by them,
        else of copy bandwidth.
    bound : str
        "compute" or "memory": which of the two allows less.
    """

    instruction: Instruction
    seconds: float
    gflops: float
    gbs: float
    share: float
    bound: str


@dataclass(frozen=True)
class Profile:
    """Result of ``model.profile``; print it.

    Attributes
    ----------
    program : Program
    rows : list of ProfileRow
    peak_gflops, copy_gbs : float
        Measured with the profile.
    """

    program: Program
    rows: list[ProfileRow]
    peak_gflops: float
    copy_gbs: float

    @property
    def seconds(self) -> float:
        """Of a whole step."""
        return sum(row.seconds for row in self.rows)

    def by_layer(self) -> dict[str, float]:
        """Seconds per layer, all its passes together; what belongs to none goes by its op."""
        sums: dict[str, float] = {}
        for row in self.rows:
            name = row.instruction.layer or row.instruction.op
            sums[name] = sums.get(name, 0.0) + row.seconds
        return sums

    def _machine(self) -> str:
        if math.isnan(self.peak_gflops):
            return f"machine: {device_info().name}, whose peaks are not measured here"
        return (
            f"machine: peak {self.peak_gflops:.0f} GFLOP/s, copy {self.copy_gbs:.1f} GB/s, "
            f"{_core.num_threads()} threads, {_core.isa()}"
        )

    def __str__(self) -> str:
        total = max(self.seconds, 1e-12)
        lines = [
            f"profile of {self.program.name}, {self.program.mode}, batch {self.program.batch}: "
            f"{total * 1e3:.3f} ms a step, {self.program.flops / total / 1e9:.1f} GFLOP/s",
            self._machine(),
            f"{'us':>10} {'%':>5} {'GFLOP/s':>8} {'GB/s':>7} {'of peak':>8}  "
            f"{'kernel':<27} {'instruction':<34} layer",
        ]
        for row in self.rows:
            i = row.instruction
            kernel = (i.row.name if i.row else "") + i.fused
            name = f"{i.op}.{i.pass_name}"
            rate = f"{row.gflops:.1f}" if row.gflops else ""
            share = "" if math.isnan(row.share) else f"{row.share:.0%}{row.bound[0]}"
            lines.append(
                f"{row.seconds * 1e6:>10.1f} {row.seconds / total:>5.0%} {rate:>8} {row.gbs:>7.1f} "
                f"{share:>8}  "
                f"{kernel:<27} {name:<34} {i.layer}".rstrip()
            )
        lines.append("of peak: c of multiply-adds, m of copy bandwidth (over 100 % is from cache)")
        return "\n".join(lines)


def make_profile(program: Program, seconds: Array) -> Profile:
    """Put measured times beside the machine's peak, measured here; on a GPU, beside none.

    Parameters
    ----------
    program : Program
    seconds : ndarray, shape (steps, instructions)
    """
    if program.policy.device == "cuda":
        peak = copy = math.nan
    else:
        peak, copy = _core.peak_flops(0.1), _core.copy_bandwidth(128 << 20, 0.1)
    medians: Sequence[float] = np.median(seconds, axis=0).tolist()
    rows = []
    for i, t in zip(program.instructions, medians, strict=True):
        t = max(t, 1e-9)
        floor_compute, floor_memory = i.flops / peak, i.bytes / copy
        compute = floor_compute > floor_memory
        share = max(floor_compute, floor_memory) / t
        bound = "compute" if compute else "memory"
        rows.append(ProfileRow(i, t, i.flops / t / 1e9, i.bytes / t / 1e9, share, bound))
    return Profile(program, rows, peak / 1e9, copy / 1e9)
