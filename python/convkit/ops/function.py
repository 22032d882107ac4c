"""function: a function of the user's. It has no kernels: Python runs it.

    forward        x* [N,...]                         -> y [N,...]    y = function(*x)
    backward       dy, y [N,...], x*                  -> dx*          gradient(dy, y, *x)
    loss           p [...,K], t, w [...]?             -> rows [R], total [1]
    loss_backward  p [...,K], t, w [...]?             -> rows [R], total [1], dp [...,K]

The parameter "function" is a `UserFunction`. In a loss, rows = w function(p, t), total is their sum
in float64 and dp = gradient(scale w, function(p, t), p, t), as in csrc/ops/loss/loss.h.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Tape, define

__all__ = ["OP", "UserFunction", "writes_to_argument"]


@dataclass(frozen=True)
class UserFunction:
    """A function and its gradient, and the layer to name where they go wrong.

    Attributes
    ----------
    title : str
        Of the layer.
    function : callable
        ``function(*x) -> y``
    gradient : callable, optional
        ``gradient(dy, y, *x)``: the gradient with respect to x, a sequence of them where there are
        several x; None for one that has none.
    inputs : tuple of str
        Names of the x, in messages.
    names : tuple of str
        Of function and gradient, in messages.
    label : str
        For listings; by default the function's name.
    """

    title: str
    function: Callable[..., Any]
    gradient: Callable[..., Any] | None = None
    inputs: tuple[str, ...] = ("x",)
    names: tuple[str, str] = ("function", "gradient")
    label: str = ""

    def __str__(self) -> str:
        return self.label or str(getattr(self.function, "__name__", type(self.function).__name__))

    def forward(self, *x: Array, shape: tuple[int, ...] | None = None) -> Array:
        """``function(*x)``, of that shape where one is expected.

        Raises
        ------
        TypeError
            If the result is no array of the first x's dtype.
        ValueError
            If it has another shape, or not as many rows as x.
        Exception
            What the function raises, with the layer's name.
        """
        y = self._array(0, self._called(0, self.function, *x), x[0])
        if shape is None and (y.ndim == 0 or len(y) != len(x[0])):
            raise ValueError(
                f"{self.title}: the {self.names[0]} made shape {y.shape} of a batch of shape "
                f"{x[0].shape}; it must give one row for each row of x, and keep the batch axis "
                "first"
            )
        return y if shape is None else self._shaped(0, y, shape)

    def backward(self, dy: Array, y: Array, *x: Array) -> list[Array | None]:
        """``gradient(dy, y, *x)``, each of its x's shape.

        Raises
        ------
        TypeError, ValueError
            As `forward`.
        """
        assert self.gradient is not None
        result = self._called(1, self.gradient, dy, y, *x)
        results = [result] if len(x) == 1 else result
        if not isinstance(results, list | tuple) or len(results) != len(x):
            got = len(results) if isinstance(results, list | tuple) else type(results).__name__
            raise TypeError(
                f"{self.title}: the {self.names[1]} returned {got}, expected a tuple of {len(x)}: "
                f"the gradients with respect to {', '.join(self.inputs)}"
            )
        return [
            None if d is None and len(x) > 1 else self._shaped(1, self._array(1, d, x[0]), a.shape)
            for d, a in zip(results, x, strict=True)
        ]

    def _called(self, which: int, function: Callable[..., Any], *arrays: Array) -> Any:
        try:
            return function(*arrays)
        except Exception as error:
            named = self._named(which, error)
            if named is None:  # an exception of the user's own, who may look for its attributes
                error.add_note(f"in the {self.names[which]} of {self.title}")
                raise
            raise named from error

    def _array(self, which: int, result: Any, like: Array) -> Array:
        if not isinstance(result, np.ndarray | np.generic) or result.dtype != like.dtype:
            got = getattr(result, "dtype", type(result).__name__)
            raise TypeError(
                f"{self.title}: the {self.names[which]} returned {got}, expected an array of "
                f"{like.dtype}, as it was given; convert it with .astype(x.dtype)"
            )
        return np.asarray(result)

    def _named(self, which: int, error: Exception) -> Exception | None:
        """What Python or NumPy raised, of the same built-in type but with the layer's name."""
        if type(error).__module__.partition(".")[0] not in ("builtins", "numpy"):
            return None
        text = f"{self.title}: the {self.names[which]} raised {type(error).__name__}: {error}"
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

    def _shaped(self, which: int, result: Array, shape: tuple[int, ...]) -> Array:
        if result.shape != shape:
            raise ValueError(
                f"{self.title}: the {self.names[which]} returned shape {result.shape}, expected "
                f"{shape}"
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


def _forward(ctx: Context, *x: Array) -> tuple[Array]:
    return (_function(ctx).forward(*x, shape=_shape(ctx)),)


def _backward(ctx: Context, dy: Array, y: Array, *x: Array) -> tuple[Array | None, ...]:
    gradients = _function(ctx).backward(dy, y, *x)
    return tuple(
        np.zeros(each.shape, each.dtype) if gradient is None else gradient
        for gradient, each in zip(gradients, x, strict=True)
    )


def _loss_backward(
    ctx: Context, p: Array, t: Array, w: Array | None = None
) -> tuple[Array, Array, Array]:
    function, shape = _function(ctx), p.shape[:-1]
    w = np.ones(shape, p.dtype) if w is None else w.reshape(shape)
    losses = function.forward(p, t, shape=shape)
    dp = function.backward(w * p.dtype.type(ctx["scale"]), losses, p, t)[0]
    assert dp is not None
    rows = (losses * w).reshape(-1)
    return rows, rows.sum(dtype=np.float64, keepdims=True), dp


def _loss(ctx: Context, p: Array, t: Array, w: Array | None = None) -> tuple[Array, Array]:
    shape = p.shape[:-1]
    rows = _function(ctx).forward(p, t, shape=shape).reshape(-1)
    if w is not None:
        rows = rows * w.reshape(-1)
    return rows, rows.sum(dtype=np.float64, keepdims=True)


# Nobody knows how far roundings carry in the user's function, but a number stays one.
def _bound(ctx: Context, *arrays: Array) -> tuple[Any, ...]:
    return (np.inf,) * len(ctx.out)


def _infer_loss(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    p = specs[0]
    assert p is not None
    rows = Spec((p.size // p.shape[-1],), p.dtype)
    return [rows, Spec((1,), "float64")]


def _infer_loss_backward(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    return [*_infer_loss(params, specs), specs[0]]


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    function = _function(instruction.params)
    if function.gradient is None:
        raise ValueError(
            f"{function.title} has no gradient, and trainable weights lie before it; give it "
            "gradient="
        )
    wanted = [k if tape.needs(k) else None for k in range(len(instruction.inputs))]
    return tape.emit(
        "function", "backward", [gradients[0], instruction.outputs[0], *instruction.inputs],
        params=instruction.params,
        out=[None if k is None else instruction.inputs[k].spec for k in wanted],
        for_inputs=wanted,
    )  # fmt: skip


OP = define(
    Op(
        "function",
        (
            Pass("forward", ("x*",), ("y",), _forward, _bound),
            Pass("backward", ("dy", "y", "x*"), ("dx*",), _backward, _bound),
            Pass("loss", ("p", "t", "w?"), ("rows", "total"), _loss, _bound, infer=_infer_loss),
            Pass(
                "loss_backward", ("p", "t", "w?"), ("rows", "total", "dp"), _loss_backward, _bound,
                infer=_infer_loss_backward,
            ),
        ),
        _gradient,
        python_only=True,
    )
)  # fmt: skip
