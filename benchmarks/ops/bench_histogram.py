"""Time every kernel of histogram on the outputs of LeNet-5 and AlexNet.

Run as ``python benchmarks/ops/bench_histogram.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("histogram")


if __name__ == "__main__":
    main("histogram", calls(), Path(__file__).parents[1] / "results")
