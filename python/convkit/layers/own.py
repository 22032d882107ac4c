"""Layers of one's own with weights, written in NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.layers.base import Layer
from convkit.ops.function import UserFunction
from convkit.ops.registry import Array, Spec
from convkit.ops.trials import samples, try_function

if TYPE_CHECKING:
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["Function"]


class Function(Layer):
    """Base of layers whose forward and backward pass are functions of NumPy arrays.

    A subclass declares its weights in ``build(input_shape)`` with `add_weight`, and defines

    - ``forward(self, x, *weights) -> y``, a batch whose first axis is that of the samples, which
      it treats one by one;
    - ``backward(self, dy, y, x, *weights) -> (dx, *dweights)``, the gradients of the loss with
      respect to x and each weight, from that with respect to y; None for one that has none. With
      x alone it returns dx. Without `backward`, no trainable weights may lie before the layer and
      its own are not trained.

    The weights come in the order of `add_weight`. With ``takes_list = True`` the layer is called on
    a list of nodes, and has as many x before its weights. Arrays are float32, and float64 where
    the layer is checked; results are of the same dtype. Nothing may be written to, nor kept beyond
    the call: the memory is used again. The native executor calls both, once in a step.

    When the layer is connected, it is tried with random weights: shapes, dtypes, samples alone and
    in a batch, and `backward` against central differences in float64, but at kinks.

    Parameters
    ----------
    **kwargs
        Common arguments of `Layer`.

    Raises
    ------
    TypeError, ValueError
        When the layer is connected: if `forward` returns another dtype or shape or mixes samples,
        or `backward` gives other gradients.

    Notes
    -----
    `compute_output_shape` asks `forward`, with a batch of two zeros; define it where that will not
    do. A subclass with ``__init__`` arguments hands the rest on to ``super().__init__``.

    Examples
    --------
    >>> import convkit as ck
    >>> class Scale(ck.layers.Function):
    ...     def build(self, input_shape):
    ...         self.add_weight("scale", (input_shape[-1],), "ones")
    ...
    ...     def forward(self, x, scale):
    ...         return x * scale
    ...
    ...     def backward(self, dy, y, x, scale):
    ...         return dy * scale, (dy * x).sum(axis=0)
    >>> Scale()(ck.Input((4,))).shape
    (None, 4)
    """

    supports_masking = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._shapes: dict[Any, tuple[int, ...]] = {}  # of results, by those of the inputs

    def forward(self, *arrays: Array) -> Any:
        """The layer's function."""
        raise NotImplementedError(f"{self.title} does not define forward(self, x, *weights)")

    def backward(self, dy: Array, y: Array, *arrays: Array) -> Any:
        """The gradients of its inputs and weights."""
        raise NotImplementedError(
            f"{self.title} does not define backward(self, dy, y, x, *weights)"
        )

    @property
    def differentiable(self) -> bool:
        return type(self).backward is not Function.backward

    def connect(self, shape: Any) -> Any:
        built = self.built
        result = super().connect(shape)
        try:
            if not self.differentiable and self.trainable_weights:
                raise ValueError(
                    f"{self.title} has trainable weights and no backward(self, dy, y, x, *weights) "
                    "to train them by; define it, or give add_weight trainable=False"
                )
            self._try(_samples_of(shape), tuple(result[1:]))
        except Exception:
            if not built:
                self.disconnect()
            raise
        return result

    def compute_output_shape(self, input_shape: Any) -> Shape:
        inputs = _samples_of(input_shape)
        if inputs not in self._shapes:
            with np.errstate(all="ignore"):
                x = [np.zeros((2, *shape), np.float32) for shape in inputs]
                weights = [np.ones(p.shape, np.float32) for p in self.parameters]
                for array in (*x, *weights):
                    array.flags.writeable = False
                self._shapes[inputs] = self._call(len(x)).forward(*x, *weights).shape[1:]
        return (None, *self._shapes[inputs])

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        shapes = [(None, *value.spec.shape[1:]) for value in inputs]
        shape = self.compute_output_shape(shapes if self.takes_list else shapes[0])
        n, dtype = inputs[0].spec.shape[0], inputs[0].spec.dtype
        out = Spec((n, *(k or 1 for k in shape[1:])), dtype)
        params: dict[str, Any] = {"function": self._call(len(inputs))}
        operands = [*inputs, *map(builder.parameter, self.parameters)]
        y = builder.emit("function", "forward", operands, params, out=[out])[0]
        assert y is not None
        return y

    def _call(self, inputs: int) -> UserFunction:
        names = ["x"] if inputs == 1 else [f"x{k}" for k in range(inputs)]
        names += [p.name for p in self.parameters]
        backward = self.backward if self.differentiable else None
        kind = type(self).__name__
        return UserFunction(
            self.title, self.forward, backward, tuple(names), ("forward", "backward"), kind
        )

    def _try(self, inputs: tuple[tuple[int, ...], ...], shape: tuple[int, ...]) -> None:
        hint = (
            "backward(self, dy, y, x, *weights) must return dy times the derivatives, summed over "
            "what each entry has a part in"
        )
        trials = self._trials(inputs)
        try_function(self._call(len(inputs)), trials, shape, hint, batched=len(inputs))

    def _trials(self, inputs: tuple[tuple[int, ...], ...]) -> Iterator[list[Array]]:
        shapes = [*((2, *shape) for shape in inputs), *(p.shape for p in self.parameters)]
        at = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
        for numbers in samples((int(at[-1]),)):
            parts = zip(at[:-1], at[1:], shapes, strict=True)
            yield [numbers[begin:end].reshape(shape) for begin, end, shape in parts]


def _samples_of(shape: Any) -> tuple[tuple[int, ...], ...]:
    """Shapes of one sample of each input."""
    shapes = shape if isinstance(shape, list) else [shape]
    return tuple(tuple(int(n) for n in each[1:]) for each in shapes)
