"""What a second thread brings, instruction by instruction of a training step.

``python -m convkit.bench.threads [lenet|mlp] [BATCH ...]`` prints the instructions that take longer
on all threads than on one.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import convkit as ck
from convkit import _core
from convkit.program.program import Instruction
from convkit.run.native import NativeExecutor
from convkit.testing.probe import probe

__all__ = ["NETWORKS", "ThreadsRow", "compare_threads", "main"]

ROUNDS = 8


def _perceptron() -> Any:
    return ck.Sequential(
        [
            ck.layers.Input((784,)),
            ck.layers.Dense(512, "relu"),
            ck.layers.Dense(256, "relu"),
            ck.layers.Dense(10, "softmax"),
        ]
    )


NETWORKS: dict[str, Callable[[], Any]] = {
    "lenet": lambda: ck.models.lenet5("modern"),
    "mlp": _perceptron,
}


@dataclass(frozen=True)
class ThreadsRow:
    """One instruction on one thread and on several.

    Attributes
    ----------
    instruction : Instruction
    given : int
        Threads that it gets where it may have them all.
    one, all : float
        Seconds on one thread and on as many as it gets, each the median of the best times of
        rounds that take turns.
    """

    instruction: Instruction
    given: int
    one: float
    all: float

    @property
    def ratio(self) -> float:
        """Time on all threads by time on one: above 1 the threads harm."""
        return self.all / max(self.one, 1e-9)

    def __str__(self) -> str:
        i = self.instruction
        return (
            f"{i.op + '.' + i.pass_name:<36} {self.one * 1e6:>10.2f} us  {self.given:>3} threads "
            f"{self.all * 1e6:>10.2f} us  {self.ratio:>5.2f}  {i.layer}"
        )


def compare_threads(
    model: Any, x: Any, y: Any, *, threads: int | None = None, steps: int = 20
) -> list[ThreadsRow]:
    """Time each instruction of a training step on one thread and on several.

    Parameters
    ----------
    model : Model
        Compiled; it stays as it is.
    x, y : array_like
        One batch.
    threads : int, optional
        By default as many as there are processors.
    steps : int
        Of a round; there are 8 of each kind, in turns.

    Returns
    -------
    list of ThreadsRow
        In the order of the program.
    """
    threads = _core.usable_cpus() if threads is None else threads
    job = probe(model, x, y)
    executor = NativeExecutor(job.program, job.store)
    before = ck.get_num_threads()
    best: dict[int, list[Any]] = {1: [], threads: []}
    try:
        for _ in range(ROUNDS):
            for count, times in best.items():
                ck.set_num_threads(count)
                executor.profile(job.data, job.step, 2)
                times.append(executor.profile(job.data, job.step, steps).min(axis=0))
    finally:
        ck.set_num_threads(before)
    one, several = (np.median(best[count], axis=0) for count in (1, threads))
    return [
        ThreadsRow(i, _core.worth_threads(i.seconds, threads), float(a), float(b))
        for i, a, b in zip(job.program.instructions, one, several, strict=True)
    ]


def main(arguments: list[str]) -> None:
    """Print the instructions that more threads slow down by more than 5 %, of some batch sizes."""
    names = [a for a in arguments if a in NETWORKS] or list(NETWORKS)
    batches = [int(a) for a in arguments if a not in NETWORKS] or [1, 8, 32, 128, 512]
    rng = np.random.default_rng(0)
    for name in names:
        for batch in batches:
            model = NETWORKS[name]()
            model.compile(ck.optimizers.SGD(1e-3, momentum=0.9), "sparse_categorical_crossentropy")
            x = rng.standard_normal((batch, *model.input_shape[1:]), dtype=np.float32)
            rows = compare_threads(model, x, rng.integers(0, 10, batch))
            one, several = sum(r.one for r in rows), sum(r.all for r in rows)
            print(
                f"{name}, batch {batch}: {one * 1e6:.1f} us on one thread, {several * 1e6:.1f} us "
                f"on {_core.usable_cpus()}"
            )
            for row in rows:
                if row.ratio > 1.05 and row.all - row.one > 0.1e-6:
                    print(f"  {row}")


if __name__ == "__main__":
    main(sys.argv[1:])
