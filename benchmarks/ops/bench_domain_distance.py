"""Time every kernel of domain_distance on the features of LeNet-5 and of VGG.

Run as ``python benchmarks/ops/bench_domain_distance.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("domain_distance")


if __name__ == "__main__":
    main("domain_distance", calls(), Path(__file__).parents[1] / "results")
