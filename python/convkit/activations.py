"""Activation functions: to call on arrays, and to name in a layer's ``activation=``.

Each is an `ActivationFunction`: a callable that knows which kernel it stands for. One's own, from a
function and its derivative, is a `CustomActivation`, also called ``ck.Activation``.

>>> from convkit import activations
>>> activations.relu.kind
'relu'
>>> activations.get("tanh") is activations.tanh
True
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.errors import did_you_mean
from convkit.saving.config import Configured

if TYPE_CHECKING:
    from convkit.ops.registry import Array
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = [
    "ActivationFunction", "CustomActivation", "elu", "exponential", "gelu", "get", "hard_sigmoid",
    "hardtanh", "leaky_relu", "linear", "log_softmax", "relu", "scaled_tanh", "selu", "sigmoid",
    "silu", "softmax", "softplus", "softsign", "step", "swish", "tanh",
]  # fmt: skip

# Kinds that are functions of a whole row and have an op of their own.
_ROWS = {"softmax": "softmax", "log_softmax": "log_softmax"}
# Keras's name of the parameter of a kind.
_PARAMETER = {"leaky_relu": "negative_slope", "elu": "alpha"}
_DEFAULT = {"leaky_relu": 0.2, "elu": 1.0}


class ActivationFunction(Configured):
    """An activation that kernels know, with its parameter.

    Parameters
    ----------
    kind : str
        Name of the function: "relu", "leaky_relu", "softmax", ...
    alpha : float, optional
        Of leaky_relu the slope below 0, of elu the scale below 0.

    Attributes
    ----------
    kind : str
    alpha : float
        0 where the kind has none.
    """

    def __init__(self, kind: str, alpha: float | None = None) -> None:
        self.kind = kind
        self.alpha = float(_DEFAULT.get(kind, 0.0) if alpha is None else alpha)
        if not (np.isfinite(self.alpha) and self.alpha >= 0):
            parameter = _PARAMETER.get(kind, "alpha")
            raise ValueError(f"[{kind}] {parameter} must be finite and at least 0, got {alpha}")
        self.__name__ = kind

    @property
    def differentiable(self) -> bool:
        """Whether there is a derivative to train by; that of step is 0 wherever it has one."""
        return self.kind != "step"

    def __call__(self, x: ArrayLike, alpha: float | None = None, **options: Any) -> Any:
        """Apply the function to an array, or to a node of a functional model.

        Parameters
        ----------
        x : array_like of float32 or float64, or Node
        alpha : float, optional
            Another value of the function's parameter, for leaky_relu and elu.
        **options
            Keras's names of the same: ``negative_slope`` of relu and leaky_relu; ``axis=-1`` of
            softmax and log_softmax.

        Returns
        -------
        ndarray or Node
        """
        function = self.with_options(alpha, **options)
        if not isinstance(x, np.ndarray | np.generic | list | tuple | float | int):
            from convkit.models.graph import Node

            if isinstance(x, Node):
                from convkit.layers.activations import Activation

                return Activation(function)(x)
        from convkit import ops

        if function.kind in _ROWS:
            return getattr(ops, _ROWS[function.kind])(x)
        alpha = function.alpha if function.kind in _PARAMETER else None
        return ops.activation(x, function.kind, alpha=alpha)

    def with_options(self, alpha: float | None = None, **options: Any) -> ActivationFunction:
        """Return the function with another parameter, under any of its names."""
        if self.kind in _ROWS and options.pop("axis", -1) != -1:
            raise ValueError(f"[{self.kind}] works along the last axis only: axis=-1")
        for name in ("negative_slope", "alpha"):
            if self.kind in ("relu", "leaky_relu", "elu") and name in options:
                alpha = options.pop(name)
        if self.kind == "relu":
            for name, neutral in (("max_value", None), ("threshold", 0)):
                if options.pop(name, neutral) != neutral:
                    raise ValueError(f"[relu] {name} is not supported; leave it at {neutral}")
        if options:
            raise TypeError(f"[{self.kind}] has no argument {next(iter(options))!r}")
        if alpha is None or alpha == self.alpha:
            return self
        if self.kind == "relu":
            return ActivationFunction("leaky_relu", alpha)
        if self.kind not in _PARAMETER:
            raise TypeError(f"[{self.kind}] has no parameter, got {alpha}")
        return ActivationFunction(self.kind, alpha)

    def _word(self) -> str | None:
        known = type(self) is ActivationFunction and _KNOWN.get(self.kind) == self
        return self.kind if known else None

    @property
    def row_wise(self) -> bool:
        """Whether it is a function of a whole row: softmax and log_softmax."""
        return self.kind in _ROWS

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ActivationFunction):
            return NotImplemented
        return (self.kind, self.alpha) == (other.kind, other.alpha)

    def __hash__(self) -> int:
        return hash((self.kind, self.alpha))

    def __repr__(self) -> str:
        default = _DEFAULT.get(self.kind, 0.0)
        return self.kind if self.alpha == default else f"{self.kind}({self.alpha:g})"


class CustomActivation(ActivationFunction):
    """An elementwise function of one's own; also ``ck.Activation``.

    It goes wherever an ``activation=`` does but into recurrent layers, whose steps are one kernel,
    and the native executor calls it. The derivative is compared with central differences in float64
    when the object is made, on numbers of both signs from -12 to 12, but at kinks and outside of
    the function's domain.

    Parameters
    ----------
    f : callable
        ``f(x) -> y`` on an array of any shape, float32 or float64, each number by itself. It must
        not write to x, nor keep x beyond the call.
    df : callable
        The derivative of y with respect to x, of x's shape: ``df(x)`` or, where it takes two
        arguments without defaults, ``df(x, y)``, which may use that y is known.
    name : str, optional
        For messages and listings; by default f's name.

    Raises
    ------
    TypeError
        If f or df cannot be called, or returns something else than an array of real numbers. One of
        another dtype than x's is converted.
    ValueError
        If f is not elementwise, or df is not its derivative.

    Examples
    --------
    >>> import convkit as ck
    >>> import numpy as np
    >>> square_plus = ck.Activation(
    ...     lambda x: (x + np.sqrt(x * x + 4)) / 2, lambda x, y: y / np.sqrt(x * x + 4)
    ... )
    >>> float(square_plus(np.float64(0)))
    1.0
    """

    def __init__(
        self, f: Callable[[Array], Any], df: Callable[..., Any], name: str | None = None
    ) -> None:
        super().__init__("own")
        self.f, self.df = f, df
        self.name = str(name or getattr(f, "__name__", type(f).__name__)).strip("<>")
        self.__name__ = self.name
        for argument, value in (("f", f), ("df", df)):
            if not callable(value):
                raise TypeError(f"{self.title}: {argument} must be a function, got {value!r}")
        self._from_both = _takes_output(self.title, df)
        self._check()

    @property
    def title(self) -> str:
        """The activation in error messages: activation 'square_plus'."""
        return f"activation {self.name!r}"

    def __call__(self, x: Any, alpha: float | None = None, **options: Any) -> Any:
        """Apply the function to an array, or to a node of a functional model."""
        self.with_options(alpha, **options)  # has none, and says so
        from convkit.models.graph import Node

        if isinstance(x, Node):
            from convkit.layers.activations import Activation

            return Activation(self)(x)
        array = np.asarray(x)
        if array.dtype.kind != "f":
            array = array.astype(np.float32)
        return self._user_function().forward(array, shape=array.shape)

    def emit(self, builder: Builder, x: Value) -> Value:
        """Append it to a program."""
        params: dict[str, Any] = {"function": self._user_function()}
        y = builder.emit("function", "forward", [x], params, out=[x.spec])[0]
        assert y is not None
        return y

    def _user_function(self) -> Any:
        from convkit.ops.function import UserFunction

        names = ("function f", "derivative df")
        return UserFunction(self.title, self._forward, self._backward, names=names, label=self.name)

    def _forward(self, x: Array) -> Any:
        return as_real(self.f(x), x.dtype)

    def _backward(self, dy: Array, y: Array, x: Array) -> Any:
        slope = self.df(x, y) if self._from_both else self.df(x)
        slope = as_real(slope, x.dtype)
        return dy * slope if np.shape(slope) == x.shape else slope  # which is refused

    def _check(self) -> None:
        from convkit.ops.trials import samples, try_function

        call, shape = self._user_function(), (4, 10)
        hint = "df must return dy/dx at each x"
        trials = ([x] for x in samples((40,)))
        try_function(call, trials, (), hint, unit="number", random=False, required="")
        with np.errstate(all="ignore"):
            for x in samples(shape):
                call.forward(x.astype(np.float32), shape=shape)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, CustomActivation):
            return NotImplemented
        return (self.f, self.df) == (other.f, other.df)

    def __hash__(self) -> int:
        return hash((self.f, self.df))

    def __repr__(self) -> str:
        return self.name


def as_real(result: Any, dtype: Any) -> Any:
    """An array of real numbers in that dtype; anything else as it is."""
    if isinstance(result, np.ndarray | np.generic) and result.dtype.kind in "biuf":
        return result.astype(dtype, copy=False)
    return result


def _takes_output(title: str, df: Callable[..., Any]) -> bool:
    """Whether a derivative is df(x, y) rather than df(x)."""
    if isinstance(df, np.ufunc):
        count = df.nin
    else:
        parameters = inspect.signature(df).parameters.values()
        positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        needed = [p for p in parameters if p.kind in positional and p.default is p.empty]
        any_number = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        count = 2 if any_number and len(needed) < 2 else len(needed)
    if count not in (1, 2):
        raise TypeError(f"{title}: df takes (x) or (x, y), not {count} arguments")
    return count == 2


linear = ActivationFunction("linear")
relu = ActivationFunction("relu")
leaky_relu = ActivationFunction("leaky_relu")
sigmoid = ActivationFunction("sigmoid")
tanh = ActivationFunction("tanh")
scaled_tanh = ActivationFunction("scaled_tanh")
hardtanh = ActivationFunction("hardtanh")
hard_sigmoid = ActivationFunction("hard_sigmoid")
elu = ActivationFunction("elu")
selu = ActivationFunction("selu")
softplus = ActivationFunction("softplus")
softsign = ActivationFunction("softsign")
gelu = ActivationFunction("gelu")
silu = swish = ActivationFunction("silu")
exponential = ActivationFunction("exponential")
step = ActivationFunction("step")
softmax = ActivationFunction("softmax")
log_softmax = ActivationFunction("log_softmax")

_KNOWN = {
    f.kind: f
    for f in (
        linear, relu, leaky_relu, sigmoid, tanh, scaled_tanh, hardtanh, hard_sigmoid, elu, selu,
        softplus, softsign, gelu, silu, exponential, step, softmax, log_softmax,
    )
}  # fmt: skip
_ALIASES = {"swish": "silu", "hard_tanh": "hardtanh", "exp": "exponential", "identity": "linear"}


def get(identifier: Any) -> ActivationFunction:
    """Return the activation that an ``activation=`` argument means.

    Parameters
    ----------
    identifier : str, ActivationFunction, activation layer or None
        None means "linear".

    Returns
    -------
    ActivationFunction

    Raises
    ------
    ValueError
        If there is no activation of that name.
    TypeError
        If it is a callable without a derivative, or no activation at all.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, ActivationFunction):
        return identifier
    if isinstance(identifier, str):
        name = identifier.lower()
        name = _ALIASES.get(name, name)
        if name not in _KNOWN:
            raise ValueError(f"unknown activation {identifier!r}{did_you_mean(identifier, _KNOWN)}")
        return _KNOWN[name]
    function = getattr(identifier, "function", None)
    if isinstance(function, ActivationFunction):  # an activation layer
        return function
    what = getattr(identifier, "__qualname__", None) or repr(identifier)
    hint = ""
    if (name := getattr(identifier, "__name__", "")) in _KNOWN:
        hint = f"; did you mean {name!r}?"
    raise TypeError(
        f"activation={what} has no derivative to train by: make it ck.Activation(f, df) with df(x) "
        f"its derivative. Accepted as well are a name ({', '.join(sorted(_KNOWN))}), a "
        "function of convkit.activations or convkit.nn, and an activation layer such as "
        f"layers.LeakyReLU(0.1){hint}"
    )
