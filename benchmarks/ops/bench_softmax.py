"""Time every kernel of softmax on the layers that its tests run over.

Run as ``python benchmarks/ops/bench_softmax.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.calls import softmax
from convkit.bench.kernels import main
from convkit.testing.named_layers import SOFTMAX_LAYERS


def calls():
    return softmax(SOFTMAX_LAYERS)


if __name__ == "__main__":
    main("softmax", calls(), Path(__file__).parents[1] / "results")
