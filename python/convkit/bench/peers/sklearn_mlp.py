"""scikit-learn's MLPClassifier, one `partial_fit` for each step."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier

from convkit.bench.peers.workload import ADAM_EPSILON, Workload, changes

__all__ = ["Steps"]


class Steps:
    """ReLU layers, softmax with cross-entropy and Adam, without its default weight decay."""

    def __init__(self, workload: dict[str, Any], threads: int) -> None:
        self.workload = Workload(**workload)
        if self.workload.network != "mlp" or self.workload.optimizer != "adam":
            raise ValueError("scikit-learn's contender is an MLP with Adam")
        model = self.workload.model()
        self.initial = [w.copy() for w in model.get_weights()]
        self.x, self.y = self.workload.data(model)
        self.classes = np.arange(int(model.output_shape[-1]))
        self.reset()

    def reset(self) -> None:
        hidden = tuple(len(b) for b in self.initial[1:-2:2])
        self.model = MLPClassifier(
            hidden, alpha=0.0, batch_size=self.workload.batch, shuffle=False,
            learning_rate_init=self.workload.rate, epsilon=ADAM_EPSILON,
        )  # fmt: skip
        self.step(0)  # which makes the weights; the optimizer is made anew by the next step
        for w, first in zip(self.weights(), self.initial, strict=True):
            w[...] = first
        del self.model._optimizer

    def weights(self) -> list[Any]:
        pairs = zip(self.model.coefs_, self.model.intercepts_, strict=True)
        return [w for pair in pairs for w in pair]

    def step(self, at: int) -> float:
        n = self.workload.batch
        self.model.partial_fit(self.x[at : at + n], self.y[at : at + n], classes=self.classes)
        return float(self.model.loss_)

    def outputs(self) -> dict[str, list[float]]:
        """As in `convkit_models`."""
        n, count = self.workload.batch, len(self.x)
        found = {"outputs": self.model.predict_proba(self.x[:n])[:4].ravel().tolist()}
        losses = [self.step(k * n % count) for k in range(self.workload.compared)]
        found |= {"losses": losses, **changes(self.initial, self.weights())}
        self.reset()
        return found

    def run(self, steps: int) -> None:
        for n in range(steps):
            self.step(n * self.workload.batch % len(self.x))
