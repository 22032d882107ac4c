"""Whole steps by PyTorch: eager or compiled, in either layout of images."""

from __future__ import annotations

import gc
import os
from typing import Any

import numpy as np
import torch
from torch import nn

from convkit.bench.peers.torch_twin import images, trainable, twin
from convkit.bench.peers.workload import ADAM_EPSILON, Workload, changes

__all__ = ["Steps", "check_isa"]


def check_isa() -> None:
    """Hold inductor to the ISA of the race, and refuse to race where PyTorch is not held to it."""
    widths = {"avx2": 256, "baseline": 0}
    isa = os.environ.get("CONVKIT_ISA", "")
    if isa in widths and "ATEN_CPU_CAPABILITY" in os.environ:
        import torch._inductor.config

        torch._inductor.config.cpp.simdlen = widths[isa]
        found = torch.backends.cpu.get_cpu_capability()
        if found != {"avx2": "AVX2", "baseline": "DEFAULT"}[isa]:
            raise RuntimeError(f"PyTorch runs {found}, although it was held to {isa}")


class Steps:
    """A contender; see `convkit.bench.Contender`.

    Parameters
    ----------
    workload : dict
        Of `Workload`.
    threads : int
    channels_last, fused, compiled : bool
        Layout of images, fused optimizer, `torch.compile` of network and loss.
    """

    def __init__(
        self,
        workload: dict[str, Any],
        threads: int,
        channels_last: bool = False,
        fused: bool = False,
        compiled: bool = False,
    ) -> None:
        torch.set_num_threads(threads)
        check_isa()
        self.workload = Workload(**workload)
        self.model: Any = self.workload.model()
        x, y = self.workload.data(self.model)
        image = x.ndim == 4
        network: Any = twin(self.model)
        self.x = images(x) if image else torch.from_numpy(x)
        self.y = torch.from_numpy(y)
        if channels_last:
            network = network.to(memory_format=torch.channels_last)
        elif image:
            self.x = self.x.contiguous()
        device = self.workload.device
        network, self.x, self.y = network.to(device), self.x.to(device), self.y.to(device)
        criterion = nn.CrossEntropyLoss()

        def loss(x: Any, y: Any) -> Any:
            logits = network(x)
            return criterion(logits.reshape(-1, logits.shape[-1]), y.reshape(-1))

        self.network, self.loss, self.predict = network, loss, network
        if compiled:
            torch._dynamo.reset()
            self.loss = torch.compile(loss, dynamic=False)
            self.predict = torch.compile(network, dynamic=False)
        parameters = [p for p in network.parameters() if p.requires_grad]
        rate = self.workload.rate
        self.optimizer: torch.optim.Optimizer
        if self.workload.optimizer == "adam":
            self.optimizer = torch.optim.Adam(parameters, rate, eps=ADAM_EPSILON, fused=fused)
        else:
            self.optimizer = torch.optim.SGD(parameters, rate, momentum=0.9, fused=fused)

    def step(self, at: int) -> Any:
        batch = self.workload.batch
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.loss(self.x[at : at + batch], self.y[at : at + batch])
        loss.backward()
        self.optimizer.step()
        return loss

    def outputs(self) -> dict[str, list[float]]:
        """As in `convkit_models`; later steps go on from the weights that this leaves."""
        work, count = self.workload, len(self.x)
        dropouts = [(m, m.p) for m in self.network if isinstance(m, nn.Dropout)]
        for m, _ in dropouts:
            m.p = 0.0
        self.network.eval()
        with torch.inference_mode():
            logits = self.predict(self.x[: work.batch])
            first = torch.softmax(logits, dim=-1)[:4].cpu().numpy()
        found = {"outputs": np.ravel(first)[:4000].tolist()}
        if work.mode == "train":
            self.network.train()
            before = [a.copy() for a in trainable(self.network, self.model)]
            steps = (self.step(n * work.batch % count) for n in range(work.compared))
            losses = [float(loss.detach()) for loss in steps]
            after = trainable(self.network, self.model)
            found |= {"losses": losses, **changes(before, after)}
        for m, p in dropouts:
            m.p = p
        return found

    def run(self, steps: int) -> None:
        """Train for so many steps, walking through the data; or predict batch by batch."""
        if self.model is not None:  # it holds a second copy of the weights
            self.model = None
            gc.collect()
        batch, count = self.workload.batch, len(self.x)
        if self.workload.mode == "train":
            for n in range(steps):
                self.step(n * batch % count)
            return
        with torch.inference_mode():
            for n in range(steps):
                at = n * batch % count
                torch.softmax(self.predict(self.x[at : at + batch]), dim=-1)
