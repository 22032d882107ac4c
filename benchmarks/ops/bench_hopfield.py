"""Time every kernel of hopfield on associative memories of published sizes.

Run as ``python benchmarks/ops/bench_hopfield.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("hopfield")


if __name__ == "__main__":
    main("hopfield", calls(), Path(__file__).parents[1] / "results")
