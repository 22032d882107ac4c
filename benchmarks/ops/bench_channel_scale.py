"""Time every kernel of channel_scale on the maps that convolutions of real networks give.

Run as ``python benchmarks/ops/bench_channel_scale.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("channel_scale")


if __name__ == "__main__":
    main("channel_scale", calls(), Path(__file__).parents[1] / "results")
