"""Time every kernel of transpose on maps of real networks.

Run as ``python benchmarks/ops/bench_transpose.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("transpose")


if __name__ == "__main__":
    main("transpose", calls(), Path(__file__).parents[1] / "results")
