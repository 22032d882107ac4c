"""Time every kernel of moments on the outputs of LeNet-5 and AlexNet.

Run as ``python benchmarks/ops/bench_moments.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("moments")


if __name__ == "__main__":
    main("moments", calls(), Path(__file__).parents[1] / "results")
