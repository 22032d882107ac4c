"""Time every kernel of dropout on the inputs of dense layers.

Run as ``python benchmarks/ops/bench_dropout.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("dropout")


if __name__ == "__main__":
    main("dropout", calls(), Path(__file__).parents[1] / "results")
