"""Time every kernel of lrn on layers of AlexNet and of Caffe's CIFAR-10 network.

Run as ``python benchmarks/ops/bench_lrn.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("lrn")


if __name__ == "__main__":
    main("lrn", calls(), Path(__file__).parents[1] / "results")
