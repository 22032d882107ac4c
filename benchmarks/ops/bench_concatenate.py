"""Time every kernel of concatenate on the maps of two towers.

Run as ``python benchmarks/ops/bench_concatenate.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.calls import Call, batch_of
from convkit.bench.kernels import main
from convkit.ops.registry import Spec
from convkit.testing.named_layers import ALEXNET_2012_CONV, LENET_CONV


def calls():
    found = []
    for layer in (*LENET_CONV, *ALEXNET_2012_CONV):
        n = batch_of(layer.name)
        half, whole = (Spec((n, layer.h, layer.w, c)) for c in (layer.k // 2, layer.k))
        name, params = f"two halves of {layer.name}, batch {n}", {"axis": 3}
        found.append(Call(name, "concatenate", "forward", (half, half), params))
        found.append(Call(name, "concatenate", "backward", (whole,), params, (half, half)))
    return found


if __name__ == "__main__":
    main("concatenate", calls(), Path(__file__).parents[1] / "results")
