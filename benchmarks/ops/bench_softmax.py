"""Time every kernel of softmax on the layers that its tests run over.

Run as ``python benchmarks/ops/bench_softmax.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("softmax")


if __name__ == "__main__":
    main("softmax", calls(), Path(__file__).parents[1] / "results")
