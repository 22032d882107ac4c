"""A multilayer perceptron as one writes it in NumPy: no framework, nothing saved."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.bench.peers.workload import ADAM_EPSILON, Workload, changes
from convkit.ops.registry import Array

__all__ = ["Steps"]


class Steps:
    """ReLU layers, softmax with cross-entropy, Adam (Kingma and Ba 2015, algorithm 1)."""

    def __init__(self, workload: dict[str, Any], threads: int) -> None:
        self.workload = Workload(**workload)
        if self.workload.network != "mlp" or self.workload.optimizer != "adam":
            raise ValueError("the NumPy contender is an MLP with Adam")
        model = self.workload.model()
        self.weights: list[Array] = [w.copy() for w in model.get_weights()]
        self.x, self.y = self.workload.data(model)
        self.initial = [w.copy() for w in self.weights]
        self.reset()

    def reset(self) -> None:
        for w, first in zip(self.weights, self.initial, strict=True):
            w[...] = first
        self.m = [np.zeros_like(w) for w in self.weights]
        self.v = [np.zeros_like(w) for w in self.weights]
        self.t = 0

    def forward(self, x: Array) -> tuple[list[Array], Array]:
        """Inputs of all layers, and probabilities (N, classes)."""
        inputs = [x]
        for i in range(0, len(self.weights), 2):
            x = x @ self.weights[i] + self.weights[i + 1]
            if i + 2 < len(self.weights):
                x = np.maximum(x, 0)
                inputs.append(x)
        e = np.exp(x - x.max(axis=1, keepdims=True))
        return inputs, e / e.sum(axis=1, keepdims=True)

    def step(self, at: int) -> float:
        """One step on the batch that begins at a sample; its loss before."""
        n = self.workload.batch
        x, y = self.x[at : at + n], self.y[at : at + n]
        inputs, p = self.forward(x)
        rows = np.arange(n)
        loss = -np.log(p[rows, y]).mean()
        d = p
        d[rows, y] -= 1
        d /= n
        gradients: list[Array] = []
        for i in range(len(self.weights) - 2, -1, -2):
            gradients[:0] = [inputs[i // 2].T @ d, d.sum(axis=0)]
            if i:
                d = (d @ self.weights[i].T) * (inputs[i // 2] > 0)
        self.t += 1
        scale = self.workload.rate * np.sqrt(1 - 0.999**self.t) / (1 - 0.9**self.t)
        for w, g, m, v in zip(self.weights, gradients, self.m, self.v, strict=True):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            w -= np.float32(scale) * m / (np.sqrt(v) + ADAM_EPSILON)
        return float(loss)

    def outputs(self) -> dict[str, list[float]]:
        """As in `convkit_models`."""
        n, count = self.workload.batch, len(self.x)
        found = {"outputs": self.forward(self.x[:n])[1][:4].ravel().tolist()}
        losses = [self.step(k * n % count) for k in range(self.workload.compared)]
        found |= {"losses": losses, **changes(self.initial, self.weights)}
        self.reset()
        return found

    def run(self, steps: int) -> None:
        for n in range(steps):
            self.step(n * self.workload.batch % len(self.x))
