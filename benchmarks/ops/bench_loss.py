"""Time every kernel of loss on the outputs of LeNet-5 and AlexNet.

Run as ``python benchmarks/ops/bench_loss.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("loss")


if __name__ == "__main__":
    main("loss", calls(), Path(__file__).parents[1] / "results")
