"""Time every kernel of gather_rows on batches of real data sets.

Run as ``python benchmarks/ops/bench_gather_rows.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("gather_rows")


if __name__ == "__main__":
    main("gather_rows", calls(), Path(__file__).parents[1] / "results")
