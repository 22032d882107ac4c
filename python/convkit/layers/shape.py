"""Layers that change the shape of images, and the order of axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convkit.layers.base import Layer
from convkit.layers.checks import channels_last, explained, pair
from convkit.ops.pad2d import pad2d_params
from convkit.ops.transpose import transpose_params
from convkit.ops.upsample2d import upsample2d_params

if TYPE_CHECKING:
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["Cropping2D", "Permute", "UpSampling2D", "ZeroPadding2D"]


class _OneOp(Layer):
    """A layer that is one instruction."""

    op = ""
    pass_name = "forward"
    params: dict[str, Any]

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return self.infer(self.op, self.pass_name, [input_shape], self.params)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        y = builder.emit(self.op, self.pass_name, inputs, self.params)[0]
        assert y is not None
        return y


class ZeroPadding2D(_OneOp):
    """Zeros around images (N, H, W, C).

    Before a Conv2D that alone reads the result it costs nothing: the convolution pads by more.

    Parameters
    ----------
    padding : int, pair or ((top, bottom), (left, right))
        Number of rows and columns. A pair is (vertical, horizontal).
    data_format : str, optional
        None or "channels_last".
    **kwargs
        Common arguments of `Layer`.
    """

    expects = (4, "(N, H, W, C)")
    op = "pad2d"

    def __init__(
        self, padding: Any = (1, 1), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        channels_last(self, data_format)
        with explained(self):
            self.params = dict(pad2d_params(padding))
        self.padding = padding


class Cropping2D(_OneOp):
    """Images (N, H, W, C) without a border.

    Parameters
    ----------
    cropping : int, pair or ((top, bottom), (left, right))
        Number of rows and columns to take off. A pair is (vertical, horizontal).
    data_format : str, optional
        None or "channels_last".
    **kwargs
        Common arguments of `Layer`.
    """

    expects = (4, "(N, H, W, C)")
    op, pass_name = "pad2d", "backward"

    def __init__(
        self, cropping: Any = ((0, 0), (0, 0)), data_format: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        channels_last(self, data_format)
        with explained(self):
            self.params = dict(pad2d_params(cropping))
        self.cropping = cropping


class UpSampling2D(_OneOp):
    """Images (N, H, W, C) enlarged by whole numbers.

    Parameters
    ----------
    size : int or pair of int
        By what height and width are multiplied.
    data_format : str, optional
        None or "channels_last".
    interpolation : str
        "nearest", which repeats pixels, or "bilinear", between the centres of pixels.
    **kwargs
        Common arguments of `Layer`.
    """

    expects = (4, "(N, H, W, C)")
    op = "upsample2d"

    def __init__(
        self,
        size: Any = (2, 2),
        data_format: str | None = None,
        interpolation: str = "nearest",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        channels_last(self, data_format)
        self.size = pair(self, "size", size)
        self.interpolation = interpolation
        with explained(self):
            self.params = dict(upsample2d_params(self.size, interpolation))


class Permute(_OneOp):
    """The axes of a sample in another order.

    Parameters
    ----------
    dims : sequence of int
        A permutation of the axes, counted from 1, as the batch axis stays the first: (2, 1)
        exchanges the two axes of a sample.
    **kwargs
        Common arguments of `Layer`.

    Notes
    -----
    A mask stays where the axis of steps does, the first of `dims` being 1; otherwise it is dropped.
    """

    op = "transpose"

    def __init__(self, dims: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dims = tuple(dims)
        if not self.dims or sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                f"{self.title}: dims must be a permutation of 1, 2, ..., without the batch axis, "
                f"got {dims!r}"
            )
        if len(self.dims) > 5:
            raise ValueError(
                f"{self.title}: at most 5 axes and the batch's are supported, got {dims!r}"
            )
        self.params = dict(transpose_params((0, *self.dims)))

    def check_input(self, shape: Shape) -> None:
        if len(shape) != len(self.dims) + 1:
            raise ValueError(
                f"{self.title}: dims {self.dims} is for samples of {len(self.dims)} axes, got "
                f"input {shape}; name each of its {len(shape) - 1} axes once, from 1"
            )

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        y = super().emit(builder, inputs)
        builder.set_mask(y, builder.mask(inputs[0]) if self.dims[0] == 1 else None)
        return y
