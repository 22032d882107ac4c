"""PyTorch twins of recurrent layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from convkit import layers
from convkit.ops.registry import Array

__all__ = ["KINDS", "OneHot", "Rows", "arrays", "make"]


class _Outputs:
    """Gives the output of every step or of the last one, and no state."""

    sequences = True

    def forward(self, x: Any) -> Any:
        y, _ = super().forward(x)  # type: ignore[misc]
        return y if self.sequences else y[:, -1]


KINDS: dict[type, Any] = {
    layers.SimpleRNN: type("RNN", (_Outputs, nn.RNN), {}),
    layers.LSTM: type("LSTM", (_Outputs, nn.LSTM), {}),
    layers.GRU: type("GRU", (_Outputs, nn.GRU), {}),
}


class OneHot(nn.Module):
    """Numbers (N, T) to rows (N, T, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, x: Any) -> Any:
        return torch.nn.functional.one_hot(x.long(), self.classes).float()


class Rows(nn.Module):
    """Another shape of the values of a sample."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Any) -> Any:
        return x.reshape(len(x), *self.shape)


def _swapped(w: Array, gru: bool) -> Array:
    """Columns of a GRU between Keras's order of gates (z, r, n) and PyTorch's (r, z, n)."""
    if not gru:
        return w
    first, second, last = np.split(w, 3, axis=-1)
    return np.concatenate([second, first, last], axis=-1)


def make(layer: Any, features: int) -> nn.Module:
    """The twin of a layer with one bias for each gate, or two.

    PyTorch always has two. Where the layer has one, the other stays 0 and is not trained, so that
    both learn the same.
    """
    kind = type(layer)
    if layer.go_backwards or layer.stateful or layer.return_state or layer.truncate:
        raise TypeError(f"{layer.title} has no twin in PyTorch with these options")
    made = KINDS[kind](features, layer.units, batch_first=True, bias=layer.use_bias)
    made.sequences = layer.return_sequences
    gru = kind is layers.GRU
    kernel, recurrent, *bias = (_swapped(w, gru) for w in layer.get_weights())
    values = {"weight_ih_l0": kernel.T, "weight_hh_l0": recurrent.T}
    if bias:
        two = bias[0].ndim == 2
        values["bias_ih_l0"] = bias[0][0] if two else bias[0]
        values["bias_hh_l0"] = bias[0][1] if two else np.zeros_like(bias[0])
        made.bias_hh_l0.requires_grad_(two)
    with torch.no_grad():
        for name, value in values.items():
            getattr(made, name).copy_(torch.from_numpy(np.ascontiguousarray(value)))
    twin: nn.Module = made
    return twin


def arrays(module: Any, of: Callable[[Any], Array]) -> list[Array]:
    """What there is of a twin's trained parameters, in convkit's layout and order."""
    gru = isinstance(module, nn.GRU)
    found = [_swapped(of(w).T, gru) for w in (module.weight_ih_l0, module.weight_hh_l0)]
    if module.bias:
        both = [b for b in (module.bias_ih_l0, module.bias_hh_l0) if b.requires_grad]
        bias = [_swapped(of(b), gru) for b in both]
        found.append(np.stack(bias) if len(bias) == 2 else bias[0])
    return found
