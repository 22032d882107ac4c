"""Time every kernel of concatenate on the maps of two towers.

Run as ``python benchmarks/ops/bench_concatenate.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("concatenate")


if __name__ == "__main__":
    main("concatenate", calls(), Path(__file__).parents[1] / "results")
