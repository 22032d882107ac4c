"""Time every kernel of update on the parameters of whole networks and of large layers.

Run as ``python benchmarks/ops/bench_update.py [--quick] [--threads N] [--record]``.
"""

from pathlib import Path

from convkit.bench.calls import Call
from convkit.bench.kernels import main
from convkit.ops.registry import Spec, Step
from convkit.ops.update import update_params

SIZES = {"lenet5": 61_706, "mlp 784-128-10": 101_770, "alexnet.fc7": 4096 * 4097}


def data(rng, states, n):
    """A gradient, states (the second moment is positive) and weights."""
    normal = [rng.standard_normal(n, "f4") for _ in range(states + 2)]
    if states == 2:
        normal[2] = normal[2] ** 2
    return normal


def calls():
    found = []
    for name, n in SIZES.items():
        for rule, states, params in (
            ("sgd", 0, update_params()),
            ("sgd", 1, update_params(momentum=0.9)),
            ("adam", 2, update_params()),
        ):
            given = [Spec((n,))] * (states + 2)
            found.append(
                Call(
                    f"{name}, {'momentum' if states == 1 else rule}",
                    "update",
                    rule,
                    tuple(given if states else [given[0], None, given[1]]),
                    params,
                    step=Step(step=3, learning_rate=1e-3),
                    fill=lambda rng, states=states, n=n: (
                        data(rng, states, n)
                        if states
                        else [data(rng, 0, n)[0], None, data(rng, 0, n)[1]]
                    ),
                )
            )
    return found


if __name__ == "__main__":
    main("update", calls(), Path(__file__).parents[1] / "results")
