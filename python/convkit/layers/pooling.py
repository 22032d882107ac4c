"""Maximum and average over windows of an image, or over all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convkit.layers.base import Layer
from convkit.layers.checks import channels_last, explained, pair
from convkit.ops import registry
from convkit.ops.pool2d import pool2d_params

if TYPE_CHECKING:
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = [
    "AveragePooling2D", "AvgPool2D", "GlobalAveragePooling2D", "GlobalAvgPool2D",
    "GlobalMaxPool2D", "GlobalMaxPooling2D", "MaxPool2D", "MaxPooling2D",
]  # fmt: skip


def _emit_pool(builder: Builder, kind: str, x: Value, params: dict[str, Any]) -> Value:
    if kind == "max" and not builder.differentiated:  # the winners' positions are for the way back
        rule = registry.get("pool2d")["max_forward"].infer
        assert rule is not None
        out = [rule(params, [x.spec])[0], None]
        y = builder.emit("pool2d", "max_forward", [x], params, out=out)[0]
    else:
        y = builder.emit("pool2d", f"{kind}_forward", [x], params)[0]
    assert y is not None
    return y


class _Pooling2D(Layer):
    kind = ""
    expects = (4, "(N, H, W, C)")

    def __init__(
        self,
        pool_size: Any = (2, 2),
        strides: Any = None,
        padding: Any = "valid",
        data_format: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        channels_last(self, data_format)
        self.pool_size = pair(self, "pool_size", pool_size)
        self.strides = self.pool_size if strides is None else pair(self, "strides", strides)
        self.padding = padding.lower() if isinstance(padding, str) else padding

    def _params(self, shape: Any) -> dict[str, Any]:
        with explained(self):
            return dict(pool2d_params((1, *shape[1:]), self.pool_size, self.strides, self.padding))

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return self.infer(
            "pool2d", f"{self.kind}_forward", [input_shape], self._params(input_shape)
        )

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        return _emit_pool(builder, self.kind, inputs[0], self._params(inputs[0].spec.shape))


class MaxPooling2D(_Pooling2D):
    """Maximum over windows of an image (N, H, W, C).

    Parameters
    ----------
    pool_size : int or pair of int
    strides : int or pair of int, optional
        By default `pool_size`.
    padding : str, int or pair
        "valid" (none), "same" or a number of pixels; padding never wins.
    data_format : str, optional
        None or "channels_last".
    name : str, optional
    **kwargs
        Common arguments of `Layer`.
    """

    kind = "max"


class AveragePooling2D(_Pooling2D):
    """Average over windows of an image (N, H, W, C).

    Parameters
    ----------
    pool_size : int or pair of int
    strides : int or pair of int, optional
        By default `pool_size`.
    padding : str, int or pair
        "valid" (none), "same" or a number of pixels; padding does not count.
    data_format : str, optional
        None or "channels_last".
    name : str, optional
    **kwargs
        Common arguments of `Layer`.
    """

    kind = "average"


class _GlobalPooling2D(Layer):
    kind = ""
    expects = (4, "(N, H, W, C)")

    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        channels_last(self, data_format)
        self.keepdims = bool(keepdims)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        channels = input_shape[3]
        return (None, 1, 1, channels) if self.keepdims else (None, channels)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        n, _, _, c = inputs[0].spec.shape
        params = dict(pool2d_params((1, *inputs[0].spec.shape[1:]), "global"))
        y = _emit_pool(builder, self.kind, inputs[0], params)
        return y if self.keepdims else builder.view(y, (n, c))


class GlobalAveragePooling2D(_GlobalPooling2D):
    """Average over a whole image: (N, H, W, C) gives (N, C).

    Parameters
    ----------
    data_format : str, optional
        None or "channels_last".
    keepdims : bool
        Give (N, 1, 1, C) instead.
    **kwargs
        Common arguments of `Layer`.
    """

    kind = "average"


class GlobalMaxPooling2D(_GlobalPooling2D):
    """Maximum over a whole image: (N, H, W, C) gives (N, C).

    Parameters
    ----------
    data_format : str, optional
        None or "channels_last".
    keepdims : bool
        Give (N, 1, 1, C) instead.
    **kwargs
        Common arguments of `Layer`.
    """

    kind = "max"


MaxPool2D = MaxPooling2D
AvgPool2D = AveragePooling2D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalMaxPool2D = GlobalMaxPooling2D
