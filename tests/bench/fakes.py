"""Contenders that only pretend to compute; the race starts them in processes of their own."""

from __future__ import annotations

import os
import sys
import time
from typing import Any


class Sleeper:
    """Gives `value` and takes `seconds` per step."""

    def __init__(self, threads: int, seconds: float = 0.0, value: float = 1.0) -> None:
        print("a library that prints must not disturb the race")
        self.seconds = seconds
        self.value = value
        self.threads = threads

    def outputs(self) -> dict[str, list[float]]:
        return {"loss": [self.value, 2.0]}

    def run(self, steps: int) -> None:
        time.sleep(steps * self.seconds)


class OtherNames(Sleeper):
    """Gives other outputs than the rest."""

    def outputs(self) -> dict[str, list[float]]:
        return {"losses": [1.0]}


class Environment(Sleeper):
    """Gives what its process sees."""

    def outputs(self) -> dict[str, list[float]]:
        held = [name for name in os.environ if name.startswith("OPENBLAS_")]
        threads = {os.environ[f"{name}_NUM_THREADS"] for name in ("CONVKIT", "OMP", "MKL")}
        return {"held": [float(len(held))], "threads": [self.threads, *map(float, threads)]}


class FailsInStep(Sleeper):
    def run(self, steps: int) -> None:
        raise ValueError("the step is broken")


class Dies(Sleeper):
    def run(self, steps: int) -> None:
        sys.stderr.close()
        os._exit(3)


def broken(**arguments: Any) -> None:
    raise OSError("no such library")
