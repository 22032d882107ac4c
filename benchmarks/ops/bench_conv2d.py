"""Time every kernel of conv2d on the layers that its tests run over.

Run as ``python benchmarks/ops/bench_conv2d.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.calls import conv2d
from convkit.bench.kernels import main
from convkit.testing.named_layers import CONV_LAYERS


def calls():
    return conv2d(CONV_LAYERS)


if __name__ == "__main__":
    main("conv2d", calls(), Path(__file__).parents[1] / "results")
