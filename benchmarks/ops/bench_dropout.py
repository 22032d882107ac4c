"""Time every kernel of dropout on the inputs of dense layers.

Run as ``python benchmarks/ops/bench_dropout.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.calls import Call
from convkit.bench.kernels import main
from convkit.ops.dropout import dropout_params
from convkit.ops.registry import Spec, Step
from convkit.testing.named_layers import DENSE_LAYERS


def calls():
    params, step = dropout_params(0.5, stream=3), Step(step=7, seed=11)
    return [
        Call(
            f"input of {layer.name}, batch 128",
            "dropout",
            name,
            (Spec((128, layer.c)),),
            params,
            step=step,
        )
        for layer in DENSE_LAYERS
        for name in ("forward", "backward")
    ]


if __name__ == "__main__":
    main("dropout", calls(), Path(__file__).parents[1] / "results")
