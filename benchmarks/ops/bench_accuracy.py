"""Time every kernel of accuracy on the outputs of LeNet-5 and AlexNet.

Run as ``python benchmarks/ops/bench_accuracy.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.calls import Call
from convkit.bench.kernels import main
from convkit.ops.accuracy import ACCURACIES, accuracy_params
from convkit.ops.registry import Spec
from convkit.testing.named_layers import SOFTMAX_LAYERS


def data(rng, kind, shape):
    t = rng.integers(0, shape[1], shape[:1]) if kind == "sparse" else rng.random(shape)
    return [rng.random(shape), t, None]


def calls():
    found = []
    for layer in SOFTMAX_LAYERS:
        shape = (128, layer.k)
        for kind in ACCURACIES:
            t = Spec(shape[:1], "int32") if kind == "sparse" else Spec(shape)
            found.append(
                Call(
                    f"{kind}, 128 x {layer.k}",
                    "accuracy",
                    "forward",
                    (Spec(shape), t, None),
                    accuracy_params(kind),
                    fill=lambda rng, kind=kind, shape=shape: data(rng, kind, shape),
                )
            )
    return found


if __name__ == "__main__":
    main("accuracy", calls(), Path(__file__).parents[1] / "results")
