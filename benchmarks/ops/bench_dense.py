"""Time every kernel of dense on the layers that its tests run over.

Run as ``python benchmarks/ops/bench_dense.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.calls import dense
from convkit.bench.kernels import main
from convkit.testing.named_layers import DENSE_LAYERS


def calls():
    return dense(DENSE_LAYERS)


if __name__ == "__main__":
    main("dense", calls(), Path(__file__).parents[1] / "results")
