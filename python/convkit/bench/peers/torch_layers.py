"""A pass of a layer by PyTorch: one operator, its outputs allocated by it as in training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from convkit.bench.peers.layer_pass import RATE, LayerPass, seen
from convkit.bench.peers.torch_models import check_isa
from convkit.ops.registry import Array

__all__ = ["Layer"]


class Layer:
    """A contender; see `convkit.bench.Contender`.

    Parameters
    ----------
    layer : dict
        Of `LayerPass`.
    threads : int
    channels_last : bool
        Layout of images and filters.
    """

    def __init__(self, layer: dict[str, Any], threads: int, channels_last: bool = False) -> None:
        torch.set_num_threads(threads)
        check_isa()
        self.layer = LayerPass(**layer)
        self.format = torch.channels_last if channels_last else torch.contiguous_format
        arrays = [a for a in self.layer.call().arrays() if a is not None]
        self.operation: Callable[[], Any]
        if self.layer.which == "update":
            self.operation = self._update(*arrays)
        elif len(self.layer.w) == 2:
            self.operation = self._dense(*map(torch.from_numpy, arrays))
        else:
            self.operation = self._conv2d(*arrays)

    def _images(self, x: Array) -> Any:
        return torch.from_numpy(x).permute(0, 3, 1, 2).contiguous(memory_format=self.format)

    def _filters(self, w: Array) -> Any:
        return torch.from_numpy(w).permute(3, 2, 0, 1).contiguous(memory_format=self.format)

    def _conv2d(self, *arrays: Array) -> Callable[[], Any]:
        layer = self.layer
        stride, padding, groups = [layer.stride] * 2, [layer.padding] * 2, layer.groups
        if layer.which == "forward":
            x, w, b = self._images(arrays[0]), self._filters(arrays[1]), torch.from_numpy(arrays[2])
            return lambda: torch.nn.functional.conv2d(x, w, b, stride, padding, 1, groups)
        dy = self._images(arrays[0])
        to_input = layer.which == "backward_input"
        # The operand that a pass does not read gives its shape only.
        x = self._images(np.zeros(layer.x, "f4") if to_input else arrays[1])
        w = self._filters(arrays[1] if to_input else np.zeros(layer.w, "f4"))
        mask = [to_input, not to_input, not to_input]
        backward = torch.ops.aten.convolution_backward
        options = (stride, padding, [1, 1], False, [0, 0], groups, mask)
        return lambda: backward(dy, x, w, [layer.w[3]], *options)

    def _dense(self, *arrays: Any) -> Callable[[], Any]:
        if self.layer.which == "forward":
            x, kernel, b = arrays
            w = kernel.T.contiguous()
            return lambda: torch.nn.functional.linear(x, w, b)
        if self.layer.which == "backward_input":
            dy, w = arrays[0], arrays[1].T.contiguous()
            return lambda: dy @ w
        dy, x = arrays
        return lambda: (dy.T @ x, dy.sum(dim=0))

    def _update(self, g: Array, v: Array, w: Array) -> Callable[[], Any]:
        p = torch.nn.Parameter(torch.from_numpy(w))
        p.grad = torch.from_numpy(g)
        optimizer = torch.optim.SGD([p], RATE, momentum=0.9, fused=True)
        # Keras's velocity has the rate in it, and the other sign.
        optimizer.state[p]["momentum_buffer"] = torch.from_numpy(v) / -RATE

        def step() -> Any:
            optimizer.step()
            return p.detach()

        return step

    def outputs(self) -> dict[str, list[float]]:
        """The results of one run, in convkit's layout."""
        with torch.no_grad():
            results = self.operation()
        results = [results] if isinstance(results, torch.Tensor) else results
        return seen({f"result {i}": a for i, a in enumerate(map(self._array, self._kept(results)))})

    def _kept(self, results: Any) -> list[Any]:
        return [r for r in results if r is not None]

    def _array(self, a: Any) -> Array:
        if a.ndim == 4:
            axes = (2, 3, 1, 0) if self.layer.which == "backward_weight" else (0, 2, 3, 1)
            a = a.permute(*axes)
        elif self.layer.which == "backward_weight" and a.ndim == 2:
            a = a.T
        found: Array = np.ascontiguousarray(a.numpy())
        return found

    def run(self, steps: int) -> None:
        with torch.no_grad():
            for _ in range(steps):
                self.operation()
