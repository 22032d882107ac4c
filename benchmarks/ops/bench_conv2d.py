"""Time every kernel of conv2d on the layers that its tests run over, and on what else it meets.

Run as ``python benchmarks/ops/bench_conv2d.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing import calls as make
from convkit.testing.named_calls import calls_of


def calls():
    found = calls_of("conv2d")
    for name, x, w, options in (
        ("alexnet.conv3, batch 1", (1, 13, 13, 192), (3, 3, 192, 384), {"padding": 1}),
        ("alexnet.conv5, batch 1", (1, 13, 13, 256), (3, 3, 256, 256), {"padding": 1}),
        ("dilation 2, batch 8", (8, 28, 28, 64), (3, 3, 64, 64), {"padding": 2, "dilation": 2}),
        ("1 x 1, batch 8", (8, 14, 14, 256), (1, 1, 256, 512), {}),
        ("few pixels, batch 1", (1, 4, 4, 512), (3, 3, 512, 512), {"padding": 1}),
    ):
        found += make.conv2d(name, x, w, **options)
    return found


if __name__ == "__main__":
    main("conv2d", calls(), Path(__file__).parents[1] / "results")
