"""Functions of one's own as layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.layers.base import Layer, check_shape
from convkit.ops.function import UserFunction, writes_to_argument
from convkit.ops.registry import Array, Spec

if TYPE_CHECKING:
    from convkit.models.graph import Shape
    from convkit.program.program import Builder, Value

__all__ = ["Lambda"]

ENTRIES = 200  # of the gradient are compared with differences
TOLERANCE = 1e-6


class Lambda(Layer):
    """A function of NumPy arrays as a layer.

    Python calls it once a step, so a model with one runs kernel by kernel, as with
    ``compile(run_eagerly=True)``. It is tried when the layer is connected.

    Parameters
    ----------
    function : callable
        ``function(x) -> y``, on a batch x whose first axis is that of the samples. It treats each
        sample by itself, gives the same result each time, and returns an array of x's dtype:
        float32, and float64 where the layer is checked. It must not write to x.
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
        return UserFunction(self.title, self.function, self.gradient)

    def _try(self, sample: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the result for one sample, after checks on two."""
        call = self._user_function()
        with np.errstate(all="ignore"):
            if self.output_shape is None:
                zeros = np.broadcast_to(np.float32(0), (2, *sample))  # cannot be written to
                shape = call.forward(zeros).shape[1:]
            else:
                shape = self.output_shape
            for x in _samples(sample):
                try:
                    y = call.forward(x, (2, *shape))
                except (ArithmeticError, ValueError) as error:
                    raised = error.__cause__ or error  # by the function, or by the checks
                    checks = raised is error and self.title in str(error)
                    if checks or writes_to_argument(raised):
                        raise
                    continue  # x is not in the function's domain
                if not np.isfinite(y).all():
                    continue
                alone = np.concatenate([call.forward(x[:1]), call.forward(x[1:])])
                if alone.shape != y.shape or not np.allclose(alone, y, 1e-6, 1e-9):
                    raise ValueError(
                        f"{self.title}: the function gives a sample another result in a batch than "
                        "alone; it must treat each sample (row) by itself, and the same each time"
                    )
                if self.gradient is not None:
                    self._check_gradient(call, x, y)
        return shape

    def _check_gradient(self, call: UserFunction, x: Array, y: Array) -> None:
        """Compare the gradient with central differences, and name the worst entry if it is wrong.

        Raises
        ------
        ValueError
        """
        from convkit.testing.differences import compare_entry  # which imports models

        dy = np.random.Generator(np.random.Philox(1)).standard_normal(y.shape)
        shown = [dy.view(), x, y.view()]
        for array in shown:
            array.flags.writeable = False  # as when the model runs
        dx = call.backward(*shown)
        moved = x.copy()  # writable, and so only its copies are shown to the function

        def loss() -> float:
            return float((dy * call.forward(moved.copy(), y.shape)).sum())

        middle, worst = loss(), (-1.0, 0, 0.0)
        for at in np.unique(np.linspace(0, x.size - 1, min(x.size, ENTRIES)).astype(int)):
            error, difference, smooth = compare_entry(
                loss, moved.reshape(-1), int(at), float(dx.flat[at]), middle, TOLERANCE
            )
            if smooth and error > worst[0]:
                worst = (error, int(at), difference)
        error, at, difference = worst
        if error > TOLERANCE:
            position = ", ".join(str(int(k)) for k in np.unravel_index(at, x.shape))
            raise ValueError(
                f"{self.title}: the gradient is wrong. At x[{position}] = {x.flat[at]:.6g} it "
                f"gives {dx.flat[at]:.6g}, central differences of the function give "
                f"{difference:.6g} (relative error {error:.2g}); gradient(dy, x, y) must return "
                "dy times the derivative, summed over what each entry of x has a part in"
            )


def _samples(sample: tuple[int, ...]) -> Iterator[Array]:
    """Two samples each: of both signs, between 0 and 1, and above 1, for functions with domains."""
    rng = np.random.Generator(np.random.Philox(0))
    shape = (2, *sample)
    for x in (rng.standard_normal(shape), rng.uniform(0, 1, shape), rng.uniform(1, 2, shape)):
        x.flags.writeable = False  # as when the model runs
        yield x
