"""Time every kernel of dense on the layers that its tests run over, and on what races are run with.

Run as ``python benchmarks/ops/bench_dense.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.calls import dense
from convkit.testing.named_calls import calls_of

# Perceptrons on MNIST and AlexNet's layers at other batch sizes: rows, C, K.
RACED = (
    (32, 784, 128),
    (128, 784, 128),
    (128, 784, 512),
    (128, 4096, 4096),
    (1, 9216, 4096),
    (128, 9216, 4096),
)


def calls():
    found = calls_of("dense")
    for n, c, k in RACED:
        found += dense(f"{c} x {k}, batch {n}", (n,), c, k)
    return found


if __name__ == "__main__":
    main("dense", calls(), Path(__file__).parents[1] / "results")
