"""Race whole training steps against PyTorch and record the result.

Run as ``python benchmarks/models/bench_training.py`` with the extra ``bench`` installed; writes
``benchmarks/results/training.md`` and ``.json``.
"""

from __future__ import annotations

from pathlib import Path

from convkit.bench.machine import measure
from convkit.bench.report import table, write
from convkit.bench.suites import training, without_blas_limits

NOTES = """\
A step is forward, loss, backward and update on float32 data. Every contender starts from the same
weights, walks through the same arrays and runs in a process of its own with the same number of
threads; losses of eight steps and the weights after them were compared before anything was timed.
LeNet-5 (tanh, average pooling) trains with SGD and momentum 0.9, the MLP (ReLU) with Adam.
convkit runs its public `fit` without shuffling, PyTorch the usual loop over slices of a tensor.
"""


def main() -> None:
    without_blas_limits()
    machine = measure()
    print(machine)
    races = training(progress=lambda r: print(table([r]).splitlines()[-1], flush=True))
    stem = Path(__file__).parents[1] / "results" / "training"
    write(stem, "Training steps against PyTorch", machine, races, NOTES)


if __name__ == "__main__":
    main()
