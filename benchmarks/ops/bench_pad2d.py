"""Time every kernel of pad2d on the inputs of real convolutions.

Run as ``python benchmarks/ops/bench_pad2d.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("pad2d")


if __name__ == "__main__":
    main("pad2d", calls(), Path(__file__).parents[1] / "results")
