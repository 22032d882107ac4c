"""Time every kernel of gradient_scale on the features of LeNet-5 and of VGG.

Run as ``python benchmarks/ops/bench_gradient_scale.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.kernels import main
from convkit.testing.named_calls import calls_of


def calls():
    return calls_of("gradient_scale")


if __name__ == "__main__":
    main("gradient_scale", calls(), Path(__file__).parents[1] / "results")
