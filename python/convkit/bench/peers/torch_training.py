"""Training steps by PyTorch on the CPU: eager, with the layouts and optimisers that suit it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from convkit.bench.cases import ADAM_EPSILON, CASES, Case


def _network(case: Case) -> Any:
    if case.network == "lenet5":
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.Tanh(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, 10),
        )  # fmt: skip
    layers: list[Any] = []
    for a, b in zip(case.sizes[:-1], case.sizes[1:], strict=True):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _ported(case: Case) -> list[Any]:
    """The case's weights in PyTorch's layout; flattened images are (C, H, W) there."""
    ported = []
    for w in case.weights():
        if w.ndim == 4:
            w = w.transpose(3, 2, 0, 1)
        elif w.ndim == 2:
            if case.network == "lenet5" and w.shape[0] == 400:
                w = w.reshape(5, 5, 16, 120).transpose(2, 0, 1, 3).reshape(400, 120)
            w = w.T
        ported.append(torch.from_numpy(np.ascontiguousarray(w)))
    return ported


class Training:
    """Runs steps of one case; see `convkit.bench.worker`."""

    def __init__(
        self, case: str, threads: int, channels_last: bool = False, fused: bool = False
    ) -> None:
        torch.set_num_threads(threads)
        self.case = CASES[case]
        self.channels_last = channels_last and self.case.network == "lenet5"
        self.fused = fused
        x, y = self.case.data()
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(y)
        if self.case.network == "lenet5":
            self.x = self.x.permute(0, 3, 1, 2).contiguous()
        if self.channels_last:
            self.x = self.x.contiguous(memory_format=torch.channels_last)
        self.loss = nn.CrossEntropyLoss()
        self.reset()

    def reset(self) -> None:
        self.network = _network(self.case)
        with torch.no_grad():
            for p, w in zip(self.network.parameters(), _ported(self.case), strict=True):
                p.copy_(w)
        if self.channels_last:
            self.network = self.network.to(memory_format=torch.channels_last)
        parameters = self.network.parameters()
        self.optimizer: torch.optim.Optimizer
        if self.case.optimizer == "adam":
            self.optimizer = torch.optim.Adam(parameters, 0.001, eps=ADAM_EPSILON, fused=self.fused)
        else:
            self.optimizer = torch.optim.SGD(parameters, 0.01, momentum=0.9, fused=self.fused)

    def step(self, at: int) -> Any:
        batch = self.case.batch
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.network(self.x[at : at + batch]), self.y[at : at + batch])
        loss.backward()
        self.optimizer.step()
        return loss

    def outputs(self) -> dict[str, list[float]]:
        """Losses of the first eight steps, and the norms of the weights after them."""
        count, batch = len(self.x), self.case.batch
        losses = [float(self.step(n * batch % count).detach()) for n in range(8)]
        norms = [float(p.detach().norm()) for p in self.network.parameters()]
        self.reset()
        return {"loss": losses, "weight norms": norms}

    def run(self, steps: int) -> None:
        """Train for a number of steps, walking through the data."""
        count, batch = len(self.x), self.case.batch
        for n in range(steps):
            self.step(n * batch % count)
