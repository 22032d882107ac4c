"""Time every kernel of upsample2d on maps that poolings of real networks make.

Run as ``python benchmarks/ops/bench_upsample2d.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("upsample2d")


if __name__ == "__main__":
    main("upsample2d", calls(), Path(__file__).parents[1] / "results")
