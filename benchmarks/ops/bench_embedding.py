"""Time every kernel of embedding on batches of characters and of words.

Run as ``python benchmarks/ops/bench_embedding.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("embedding")


if __name__ == "__main__":
    main("embedding", calls(), Path(__file__).parents[1] / "results")
