"""Time every kernel of loss on the outputs of LeNet-5 and AlexNet.

Run as ``python benchmarks/ops/bench_loss.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

import numpy as np

from convkit.bench.calls import Call
from convkit.bench.kernels import main
from convkit.ops.loss import LOSSES, loss_params
from convkit.ops.registry import Spec
from convkit.testing.named_layers import SOFTMAX_LAYERS


def data(rng, kind, shape):
    """Predictions that suit the kind, and targets: classes, or values of the same shape."""
    p = rng.standard_normal(shape)
    if kind == "cross_entropy":
        p = np.exp(p) / np.exp(p).sum(axis=1, keepdims=True)
    elif kind == "binary_cross_entropy":
        p = 1 / (1 + np.exp(-p))
    labelled = kind in ("softmax_cross_entropy", "cross_entropy")
    return [p, rng.integers(0, shape[1], shape[:1]) if labelled else rng.random(shape), None]


def calls():
    found = []
    for layer in SOFTMAX_LAYERS:
        shape = (128, layer.k)
        for kind in LOSSES:
            labelled = kind in ("softmax_cross_entropy", "cross_entropy")
            t = Spec(shape[:1], "int32") if labelled else Spec(shape)
            for name in ("forward", "backward"):
                found.append(
                    Call(
                        f"{kind} of 128 x {layer.k}",
                        "loss",
                        name,
                        (Spec(shape), t, None),
                        loss_params(kind, scale=1 / shape[0]),
                        fill=lambda rng, kind=kind, shape=shape: data(rng, kind, shape),
                    )
                )
    return found


if __name__ == "__main__":
    main("loss", calls(), Path(__file__).parents[1] / "results")
