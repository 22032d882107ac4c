"""function: a function of the user's, row by row of a batch. It has no kernels: Python runs it.

    forward   x [N,...]                         -> y [N,...]     y = function(x)
    backward  dy [N,...], x [N,...], y [N,...]  -> dx [N,...]    dx = gradient(dy, x, y)

The parameter "function" is a `UserFunction`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convkit.ops.registry import Array, Context, Op, Pass, Tape, define

__all__ = ["OP", "UserFunction", "writes_to_argument"]


@dataclass(frozen=True)
class UserFunction:
    """A function and its gradient, and the layer to name where they go wrong.

    Attributes
    ----------
    title : str
        Of the layer.
    function : callable
        ``function(x) -> y``
    gradient : callable, optional
        ``gradient(dy, x, y) -> dx``
    """

    title: str
    function: Callable[[Array], Any]
    gradient: Callable[[Array, Array, Array], Any] | None = None

    def __str__(self) -> str:
        return str(getattr(self.function, "__name__", type(self.function).__name__))

    def forward(self, x: Array, shape: tuple[int, ...] | None = None) -> Array:
        """``function(x)``, of that shape where one is expected.

        Raises
        ------
        TypeError
            If the result is no array of x's dtype.
        ValueError
            If it has another shape, or not as many rows as x.
        Exception
            What the function raises, with the layer's name.
        """
        y = self._called("function", self.function, x)
        if shape is None and (y.ndim == 0 or len(y) != len(x)):
            raise ValueError(
                f"{self.title}: the function made shape {y.shape} of a batch of shape {x.shape}; "
                "it must give one row for each row of x, and keep the batch axis first"
            )
        return self._shaped("function", y, shape)

    def backward(self, dy: Array, x: Array, y: Array) -> Array:
        """``gradient(dy, x, y)``, with x's shape.

        Raises
        ------
        TypeError, ValueError
            As `forward`.
        """
        assert self.gradient is not None
        return self._shaped("gradient", self._called("gradient", self.gradient, dy, x, y), x.shape)

    def _called(self, which: str, function: Callable[..., Any], *arrays: Array) -> Array:
        try:
            result = function(*arrays)
        except Exception as error:
            named = self._named(which, error)
            if named is None:  # an exception of the user's own, who may look for its attributes
                error.add_note(f"in the {which} of {self.title}")
                raise
            raise named from error
        dtype = arrays[0].dtype
        if not isinstance(result, np.ndarray | np.generic) or result.dtype != dtype:
            got = getattr(result, "dtype", type(result).__name__)
            raise TypeError(
                f"{self.title}: the {which} returned {got}, expected an array of {dtype}, as "
                "it was given; convert it with .astype(x.dtype)"
            )
        return np.asarray(result)

    def _named(self, which: str, error: Exception) -> Exception | None:
        """What Python or NumPy raised, of the same built-in type but with the layer's name."""
        if type(error).__module__.partition(".")[0] not in ("builtins", "numpy"):
            return None
        text = f"{self.title}: the {which} raised {type(error).__name__}: {error}"
        if writes_to_argument(error):
            text += (
                "; the arrays that it is given may not be written to: work on a copy, x = x.copy()"
            )
        for kind in type(error).__mro__:
            if kind.__module__ == "builtins" and issubclass(kind, Exception):
                try:
                    return kind(text)
                except TypeError:  # it takes more than a message, such as UnicodeDecodeError
                    continue
        return None

    def _shaped(self, which: str, result: Array, shape: tuple[int, ...] | None) -> Array:
        if shape is not None and result.shape != shape:
            raise ValueError(
                f"{self.title}: the {which} returned shape {result.shape}, expected {shape}"
            )
        return result


def writes_to_argument(error: BaseException) -> bool:
    """Whether NumPy complains of a write to an array that is read-only, as arguments are."""
    return isinstance(error, ValueError) and "read-only" in str(error)


def _function(params: Any) -> UserFunction:
    function: UserFunction = params["function"]
    return function


def _shape(ctx: Context) -> tuple[int, ...]:
    assert ctx.out[0] is not None
    return ctx.out[0].shape


def _forward(ctx: Context, x: Array) -> tuple[Array]:
    return (_function(ctx).forward(x, _shape(ctx)),)


def _backward(ctx: Context, dy: Array, x: Array, y: Array) -> tuple[Array]:
    return (_function(ctx).backward(dy, x, y),)


# Nobody knows how far roundings carry in the user's function, but a number stays one.
def _bound(ctx: Context, *arrays: Array) -> tuple[Any]:
    return (np.inf,)


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    function = _function(instruction.params)
    if function.gradient is None:
        raise ValueError(
            f"{function.title} has no gradient, and trainable weights lie before it; give it "
            "gradient="
        )
    (x,), (y,) = instruction.inputs, instruction.outputs
    return tape.emit(
        "function", "backward", [gradients[0], x, y], params=instruction.params, out=[x.spec],
        for_inputs=[0],
    )  # fmt: skip


OP = define(
    Op(
        "function",
        (
            Pass("forward", ("x",), ("y",), _forward, _bound),
            Pass("backward", ("dy", "x", "y"), ("dx",), _backward, _bound),
        ),
        _gradient,
        python_only=True,
    )
)
