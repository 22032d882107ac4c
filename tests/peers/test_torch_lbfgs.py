"""PyTorch's L-BFGS as a second opinion: the same network, data and start."""

from __future__ import annotations

import numpy as np
import pytest

import convkit as ck
from models.conftest import objective_of

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer

ITERATIONS = 40


def problem() -> tuple[ck.Sequential, np.ndarray, np.ndarray]:
    (x, y), _ = ck.datasets.digits.load_data()
    x = x.reshape(len(x), -1).astype(np.float32) / 255
    ck.set_seed(0)
    model = ck.models.mlp([64, 16, 10], "tanh", "softmax")
    model.compile("lbfgs", loss="sparse_categorical_crossentropy")
    model.build()
    return model, x[:500], y[:500].astype(np.int64)


class Twin:
    """The loss of the perceptron in PyTorch, in float64."""

    def __init__(self, model: ck.Sequential, x: np.ndarray, y: np.ndarray) -> None:
        self.weights = [
            torch.tensor(w, dtype=torch.float64, requires_grad=True) for w in model.get_weights()
        ]
        self.x, self.y = torch.tensor(x, dtype=torch.float64), torch.tensor(y)
        self.evaluations = 0

    def loss(self) -> torch.Tensor:
        self.evaluations += 1
        w1, b1, w2, b2 = self.weights
        logits = torch.tanh(self.x @ w1 + b1) @ w2 + b2
        for w in self.weights:
            w.grad = None
        loss = torch.nn.functional.cross_entropy(logits, self.y)
        loss.backward()
        return loss


def test_loss_and_gradient_are_those_of_pytorch() -> None:
    model, x, y = problem()
    objective = objective_of(model, x, y, 128)
    loss, gradient = objective(objective.gather(model.store.parameters))
    twin = Twin(model, x, y)
    assert loss == pytest.approx(float(twin.loss().detach()), rel=1e-13)
    expected = np.concatenate([w.grad.numpy().ravel() for w in twin.weights])
    assert gradient == pytest.approx(expected, abs=1e-13 * abs(expected).max())


def test_as_low_as_pytorch_in_as_many_passes() -> None:
    """The two take other steps from the first on; a factor of two in the loss is no difference."""
    model, x, y = problem()
    twin = Twin(model, x, y)
    lbfgs = torch.optim.LBFGS(
        twin.weights, lr=1, max_iter=ITERATIONS, max_eval=10_000, tolerance_grad=0.0,
        tolerance_change=0.0, history_size=10, line_search_fn="strong_wolfe",
    )  # fmt: skip
    lbfgs.step(twin.loss)
    evaluations, low = twin.evaluations, float(twin.loss().detach())
    history = model.fit(x, y, epochs=ITERATIONS, verbose=0).history
    assert history["loss"][-1] <= 2 * low
    assert sum(history["evaluations"]) <= 1.25 * evaluations
