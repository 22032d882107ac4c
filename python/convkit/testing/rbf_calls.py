"""Calls of rbf and scatter: the layers of real networks, and awkward shapes."""

from __future__ import annotations

import numpy as np

from convkit.ops.rbf import rbf_params
from convkit.ops.registry import Array, Spec
from convkit.ops.scatter import scatter_params
from convkit.testing.calls import Call, Fill, Shape

__all__ = [
    "RBF_LAYERS", "RBF_SHAPES", "SCATTER_LAYERS", "SCATTER_SHAPES", "awkward_rbf",
    "awkward_scatter", "named_rbf", "named_scatter", "rbf", "scatter",
]  # fmt: skip

# Rows, features and centres; the second with a sixteenth of the work for the reference.
RBF_LAYERS: dict[str, tuple[tuple[Shape, int, int], tuple[Shape, int, int]]] = {
    "lenet5 1998, output": (((128,), 84, 10), ((128,), 84, 10)),
    "mnist, 1000 centres": (((128,), 784, 1000), ((32,), 784, 250)),
}
RBF_SHAPES: dict[str, tuple[Shape, int, int]] = {
    "size 1": ((1,), 1, 1),
    "one sample": ((), 5, 3),
    "primes": ((13,), 17, 19),
    "sequences": ((3, 5), 7, 11),
    "15 to 31 centres": ((6,), 15, 31),
    "17 to 33 centres": ((65,), 17, 33),
    "one centre": ((9,), 40, 1),
    "one feature": ((9,), 1, 40),
    "long sum": ((2,), 1009, 3),
    "many rows": ((300,), 5, 70),
    "empty batch": ((0,), 4, 3),
}
# Leading axes, values and places: the filters of connection tables.
SCATTER_LAYERS: dict[str, tuple[Shape, int, int]] = {
    "lenet5 1998, c3": ((25,), 60, 96),
    "alexnet.conv2 as a table": ((25,), 12_288, 24_576),
}
SCATTER_SHAPES: dict[str, tuple[Shape, int, int]] = {
    "size 1": ((1,), 1, 1),
    "no rows": ((), 3, 5),
    "primes": ((3, 5), 7, 13),
    "all places": ((4,), 17, 17),
    "one of many": ((6,), 1, 1009),
    "in two parts": ((2,), 300, 5003),
    "empty batch": ((0,), 2, 3),
}


def rbf(name: str, rows: Shape, c: int, k: int, scale: float = 1.0) -> list[Call]:
    """All passes for rows of C features and K centres."""
    x, w, d, s = Spec((*rows, c)), Spec((c, k)), Spec((*rows, k)), Spec((k,))
    params = rbf_params(scale)

    def squares(rng: np.random.Generator) -> list[Array | None]:
        """Distances of the size of the squared widths, so that the Gaussians are of size 1."""
        d2 = rng.standard_normal(d.shape) ** 2
        return [d2.astype(np.float32), 0.5 * rng.standard_normal(k, "f4")]

    def gradients(rng: np.random.Generator) -> list[Array | None]:
        d2, log = squares(rng)
        assert d2 is not None and log is not None
        y = np.exp(-d2 / (2 * np.exp(log) ** 2))
        return [rng.standard_normal(d.shape, "f4"), y, d2, log]

    return [
        Call(name, "rbf", "distance", (x, w), params),
        Call(name, "rbf", "backward_input", (d, x, w), params, (x,)),
        Call(name, "rbf", "backward_weight", (d, x, w), params, (w,)),
        Call(name, "rbf", "gaussian", (d, s), params, fill=squares),
        Call(name, "rbf", "gaussian_backward", (d, d, d, s), params, (d, s), fill=gradients),
    ]


def scatter(name: str, rows: Shape, m: int, size: int) -> list[Call]:
    """Both passes of M values that go to `size` places."""
    v, y, index = Spec((*rows, m)), Spec((*rows, size)), Spec((m,), "int32")

    def fill(shape: Shape) -> Fill:
        def arrays(rng: np.random.Generator) -> list[Array | None]:
            return [rng.standard_normal(shape, "f4"), rng.permutation(size)[:m]]

        return arrays

    params = scatter_params(size)
    return [
        Call(name, "scatter", "forward", (v, index), params, fill=fill(v.shape)),
        Call(name, "scatter", "backward", (y, index), params, fill=fill(y.shape)),
    ]


def named_rbf(small: bool) -> list[Call]:
    """All passes of rbf on the layers of real networks."""
    found = []
    for name, (whole, part) in RBF_LAYERS.items():
        rows, c, k = part if small else whole
        found += rbf(f"{name}, batch {rows[0]}, {c} x {k}", rows, c, k)
    return found


def named_scatter(small: bool) -> list[Call]:
    """Both passes of scatter on the filters of real networks."""
    return [call for name, s in SCATTER_LAYERS.items() for call in scatter(name, *s)]


def awkward_rbf() -> list[list[Call]]:
    """All passes of rbf on awkward shapes."""
    found = [rbf(name, *shape) for name, shape in RBF_SHAPES.items()]
    return [*found, rbf("negated", (5,), 7, 19, scale=-1.0)]


def awkward_scatter() -> list[list[Call]]:
    """Both passes of scatter on awkward shapes."""
    return [scatter(name, *shape) for name, shape in SCATTER_SHAPES.items()]
