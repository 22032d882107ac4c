"""Time every kernel of confusion on the outputs of LeNet-5 and AlexNet.

Run as ``python benchmarks/ops/bench_confusion.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("confusion")


if __name__ == "__main__":
    main("confusion", calls(), Path(__file__).parents[1] / "results")
