"""Time every kernel of pool2d on the layers that its tests run over.

Run as ``python benchmarks/ops/bench_pool2d.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.calls import pool2d
from convkit.bench.kernels import main
from convkit.testing.named_layers import POOL_LAYERS


def calls():
    return pool2d(POOL_LAYERS)


if __name__ == "__main__":
    main("pool2d", calls(), Path(__file__).parents[1] / "results")
