"""Dense, and the layers that only change shapes or scales."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from convkit import activations
from convkit.layers.activations import emit_activation
from convkit.layers.base import Layer
from convkit.layers.checks import positive
from convkit.ops.dense import dense_params

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["Dense", "Flatten", "Rescaling", "Reshape"]


class Dense(Layer):
    """Fully connected layer: f(x w + b) on the last axis.

    Parameters
    ----------
    units : int
        Size of the output.
    activation : str, ActivationFunction, activation layer, optional
    use_bias : bool
    kernel_initializer, bias_initializer : str or Initializer
    **kwargs
        Common arguments of `Layer`. Constraints may be None only.
    """

    supports_masking = True

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: None = None,
        bias_constraint: None = None,
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
        self.units = positive(self, "units", units)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer
        self.kernel: Parameter | None = None
        self.bias: Parameter | None = None

    def build(self, input_shape: Any) -> None:
        self.kernel = self.add_weight(
            "kernel", (input_shape[-1], self.units), self.kernel_initializer
        )
        if self.use_bias:
            self.bias = self.add_weight("bias", (self.units,), self.bias_initializer)

    def check_input(self, shape: Shape) -> None:
        if len(shape) < 2:
            raise ValueError(f"{self.title} expects input (N, ..., C), got {shape}")
        if self.built and self.kernel is not None and shape[-1] != self.kernel.shape[0]:
            raise ValueError(
                f"{self.title} has weights for {self.kernel.shape[0]} features, got {shape[-1]} "
                f"(input {shape})"
            )

    def compute_output_shape(self, input_shape: Any) -> Shape:
        w = (input_shape[-1], self.units)
        b = (self.units,) if self.use_bias else None
        return self.infer("dense", "forward", [input_shape, w, b], dense_params())

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        assert self.kernel is not None
        w = builder.parameter(self.kernel)
        b = None if self.bias is None else builder.parameter(self.bias)
        y = builder.emit("dense", "forward", [inputs[0], w, b], dense_params())[0]
        assert y is not None
        return emit_activation(builder, y, self.activation)


class Flatten(Layer):
    """Join all axes but the batch's into one.

    Parameters
    ----------
    data_format : str, optional
        None or "channels_last".
    **kwargs
        Common arguments of `Layer`.
    """

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if data_format not in (None, "channels_last"):
            raise ValueError(f"{self.title}: data_format must be 'channels_last'")

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return (None, math.prod(input_shape[1:]))

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        shape = inputs[0].spec.shape
        return builder.view(inputs[0], (shape[0], math.prod(shape[1:])))


class Reshape(Layer):
    """The same numbers in another shape.

    Parameters
    ----------
    target_shape : sequence of int
        Of one sample; one axis may be -1, to be found from the others.
    **kwargs
        Common arguments of `Layer`.

    Notes
    -----
    A mask stays where the axis of steps stays: (N, T, ...) becomes (N, T, ...).
    """

    supports_masking = True

    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_shape = tuple(int(n) for n in target_shape)
        if sum(n == -1 for n in self.target_shape) > 1 or any(
            n < 1 and n != -1 for n in self.target_shape
        ):
            raise ValueError(
                f"{self.title}: target_shape needs positive sizes and at most one -1, got "
                f"{self.target_shape}"
            )

    def compute_output_shape(self, input_shape: Any) -> Shape:
        size = math.prod(input_shape[1:])
        fixed = math.prod(n for n in self.target_shape if n != -1)
        target = tuple(size // fixed if n == -1 else n for n in self.target_shape)
        if math.prod(target) != size:
            raise ValueError(
                f"{self.title} cannot reshape {input_shape[1:]} ({size} values) to "
                f"{self.target_shape} ({fixed} values)"
            )
        return (None, *target)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        shape = inputs[0].spec.shape
        target = self.compute_output_shape((None, *shape[1:]))
        return builder.view(inputs[0], (shape[0], *(n or 1 for n in target[1:])))


class Rescaling(Layer):
    """x * scale + offset, as the first layer of a model, such as ``Rescaling(1 / 255)``.

    It costs nothing: the batch is scaled as it is assembled.

    Parameters
    ----------
    scale, offset : float
    **kwargs
        Common arguments of `Layer`.
    """

    def __init__(self, scale: float, offset: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        try:
            self.scale, self.offset = float(scale), float(offset)
        except TypeError:
            raise ValueError(
                f"{self.title}: scale and offset must be numbers, got {scale!r} and {offset!r}; "
                "scale channels differently before training"
            ) from None

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)

    def __call__(self, inputs: Any, *, training: bool | None = None) -> Any:
        if getattr(inputs, "inputs", ()):  # the output of another layer
            raise self._misplaced()
        return super().__call__(inputs, training=training)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        raise self._misplaced()

    def _misplaced(self) -> ValueError:
        return ValueError(
            f"{self.title} must come directly after the input, and be the only layer that reads "
            "it; move it there, or scale the data before training"
        )
