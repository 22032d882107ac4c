"""Time every kernel of dense on the layers that its tests run over.

Run as ``python benchmarks/ops/bench_dense.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("dense")


if __name__ == "__main__":
    main("dense", calls(), Path(__file__).parents[1] / "results")
