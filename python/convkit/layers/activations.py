"""Activations as layers, and how every layer emits its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from convkit import activations
from convkit.activations import ActivationFunction, CustomActivation
from convkit.layers.base import Layer
from convkit.ops.activation import activation_params

if TYPE_CHECKING:
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["ELU", "Activation", "LeakyReLU", "ReLU", "Softmax"]


def emit_activation(builder: Builder, x: Value, function: ActivationFunction) -> Value:
    """Append an activation as an op of its own; fusing it is up to the program."""
    if isinstance(function, CustomActivation):
        return function.emit(builder, x)
    if function.kind == "linear":
        return x
    if function.row_wise:
        passes = {"softmax": "forward", "log_softmax": "log_forward"}
        y = builder.emit("softmax", passes[function.kind], [x], {})[0]
    else:
        params = activation_params(function.kind, function.alpha)
        y = builder.emit("activation", "forward", [x], params)[0]
    assert y is not None
    return y


class Activation(Layer):
    """Apply an activation to each value (softmax: to each row).

    Parameters
    ----------
    activation : str, ActivationFunction or activation layer
    **kwargs
        Common arguments of `Layer`.
    """

    supports_masking = True

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.function = activations.get(activation)

    @property
    def own_activation(self) -> ActivationFunction:
        return self.function

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return tuple(input_shape)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        return emit_activation(builder, inputs[0], self.function)


class ReLU(Activation):
    """max(x, 0), or with a slope for x < 0.

    Parameters
    ----------
    max_value : None
        Not supported.
    negative_slope : float
    threshold : float
        Only 0.
    **kwargs
        Common arguments of `Layer`.
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: float = 0.0,
        threshold: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__("relu", **kwargs)
        if max_value is not None:
            raise ValueError(
                f"{self.title}: max_value={max_value} is not supported; leave it at None"
            )
        if threshold:
            raise ValueError(f"{self.title}: threshold={threshold} is not supported; leave it at 0")
        if negative_slope:
            self.function = ActivationFunction("leaky_relu", negative_slope)


class LeakyReLU(Activation):
    """x where x >= 0, else x times a slope.

    Parameters
    ----------
    negative_slope : float
        Keras's older name for it, ``alpha``, is accepted as well.
    **kwargs
        Common arguments of `Layer`.
    """

    def __init__(self, negative_slope: float = 0.3, **kwargs: Any) -> None:
        slope = kwargs.pop("alpha", negative_slope)
        super().__init__(ActivationFunction("leaky_relu", slope), **kwargs)


class ELU(Activation):
    """x where x >= 0, else alpha * (exp(x) - 1).

    Parameters
    ----------
    alpha : float
    **kwargs
        Common arguments of `Layer`.
    """

    def __init__(self, alpha: float = 1.0, **kwargs: Any) -> None:
        super().__init__(ActivationFunction("elu", alpha), **kwargs)


class Softmax(Activation):
    """Softmax over the last axis.

    Parameters
    ----------
    axis : int
        Only the last one.
    **kwargs
        Common arguments of `Layer`.
    """

    def __init__(self, axis: int = -1, **kwargs: Any) -> None:
        super().__init__("softmax", **kwargs)
        self.axis = axis

    def compute_output_shape(self, input_shape: Any) -> Shape:
        if self.axis not in (-1, len(input_shape) - 1):
            raise ValueError(
                f"{self.title} works along the last axis only, got axis={self.axis} for input "
                f"{input_shape}; leave axis at -1"
            )
        if math.prod(n or 1 for n in input_shape[1:]) == 0:
            raise ValueError(f"{self.title} got an empty input {input_shape}")
        return tuple(input_shape)
