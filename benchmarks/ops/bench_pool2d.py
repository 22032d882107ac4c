"""Time every kernel of pool2d on the layers that its tests run over.

Run as ``python benchmarks/ops/bench_pool2d.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("pool2d")


if __name__ == "__main__":
    main("pool2d", calls(), Path(__file__).parents[1] / "results")
