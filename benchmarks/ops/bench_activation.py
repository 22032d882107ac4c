"""Time every kernel of activation on the layers that its tests run over.

Run as ``python benchmarks/ops/bench_activation.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.calls import activation
from convkit.bench.kernels import main
from convkit.testing.named_layers import ACTIVATION_LAYERS


def calls():
    return activation(ACTIVATION_LAYERS)


if __name__ == "__main__":
    main("activation", calls(), Path(__file__).parents[1] / "results")
