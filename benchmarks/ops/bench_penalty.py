"""Time every kernel of penalty on the weights of large layers.

Run as ``python benchmarks/ops/bench_penalty.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("penalty")


if __name__ == "__main__":
    main("penalty", calls(), Path(__file__).parents[1] / "results")
