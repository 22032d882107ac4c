"""Time every kernel of mask on padded sequences.

Run as ``python benchmarks/ops/bench_mask.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("mask")


if __name__ == "__main__":
    main("mask", calls(), Path(__file__).parents[1] / "results")
