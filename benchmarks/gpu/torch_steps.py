"""Whole training steps by PyTorch on a GPU: eager, compiled, or captured as one graph.

The contenders of ``steps.py``. All data is on the device; on a CPU, which is for trying them out,
what would be captured runs eagerly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from convkit.bench.peers import torch_models

WARM_UP = 3  # steps before a capture, in which libraries choose their algorithms


class Eager(torch_models.Steps):
    """The usual loop over slices of a tensor; the optimizer is one kernel.

    Parameters
    ----------
    workload : dict
        Of `convkit.bench.peers.workload.Workload`. With "bf16", activations are BF16 too.
    threads : int
    channels_last : bool
        Layout of images.
    """

    def __init__(self, workload: dict[str, Any], threads: int, channels_last: bool = False) -> None:
        tf32 = workload.get("precision") == "tf32"
        torch.backends.cuda.matmul.allow_tf32 = tf32
        torch.backends.cudnn.allow_tf32 = tf32
        torch.backends.cudnn.benchmark = True
        super().__init__(workload, threads, channels_last, fused=True)
        self.on_gpu = self.x.device.type == "cuda"
        if self.workload.precision == "bf16":
            cast = torch.autocast(self.x.device.type, torch.bfloat16)
            loss, predict = self.loss, self.predict
            self.loss, self.predict = cast(loss), _in_float32(cast(predict))

    def run(self, steps: int) -> None:
        super().run(steps)
        if self.on_gpu:
            torch.cuda.synchronize()


def _in_float32(predict: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """With its results converted: NumPy has no bfloat16."""
    return lambda x: predict(x).float()


class Compiled(Eager):
    """`torch.compile` of network and loss, whose kernels it replays as graphs."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        torch._dynamo.reset()
        self.loss = torch.compile(self.loss, mode="reduce-overhead", dynamic=False)

    def step(self, at: int) -> Any:
        torch.compiler.cudagraph_mark_step_begin()
        return super().step(at)


class Captured(Eager):
    """One graph of a whole step: batch, forward, loss, backward and update.

    It takes the rows of the batch itself, from where the last step ended, so that a step is one
    launch.
    """

    def __init__(self, *args: Any, channels_last: bool = False, **options: Any) -> None:
        super().__init__(*args, channels_last=channels_last, **options)
        # As they lie in memory.
        self.rows = self.x.permute(0, 2, 3, 1) if channels_last else self.x
        self.channels_last = channels_last
        if self.workload.optimizer == "adam":
            for group in self.optimizer.param_groups:
                group["capturable"] = self.on_gpu
        device = self.x.device
        self.at = torch.zeros((), dtype=torch.int64, device=device)
        self.numbers = torch.arange(self.workload.batch, device=device)
        self.graph: Any = None
        self.rates: list[float] = []  # of dropout, in the graph

    def _whole(self) -> Any:
        self.optimizer.zero_grad(set_to_none=True)
        chosen = self.at + self.numbers
        x, y = self.rows.index_select(0, chosen), self.y.index_select(0, chosen)
        loss = self.loss(x.permute(0, 3, 1, 2) if self.channels_last else x, y)
        loss.backward()
        self.optimizer.step()
        self.at.add_(self.workload.batch).remainder_(len(self.y))
        return loss

    def _capture(self) -> None:
        parameters = list(self.network.parameters())
        before = [p.detach().clone() for p in parameters]
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(WARM_UP):
                self._whole()
        torch.cuda.current_stream().wait_stream(aside)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.result = self._whole()
        with torch.no_grad():  # as if it had not warmed up
            for p, value in zip(parameters, before, strict=True):
                p.copy_(value)
            for state in self.optimizer.state.values():
                for value in state.values():
                    if isinstance(value, torch.Tensor):
                        value.zero_()

    def step(self, at: int) -> Any:
        if not self.on_gpu:
            self.at.fill_(at)
            return self._whole()
        rates = [m.p for m in self.network if isinstance(m, torch.nn.Dropout)]
        if self.graph is None or rates != self.rates:
            self._capture()
            self.rates = rates
            self.at.fill_(at)
        if at == 0:
            self.at.zero_()
        self.graph.replay()
        return self.result
