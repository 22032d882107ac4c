"""Time every kernel of augment on the images of real networks.

Run as ``python benchmarks/ops/bench_augment.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("augment")


if __name__ == "__main__":
    main("augment", calls(), Path(__file__).parents[1] / "results")
