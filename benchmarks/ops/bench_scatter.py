"""Time every kernel of scatter on the layers that its tests run over.

Run as ``python benchmarks/ops/bench_scatter.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("scatter")


if __name__ == "__main__":
    main("scatter", calls(), Path(__file__).parents[1] / "results")
