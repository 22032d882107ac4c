"""Convolution of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from convkit import activations, initializers
from convkit.layers.activations import emit_activation
from convkit.layers.base import Layer
from convkit.layers.checks import channels_last, explained, pair, positive
from convkit.layers.connections import ConnectedInitializer, check_connections
from convkit.ops.conv2d import conv2d_params
from convkit.ops.scatter import scatter_params

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["Conv2D", "Convolution2D"]


class Conv2D(Layer):
    """Cross-correlation of images (N, H, W, C) with filters, with bias and activation.

    Parameters
    ----------
    filters : int
        Number of output channels.
    kernel_size : int or pair of int
    strides : int or pair of int
    padding : str, int or pair
        "valid" (none), "same" (ceil(H / stride) rows come out) or a number of pixels.
    data_format : str, optional
        None or "channels_last".
    dilation_rate : int or pair of int
    groups : int
        Each group of filters sees its share of the channels.
    activation : str, ActivationFunction, activation layer, optional
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
    connections : array_like of bool, shape (channels, filters), optional
        Which channels each filter sees, such as table I of LeCun et al. 1998. Only the connected
        filters are weights: the kernel has shape (KH, KW, number of connections), in the order of
        the table's rows. An initializer's fan in is that of each filter.
    **kwargs
        Common arguments of `Layer`. Constraints may be None only.
    """

    expects = (4, "(N, H, W, C)")

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: None = None,
        bias_constraint: None = None,
        connections: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            **kwargs,
        )
        channels_last(self, data_format)
        self.filters = positive(self, "filters", filters)
        self.kernel_size = pair(self, "kernel_size", kernel_size)
        self.strides = pair(self, "strides", strides)
        self.padding = padding.lower() if isinstance(padding, str) else padding
        if isinstance(self.padding, str) and self.padding not in ("valid", "same"):
            raise ValueError(
                f"{self.title}: padding must be 'valid', 'same', or the zeros on each side as "
                f"numbers, got {padding!r}"
            )
        self.dilation_rate = pair(self, "dilation_rate", dilation_rate)
        self.groups = positive(self, "groups", groups)
        if self.filters % self.groups:
            raise ValueError(
                f"{self.title}: groups={self.groups} must divide filters={self.filters}"
            )
        self.connections = None
        if connections is not None:
            self.connections = check_connections(self, connections, self.filters)
            if self.groups > 1:
                raise ValueError(
                    f"{self.title}: connections say what groups={self.groups} would say; leave out "
                    "one of them"
                )
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.kernel: Parameter | None = None
        self.bias: Parameter | None = None

    def build(self, input_shape: Any) -> None:
        shape: tuple[int, ...] = self._kernel_shape(input_shape)
        initializer = initializers.get(self.kernel_initializer)
        if self.connections is not None:
            shape = (*self.kernel_size, int(self.connections.sum()))
            initializer = ConnectedInitializer(initializer, self.connections)
        self.kernel = self.add_weight("kernel", shape, initializer)
        if self.use_bias:
            self.bias = self.add_weight("bias", (self.filters,), self.bias_initializer)

    def check_input(self, shape: Shape) -> None:
        super().check_input(shape)
        channels = shape[3] or 1
        if channels % self.groups:
            raise ValueError(
                f"{self.title}: groups={self.groups} must divide the {channels} channels of its "
                f"input {shape}"
            )
        if self.connections is not None and channels != self.connections.shape[0]:
            raise ValueError(
                f"{self.title}: connections of shape {self.connections.shape} are for "
                f"{self.connections.shape[0]} channels, got {channels} (input {shape})"
            )
        if self.built and self.kernel is not None and self.connections is None:
            expected = self._channels(self.kernel.shape)
            if channels != expected:
                hint = ""
                if shape[1] == expected:
                    hint = "; did you pass channels-first data? images are (N, H, W, C)"
                raise ValueError(
                    f"{self.title} has weights for {expected} channels, got {channels} "
                    f"(input {shape}){hint}"
                )

    def _channels(self, kernel: tuple[int, ...]) -> int:
        """Channels of the input that a kernel of this shape is for."""
        return kernel[2] * self.groups

    def _kernel_shape(self, shape: Any) -> tuple[int, int, int, int]:
        return (*self.kernel_size, int(shape[3]) // self.groups, self.filters)

    def _params(self, shape: Any) -> dict[str, Any]:
        with explained(self):
            return conv2d_params(
                (1, *shape[1:]), self._kernel_shape(shape), self.strides, self.padding,
                self.dilation_rate, self.groups,
            )  # fmt: skip

    def compute_output_shape(self, input_shape: Any) -> Shape:
        w = self._kernel_shape(input_shape)
        b = (self.filters,) if self.use_bias else None
        return self.infer("conv2d", "forward", [input_shape, w, b], self._params(input_shape))

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        x = inputs[0]
        w = self._filters(builder, x)
        b = None if self.bias is None else builder.parameter(self.bias)
        y = builder.emit("conv2d", "forward", [x, w, b], self._params(x.spec.shape))[0]
        assert y is not None
        return emit_activation(builder, y, self.activation)

    def _filters(self, builder: Builder, x: Value) -> Value:
        """The filters; those of a table with zeros where it has no connection."""
        assert self.kernel is not None
        w = builder.parameter(self.kernel)
        if self.connections is None:
            return w
        places = np.flatnonzero(self.connections).astype(np.int32)
        index = builder.constant(f"{self.name}.connections", places)
        params = scatter_params(self.connections.size)
        full = builder.emit("scatter", "forward", [w, index], params, prefix="w")[0]
        assert full is not None
        return builder.view(full, self._kernel_shape(x.spec.shape))


Convolution2D = Conv2D
