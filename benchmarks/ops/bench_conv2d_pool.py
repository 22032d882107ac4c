"""Time every kernel of conv2d_pool on the layers that its tests run over.

Run as ``python benchmarks/ops/bench_conv2d_pool.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("conv2d_pool")


if __name__ == "__main__":
    main("conv2d_pool", calls(), Path(__file__).parents[1] / "results")
