"""Time every rule of dense_update, by every kernel, on the layers of real networks.

Run as ``python benchmarks/ops/bench_dense_update.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("dense_update")


if __name__ == "__main__":
    main("dense_update", calls(), Path(__file__).parents[1] / "results")
