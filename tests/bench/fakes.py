"""Contenders that only pretend to compute; the race starts them in processes of their own."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import numpy as np


class Sleeper:
    """Gives `value` and takes `seconds` per step."""

    def __init__(
        self, threads: int, seconds: float = 0.0, value: float = 1.0, log: str = "", name: str = ""
    ) -> None:
        print("a library that prints must not disturb the race")
        self.seconds = seconds
        self.value = value
        self.threads = threads
        self.log, self.name = log, name

    def outputs(self) -> dict[str, list[float]]:
        return {"loss": [self.value, 2.0]}

    def run(self, steps: int) -> None:
        if self.log:
            with open(self.log, "a") as file:
                file.write(f"{self.name} {steps}\n")
        time.sleep(steps * self.seconds)


class Counts(Sleeper):
    """Knows what a step is."""

    def facts(self) -> dict[str, Any]:
        return {"flops": 1e6, "samples": 4}


class Changes(Sleeper):
    """Gives the change of a weight, too."""

    def outputs(self) -> dict[str, list[float]]:
        return {"loss": [1.0], "change of weight 0": [self.value]}


class OtherNames(Sleeper):
    """Gives other outputs than the rest."""

    def outputs(self) -> dict[str, list[float]]:
        return {"losses": [1.0]}


class Fewer(Sleeper):
    """Gives fewer values than the rest."""

    def outputs(self) -> dict[str, list[float]]:
        return {"loss": [self.value]}


class Nothing(Sleeper):
    """Gives no values."""

    def outputs(self) -> dict[str, list[float]]:
        return {"loss": []}


class NoOutputs(Sleeper):
    """Gives no outputs at all."""

    def outputs(self) -> dict[str, list[float]]:
        return {}


class NotADict(Sleeper):
    """Forgets to return its outputs."""

    def outputs(self) -> Any:
        return None


class Unordered(Sleeper):
    """Gives what JSON has not."""

    def outputs(self) -> Any:
        return {"loss": {1.0, 2.0}}


class Words(Sleeper):
    """Gives texts."""

    def outputs(self) -> Any:
        return {"loss": ["a", "b"]}


class NotANumber(Sleeper):
    """Gives NaN."""

    def outputs(self) -> dict[str, list[float]]:
        return {"loss": [1.0, float("nan")]}


class Arrays(Sleeper):
    """Gives arrays."""

    def outputs(self) -> Any:
        return {"loss": np.asarray([self.value, 2.0], np.float32)}


class WrongFacts(Sleeper):
    """Says something else of its steps."""

    def facts(self) -> Any:
        return 3


class Environment(Sleeper):
    """Gives what its process sees."""

    def outputs(self) -> dict[str, list[float]]:
        held = [name for name in os.environ if name.startswith("OPENBLAS_CORE")]
        names = ("CONVKIT", "OMP", "MKL", "OPENBLAS")
        threads = {float(os.environ[f"{name}_NUM_THREADS"]) for name in names}
        return {"held": [float(len(held))], "threads": [self.threads, *threads]}


class FailsInStep(Sleeper):
    def run(self, steps: int) -> None:
        raise ValueError("the step is broken")


class Dies(Sleeper):
    def run(self, steps: int) -> None:
        print("about to die", file=sys.stderr, flush=True)
        os._exit(3)


class Killed(Sleeper):
    def outputs(self) -> dict[str, list[float]]:
        os.kill(os.getpid(), 9)
        return {}


class Hangs(Sleeper):
    def outputs(self) -> dict[str, list[float]]:
        time.sleep(60)
        return {}


def broken(**arguments: Any) -> None:
    raise OSError("no such library")
