"""Time every kernel of batch_norm on the maps that convolutions of real networks give.

Run as ``python benchmarks/ops/bench_batch_norm.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("batch_norm")


if __name__ == "__main__":
    main("batch_norm", calls(), Path(__file__).parents[1] / "results")
