"""Subsampling with weights, as LeNet-5 had it in 1998."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit import activations, initializers
from convkit.layers.activations import emit_activation
from convkit.layers.base import Layer
from convkit.layers.checks import channels_last, explained, pair
from convkit.ops.pool2d import pool2d_params

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["Subsampling2D"]


class Subsampling2D(Layer):
    """Sum over windows, times a coefficient for each map, plus a bias, through an activation.

    ``y = f(coefficient_c * sum of the window + bias_c)`` on images (N, H, W, C), as in the layers
    S2 and S4 of LeNet-5 (LeCun et al. 1998, section II-B).

    It is computed as an average times (size of the window * coefficient), which is the same number;
    the weight and its gradient are those of the sum.

    Parameters
    ----------
    pool_size : int or pair of int
    strides : int or pair of int, optional
        By default `pool_size`.
    padding : str, int or pair
        "valid" (none), "same" or a number of pixels, which are 0.
    data_format : str, optional
        None or "channels_last".
    activation : str, ActivationFunction, activation layer, optional
    use_bias : bool
    coefficient_initializer : str or Initializer, optional
        By default 1 / (size of the window): the layer begins as an average.
    bias_initializer : str or Initializer
    **kwargs
        Common arguments of `Layer`.
    """

    expects = (4, "(N, H, W, C)")

    def __init__(
        self,
        pool_size: Any = (2, 2),
        strides: Any = None,
        padding: Any = "valid",
        data_format: str | None = None,
        activation: Any = None,
        use_bias: bool = True,
        coefficient_initializer: Any = None,
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        channels_last(self, data_format)
        self.pool_size = pair(self, "pool_size", pool_size)
        self.strides = self.pool_size if strides is None else pair(self, "strides", strides)
        self.padding = padding.lower() if isinstance(padding, str) else padding
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        if coefficient_initializer is None:
            coefficient_initializer = initializers.Constant(1 / math.prod(self.pool_size))
        self.coefficient_initializer = coefficient_initializer
        self.bias_initializer = bias_initializer
        self.coefficient: Parameter | None = None
        self.bias: Parameter | None = None

    def build(self, input_shape: Any) -> None:
        channels = (input_shape[3],)
        self.coefficient = self.add_weight("coefficient", channels, self.coefficient_initializer)
        if self.use_bias:
            self.bias = self.add_weight("bias", channels, self.bias_initializer)

    def check_input(self, shape: Shape) -> None:
        super().check_input(shape)
        if self.built and self.coefficient is not None and shape[3] != self.coefficient.shape[0]:
            raise ValueError(
                f"{self.title} has coefficients for {self.coefficient.shape[0]} maps, got "
                f"{shape[3]} (input {shape})"
            )

    def _params(self, shape: Any) -> dict[str, Any]:
        with explained(self):
            return pool2d_params(
                (1, *shape[1:]), self.pool_size, self.strides, self.padding, count_include_pad=True
            )

    def compute_output_shape(self, input_shape: Any) -> Shape:
        params = self._params(input_shape)
        return self.infer("pool2d", "average_forward", [input_shape], params)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        x = inputs[0]
        assert self.coefficient is not None
        channels = self.coefficient.shape[0]
        average = builder.emit("pool2d", "average_forward", [x], self._params(x.spec.shape))[0]
        # coefficient * sum = (coefficient * size) * average
        coefficient = builder.view(builder.parameter(self.coefficient), (1, channels))
        sizes = np.full(channels, math.prod(self.pool_size), np.float64)
        size = builder.constant(f"{self.name}.size", sizes)
        factor = builder.emit("channel_scale", "forward", [coefficient, size, None], {})[0]
        assert factor is not None
        b = None if self.bias is None else builder.parameter(self.bias)
        factors = builder.view(factor, (channels,))
        y = builder.emit("channel_scale", "forward", [average, factors, b], {})[0]
        assert y is not None
        return emit_activation(builder, y, self.activation)
