"""Time every kernel of update on the parameters of whole networks and of large layers.

Run as ``python benchmarks/ops/bench_update.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("update")


if __name__ == "__main__":
    main("update", calls(), Path(__file__).parents[1] / "results")
