"""Time every kernel of add on maps that a residual connection would join.

Run as ``python benchmarks/ops/bench_add.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("add")


if __name__ == "__main__":
    main("add", calls(), Path(__file__).parents[1] / "results")
