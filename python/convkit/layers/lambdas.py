"""Functions of one's own as layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.layers.base import Layer
from convkit.layers.checks import check_shape
from convkit.ops.function import UserFunction
from convkit.ops.registry import Array, Spec
from convkit.ops.trials import samples, try_function

if TYPE_CHECKING:
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["Lambda"]


class Lambda(Layer):
    """A function of NumPy arrays as a layer.

    The native executor calls it, once in a step; all else runs as in a model without one. It is
    tried when the layer is connected. See `Function` for a layer of one's own with weights.

    Parameters
    ----------
    function : callable
        ``function(x) -> y``, on a batch x whose first axis is that of the samples. It treats each
        sample by itself, gives the same result each time, and returns an array of x's dtype:
        float32, and float64 where the layer is checked. It must not write to x, nor keep x beyond
        the call: the memory is used again.
    output_shape : sequence of int, optional
        Of one sample; by default it is asked of the function, with a batch of two zeros.
    mask, arguments : None
        Not supported; bind arguments with ``functools.partial``.
    gradient : callable, optional
        ``gradient(dy, x, y) -> dx``: the gradient of the loss with respect to x from that with
        respect to y. It is compared with central differences when the layer is connected, but at
        kinks. Without one, no trainable weights may lie before the layer.
    **kwargs
        Common arguments of `Layer`.

    Raises
    ------
    TypeError, ValueError
        When the layer is connected: if the function returns another dtype or shape, mixes samples,
        or has another gradient.

    Notes
    -----
    A mask of sequences (N, T, ...) goes with a result (N, T, ...): the function is taken to leave
    the steps where they are.

    Examples
    --------
    >>> import numpy as np
    >>> from convkit import Input, layers
    >>> cube = layers.Lambda(lambda x: x**3, gradient=lambda dy, x, y: 3 * x**2 * dy)
    >>> cube(Input((4,))).shape
    (None, 4)
    """

    supports_masking = True

    def __init__(
        self,
        function: Callable[[Array], Any],
        output_shape: Sequence[int] | None = None,
        mask: None = None,
        arguments: None = None,
        *,
        gradient: Callable[[Array, Array, Array], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, value in (("function", function), ("gradient", gradient)):
            if not callable(value) and (value is not None or name == "function"):
                raise TypeError(f"{self.title}: {name} must be a function, got {value!r}")
        if mask is not None or arguments is not None:
            raise ValueError(
                f"{self.title}: mask and arguments are not supported; leave them out, and bind "
                "arguments with functools.partial"
            )
        self.function = function
        self.gradient = gradient
        self.output_shape: tuple[int, ...] | None = None
        if output_shape is not None:
            self.output_shape = check_shape(output_shape, f"{self.title}: output_shape")
        self._shapes: dict[tuple[int, ...], tuple[int, ...]] = {}  # of the samples that it has seen

    @property
    def differentiable(self) -> bool:
        return self.gradient is not None

    def compute_output_shape(self, input_shape: Any) -> Shape:
        sample = tuple(int(n) for n in input_shape[1:])
        if sample not in self._shapes:
            self._shapes[sample] = self._try(sample)
        return (None, *self._shapes[sample])

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        x = inputs[0]
        shape = self.compute_output_shape(x.spec.shape)[1:]
        out = Spec((x.spec.shape[0], *(n or 1 for n in shape)), x.spec.dtype)
        params: dict[str, Any] = {"function": self._user_function()}
        y = builder.emit("function", "forward", [x], params, out=[out])[0]
        assert y is not None
        return y

    def _user_function(self) -> UserFunction:
        gradient = None if self.gradient is None else self._gradient
        return UserFunction(self.title, self.function, gradient)

    def _gradient(self, dy: Array, y: Array, x: Array) -> Any:
        assert self.gradient is not None
        return self.gradient(dy, x, y)

    def _try(self, sample: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the result for one sample, after checks on two."""
        call, shape = self._user_function(), self.output_shape
        if shape is None:
            zeros = np.broadcast_to(np.float32(0), (2, *sample))  # cannot be written to
            with np.errstate(all="ignore"):
                shape = call.forward(zeros).shape[1:]
        hint = (
            "gradient(dy, x, y) must return dy times the derivative, summed over what each entry "
            "of x has a part in"
        )
        try_function(call, ([x] for x in samples((2, *sample))), shape, hint)
        return shape
