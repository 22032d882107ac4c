"""Convolutions with filters of each channel's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convkit import activations
from convkit.layers.activations import emit_activation
from convkit.layers.base import Layer
from convkit.layers.checks import channels_last, explained, pair, positive
from convkit.ops.conv2d import conv2d_params

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["DepthwiseConv2D", "SeparableConv2D", "SeparableConvolution2D"]


class _Depthwise(Layer):
    """What both layers do first: `depth_multiplier` filters for each channel."""

    expects = (4, "(N, H, W, C)")

    def __init__(
        self,
        kernel_size: Any,
        strides: Any,
        padding: Any,
        depth_multiplier: int,
        data_format: str | None,
        dilation_rate: Any,
        activation: Any,
        use_bias: bool,
        depthwise_initializer: Any,
        bias_initializer: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        channels_last(self, data_format)
        self.kernel_size = pair(self, "kernel_size", kernel_size)
        self.strides = pair(self, "strides", strides)
        self.padding = padding.lower() if isinstance(padding, str) else padding
        self.depth_multiplier = positive(self, "depth_multiplier", depth_multiplier)
        self.dilation_rate = pair(self, "dilation_rate", dilation_rate)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.depthwise_initializer = depthwise_initializer
        self.bias_initializer = bias_initializer
        self.depthwise: Parameter | None = None
        self.bias: Parameter | None = None

    def check_input(self, shape: Shape) -> None:
        super().check_input(shape)
        if self.built and self.depthwise is not None and shape[3] != self.depthwise.shape[2]:
            raise ValueError(
                f"{self.title} has weights for {self.depthwise.shape[2]} channels, got {shape[3]} "
                f"(input {shape})"
            )

    def _depthwise_shape(self, shape: Any) -> tuple[int, int, int, int]:
        return (*self.kernel_size, int(shape[3]), self.depth_multiplier)

    # Channel c * depth_multiplier + m comes of kernel[:, :, c, m]: a grouped filter in memory.
    def _filter_shape(self, shape: Any) -> tuple[int, int, int, int]:
        return (*self.kernel_size, 1, int(shape[3]) * self.depth_multiplier)

    def _params(self, shape: Any) -> dict[str, Any]:
        with explained(self):
            return conv2d_params(
                (1, *shape[1:]), self._filter_shape(shape), self.strides, self.padding,
                self.dilation_rate, int(shape[3]),
            )  # fmt: skip

    def _depthwise_output(self, shape: Any) -> Shape:
        operands = [shape, self._filter_shape(shape), None]
        return self.infer("conv2d", "forward", operands, self._params(shape))

    def _emit_depthwise(self, builder: Builder, x: Value, bias: Parameter | None) -> Value:
        assert self.depthwise is not None
        shape = x.spec.shape
        w = builder.view(builder.parameter(self.depthwise), self._filter_shape(shape))
        b = None if bias is None else builder.parameter(bias)
        y = builder.emit("conv2d", "forward", [x, w, b], self._params(shape))[0]
        assert y is not None
        return y


class DepthwiseConv2D(_Depthwise):
    """Convolution of each channel of images (N, H, W, C) with filters of its own.

    Parameters
    ----------
    kernel_size : int or pair of int
    strides : int or pair of int
    padding : str, int or pair
        "valid" (none), "same" (ceil(H / stride) rows come out) or a number of pixels.
    depth_multiplier : int
        Filters per channel. The kernel is (KH, KW, C, depth_multiplier), and its filter m for
        channel c makes channel ``c * depth_multiplier + m``.
    data_format : str, optional
        None or "channels_last".
    dilation_rate : int or pair of int
    activation : str, ActivationFunction, activation layer, optional
    use_bias : bool
    depthwise_initializer, bias_initializer : str or Initializer
    **kwargs
        Common arguments of `Layer`. Constraints may be None only.
    """

    def __init__(
        self,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: Any = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        if "depthwise_regularizer" in kwargs:  # here the weight is called "kernel"
            kwargs["kernel_regularizer"] = kwargs.pop("depthwise_regularizer")
        super().__init__(
            kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate, activation,
            use_bias, depthwise_initializer, bias_initializer, **kwargs,
        )  # fmt: skip

    def build(self, input_shape: Any) -> None:
        self.depthwise = self.add_weight(
            "kernel", self._depthwise_shape(input_shape), self.depthwise_initializer
        )
        if self.use_bias:
            self.bias = self.add_weight(
                "bias", (self._filter_shape(input_shape)[3],), self.bias_initializer
            )

    @property
    def kernel(self) -> Parameter | None:
        return self.depthwise

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return self._depthwise_output(input_shape)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        y = self._emit_depthwise(builder, inputs[0], self.bias)
        return emit_activation(builder, y, self.activation)


class SeparableConv2D(_Depthwise):
    """Depthwise convolution, then a 1 x 1 convolution that mixes the channels.

    Parameters
    ----------
    filters : int
        Number of output channels.
    kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate
        As in `DepthwiseConv2D`.
    activation : str, ActivationFunction, activation layer, optional
        After the 1 x 1 convolution; there is none between the two.
    use_bias : bool
        Of the 1 x 1 convolution.
    depthwise_initializer, pointwise_initializer, bias_initializer : str or Initializer
    **kwargs
        Common arguments of `Layer`. Constraints may be None only.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        depth_multiplier: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            kernel_size, strides, padding, depth_multiplier, data_format, dilation_rate, activation,
            use_bias, depthwise_initializer, bias_initializer, **kwargs,
        )  # fmt: skip
        self.filters = positive(self, "filters", filters)
        self.pointwise_initializer = pointwise_initializer
        self.pointwise: Parameter | None = None

    def build(self, input_shape: Any) -> None:
        self.depthwise = self.add_weight(
            "depthwise_kernel", self._depthwise_shape(input_shape), self.depthwise_initializer
        )
        shape = (1, 1, self._filter_shape(input_shape)[3], self.filters)
        self.pointwise = self.add_weight("pointwise_kernel", shape, self.pointwise_initializer)
        if self.use_bias:
            self.bias = self.add_weight("bias", (self.filters,), self.bias_initializer)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (*self._depthwise_output(input_shape)[:3], self.filters)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        assert self.pointwise is not None
        x = self._emit_depthwise(builder, inputs[0], None)
        w = builder.parameter(self.pointwise)
        b = None if self.bias is None else builder.parameter(self.bias)
        params = conv2d_params(x.spec.shape, w.spec.shape)
        y = builder.emit("conv2d", "forward", [x, w, b], params)[0]
        assert y is not None
        return emit_activation(builder, y, self.activation)


SeparableConvolution2D = SeparableConv2D
