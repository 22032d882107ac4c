"""Training steps to race: the same network, data, weights and optimiser for every contender."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from convkit.ops.registry import Array

# Keras and PyTorch add epsilon before and after the bias correction; at their defaults the first
# steps would differ by percents, and there would be no telling a mistake from that.
ADAM_EPSILON = 1e-12


@dataclass(frozen=True)
class Case:
    """A network to train.

    Attributes
    ----------
    name : str
    network : str
        "lenet5" (modern: tanh, average pooling) or "mlp".
    batch : int
    optimizer : str
        "momentum" (SGD, 0.9, rate 0.01) or "adam" (rate 0.001).
    sizes : tuple of int
        Widths of an MLP, ReLU between them.
    """

    name: str
    network: str
    batch: int
    optimizer: str
    sizes: tuple[int, ...] = ()

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the parameters in Keras's order."""
        if self.network == "lenet5":
            kernels = [(5, 5, 1, 6), (5, 5, 6, 16), (400, 120), (120, 84), (84, 10)]
        else:
            kernels = list(zip(self.sizes[:-1], self.sizes[1:], strict=True))
        return [shape for k in kernels for shape in (k, (k[-1],))]

    def weights(self) -> list[Array]:
        """Glorot-uniform kernels and small biases, the same for every contender."""
        rng = np.random.Generator(np.random.Philox(1))
        weights = []
        for shape in self.shapes:
            if len(shape) == 1:
                limit = 0.01
            else:
                field = math.prod(shape[:-2])
                limit = math.sqrt(6 / (field * (shape[-2] + shape[-1])))
            weights.append(rng.uniform(-limit, limit, shape).astype(np.float32))
        return weights

    def data(self) -> tuple[Array, Array]:
        """Images in 0..1 and labels: at least 2,048 samples and 4 batches."""
        count = max(2048 // self.batch * self.batch, 4 * self.batch)
        rng = np.random.Generator(np.random.Philox(2))
        shape = (28, 28, 1) if self.network == "lenet5" else (self.sizes[0],)
        x = rng.random((count, *shape), dtype=np.float32)
        classes = 10 if self.network == "lenet5" else self.sizes[-1]
        return x, rng.integers(0, classes, count).astype(np.int64)


CASES = {
    case.name: case
    for case in (
        *(Case(f"lenet5, batch {n}", "lenet5", n, "momentum") for n in (1, 32, 128, 512)),
        *(Case(f"mlp 784-128-10, batch {n}", "mlp", n, "adam", (784, 128, 10)) for n in (32, 128)),
    )
}
