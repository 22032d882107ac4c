"""Transposed convolution: from what a convolution gives back to the size of what it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convkit.layers.activations import emit_activation
from convkit.layers.checks import explained, pair
from convkit.layers.convolution import Conv2D
from convkit.ops.conv2d import conv2d_params
from convkit.ops.registry import Spec

if TYPE_CHECKING:
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["Conv2DTranspose", "Convolution2DTranspose"]


class Conv2DTranspose(Conv2D):
    """Transposed convolution of images (N, H, W, C), with bias and activation.

    The linear map whose matrix is the transpose of a `Conv2D`'s with the same arguments: it takes
    what that gives, and gives what it takes (Dumoulin and Visin, arXiv:1603.07285, chapter 4).
    With stride s each pixel becomes s x s pixels and more, where filters overlap.

    Parameters
    ----------
    filters : int
        Number of output channels. The kernel is (KH, KW, filters, C).
    kernel_size : int or pair of int
    strides : int or pair of int
    padding : str
        "valid": (H - 1) stride + max(KH, stride) rows come out; "same": H stride.
    output_padding : int or pair of int, optional
        Rows and columns at the bottom and right, below the strides: (H - 1) stride + KH + it
        rows come out, or with "same" (H - 1) stride + KH % 2 + it.
    data_format : str, optional
        None or "channels_last".
    dilation_rate : int or pair of int
        Where it is d > 1, KH stands for (KH - 1) d + 1 above.
    activation : str, ActivationFunction, activation layer, optional
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
    **kwargs
        Common arguments of `Layer`. Constraints may be None only.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = (1, 1),
        padding: str = "valid",
        output_padding: Any = None,
        data_format: str | None = None,
        dilation_rate: Any = (1, 1),
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters, kernel_size, strides, padding, data_format, dilation_rate,
            activation=activation, use_bias=use_bias, kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer, **kwargs,
        )  # fmt: skip
        if self.groups != 1:
            raise ValueError(f"{self.title} has no groups; leave groups out")
        if self.padding not in ("valid", "same"):
            raise ValueError(
                f"{self.title}: padding must be 'valid' or 'same', got {padding!r}; crop what is "
                "too much with Cropping2D"
            )
        self.output_padding: tuple[int, int] | None = None
        if output_padding is not None:
            self.output_padding = pair(self, "output_padding", output_padding, least=0)
            if any(o >= s for o, s in zip(self.output_padding, self.strides)):
                raise ValueError(
                    f"{self.title}: output_padding={output_padding!r} must be less than strides="
                    f"{self.strides}"
                )

    def _channels(self, kernel: tuple[int, ...]) -> int:
        return kernel[3]

    def _kernel_shape(self, shape: Any) -> tuple[int, int, int, int]:
        return (*self.kernel_size, self.filters, int(shape[3]))

    def _side(self, axis: int, n: int) -> tuple[int, tuple[int, int]]:
        """Length of an axis of the result, and the padding of the convolution that undoes it."""
        stride = self.strides[axis]
        extent = (self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1
        extra = None if self.output_padding is None else self.output_padding[axis]
        full = (n - 1) * stride + extent
        if self.padding == "valid":
            return full + (max(stride - extent, 0) if extra is None else extra), (0, 0)
        size = n * stride if extra is None else (n - 1) * stride + extent % 2 + extra
        cut = max(full - size, 0)
        return size, (cut // 2, cut - cut // 2)

    def _output(self, shape: Any) -> tuple[tuple[int, int, int, int], dict[str, Any]]:
        """Shape of the result for one image, and the parameters of that convolution."""
        (p, vertical), (q, horizontal) = (self._side(i, int(shape[i + 1])) for i in (0, 1))
        y = (1, p, q, self.filters)
        if min(p, q) < 1:
            raise ValueError(
                f"{self.title}: an image of {shape[1]} x {shape[2]} would become {p} x {q}, with "
                f"kernel_size={self.kernel_size}, padding={self.padding!r} and output_padding="
                f"{self.output_padding}; leave output_padding out, or give larger images"
            )
        with explained(self):
            params = conv2d_params(
                y, self._kernel_shape(shape), self.strides, (vertical, horizontal),
                self.dilation_rate,
            )  # fmt: skip
        return y, params

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (None, *self._output(input_shape)[0][1:])

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        x = inputs[0]
        assert self.kernel is not None
        shape, params = self._output(x.spec.shape)
        out = Spec((x.spec.shape[0], *shape[1:]), x.spec.dtype)
        w = builder.parameter(self.kernel)
        y = builder.emit("conv2d", "backward_input", [x, w, None], params, out=[out])[0]
        if self.bias is not None:
            b = builder.parameter(self.bias)
            y = builder.emit("channel_scale", "forward", [y, None, b])[0]
        assert y is not None
        return emit_activation(builder, y, self.activation)


Convolution2DTranspose = Conv2DTranspose
