"""Layers that make sequences, or say which of their steps count."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.layers.base import Layer
from convkit.layers.checks import positive
from convkit.ops.mask import mask_params
from convkit.ops.upsample2d import upsample2d_params

if TYPE_CHECKING:
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["Masking", "RepeatVector"]


class Masking(Layer):
    """Leave out the steps of sequences whose values are all `mask_value`.

    Recurrent layers after this one pass over these steps, and losses and metrics leave them out.
    The steps themselves become 0.

    Parameters
    ----------
    mask_value : float
        Compared in float32.
    **kwargs
        Common arguments of `Layer`.

    Notes
    -----
    The loss of a batch is the sum of the losses of the steps that count, over their number, as in
    Keras 3; sample weights multiply the losses. Metrics leave the other steps out as well, where
    Keras does so only for those with sample weights.
    """

    def __init__(self, mask_value: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_value = float(mask_value)
        if not np.isfinite(self.mask_value):
            raise ValueError(f"{self.title}: mask_value must be finite, got {mask_value}")

    def check_input(self, shape: Shape) -> None:
        if len(shape) < 3:
            raise ValueError(f"{self.title} expects sequences (N, T, ...), got {shape}")

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        mask = builder.found_mask(inputs[0], self.mask_value)
        y = builder.emit("mask", "forward", [inputs[0], mask], mask_params())[0]
        assert y is not None
        builder.set_mask(y, mask)
        return y


class AttachMask(Layer):
    """Sequences, and numbers of which those other than 0 mark the steps that count.

    What ``layer(x, mask=node)`` of a recurrent layer stands for.
    """

    takes_list = True

    def compute_output_shape(self, input_shape: Any) -> Shape:
        x, mask = input_shape
        if len(x) < 3 or mask != x[:2]:
            raise ValueError(
                f"{self.title}: a mask of shape {mask} does not fit sequences {x}; it must be "
                f"(N, T), {x[:2]} here"
            )
        return tuple(x)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        y = builder.alias(inputs[0])
        builder.set_mask(y, builder.found_mask(inputs[1]))
        return y


class RepeatVector(Layer):
    """The same vector at each of n steps: (N, C) becomes (N, n, C).

    Parameters
    ----------
    n : int
    **kwargs
        Common arguments of `Layer`.
    """

    expects = (2, "(N, C)")

    def __init__(self, n: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.n = positive(self, "n", n)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (None, self.n, input_shape[1])

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        n, c = inputs[0].spec.shape
        # An image of one pixel, enlarged.
        pixel = builder.view(inputs[0], (n, 1, 1, c))
        (y,) = builder.emit("upsample2d", "forward", [pixel], upsample2d_params((self.n, 1)))
        assert y is not None
        return builder.view(y, (n, self.n, c))
