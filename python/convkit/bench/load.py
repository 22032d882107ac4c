"""How busy others keep the machine: what no interleaving of samples makes up for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["BUSY", "TOO_BUSY", "Load", "OtherWork", "busy_processors"]

BUSY = 0.25  # processors that contenders had to share: what was measured is marked from here on
TOO_BUSY = 0.5  # and from here on nothing follows from it


@dataclass(frozen=True)
class Load:
    """What others did while something was measured.

    Attributes
    ----------
    others : float
        Processors that were busy with other work, of all that the machine has.
    cpus : int
        How many it has.
    threads : int
        Of a contender.
    """

    others: float
    cpus: int
    threads: int

    @property
    def shared(self) -> float:
        """Processors that contenders had to share, as others and their threads were too many."""
        return max(0.0, self.others + self.threads - self.cpus)

    @property
    def mark(self) -> str:
        """What is said beside a result; empty on a quiet machine."""
        return "" if self.shared < BUSY else f"machine busy: {self}"

    @property
    def too_busy(self) -> bool:
        """Whether results of contenders say nothing about them."""
        return self.shared >= TOO_BUSY

    def as_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        return f"other work on {self.others:.1f} of {self.cpus} processors"


class OtherWork:
    """Counts the work of others from now on: that of all, less that of some processes.

    Parameters
    ----------
    own : iterable of int
        Process ids that are not others; this process is not either.
    """

    def __init__(self, own: Iterable[int]) -> None:
        self._own = {os.getpid(), *own}
        self._before = _jiffies()
        self._used = self._seconds()

    def _seconds(self) -> float:
        """Of processors that the own processes have used."""
        return sum(_used_by(pid) for pid in self._own)

    def processors(self) -> float | None:
        """Busy with other work on average since this object was made; None where nobody counts."""
        idle, total = (now - then for now, then in zip(_jiffies(), self._before, strict=True))
        if total <= 0:
            return None
        cpus = os.cpu_count() or 1
        seconds = total / cpus / os.sysconf("SC_CLK_TCK")
        own = (self._seconds() - self._used) / seconds
        return max(0.0, cpus * (1 - idle / total) - own)


def busy_processors(seconds: float = 0.3) -> float:
    """How many processors are at work while this process sleeps; nan where nobody counts."""
    time.sleep(0.1)  # what ran before is still being counted
    others = OtherWork(())
    time.sleep(seconds)
    found = others.processors()
    return float("nan") if found is None else found


def _jiffies() -> tuple[int, int]:
    """Time since the machine began, of all processors together: idle, and in all."""
    try:
        counts = [int(n) for n in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    except OSError:
        return 0, 0
    return counts[3] + counts[4], sum(counts)


def _used_by(pid: int) -> float:
    """Processor seconds of a process and of the children that it has waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        return 0.0
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
