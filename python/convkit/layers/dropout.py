"""Dropout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convkit.layers.base import Layer
from convkit.ops.dropout import dropout_params

if TYPE_CHECKING:
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["Dropout"]


class Dropout(Layer):
    """Set a share of the values to 0 while training, and scale the others up to make good for it.

    Parameters
    ----------
    rate : float
        The share, from 0 to less than 1.
    noise_shape : None
        Not supported.
    seed : int, optional
        Tells this layer's masks from those of other layers; by default the layer's place in the
        model does. Masks depend on the global seed as well.
    **kwargs
        Common arguments of `Layer`.
    """

    supports_masking = True

    def __init__(
        self, rate: float, noise_shape: None = None, seed: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"{self.title}: rate must be from 0 to less than 1, got {rate}")
        if noise_shape is not None:
            raise ValueError(f"{self.title}: noise_shape is not supported; leave it at None")
        self.rate = float(rate)
        self.seed = seed

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        if not builder.training or self.rate == 0:
            return inputs[0]
        stream = sum(i.op == "dropout" for i in builder.program.instructions)
        if self.seed is not None:  # apart from the places
            stream = 1 << 31 | self.seed & 0x7FFFFFFF
        y = builder.emit("dropout", "forward", inputs[:1], dropout_params(self.rate, stream))[0]
        assert y is not None
        return y
