"""Time every kernel of add on maps that a residual connection would join.

Run as ``python benchmarks/ops/bench_add.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.calls import Call, batch_of
from convkit.bench.kernels import main
from convkit.ops.registry import Spec
from convkit.testing.named_layers import CONV_LAYERS


def calls():
    found = {}
    for layer in CONV_LAYERS:
        x = Spec((batch_of(layer.name), layer.h, layer.w, layer.c))
        if layer.c == layer.k:
            found.setdefault(x, Call(f"{layer.name}, batch {x.shape[0]}", "add", "forward", (x, x)))
    small = Spec((128, 14, 14, 6))
    return [Call("lenet.conv2, batch 128", "add", "forward", (small, small)), *found.values()]


if __name__ == "__main__":
    main("add", calls(), Path(__file__).parents[1] / "results")
