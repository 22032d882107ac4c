"""Recurrent layers over sequences (N, T, C)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convkit import activations
from convkit.errors import did_you_mean
from convkit.initializers import Initializer
from convkit.layers.recurrent_base import Recurrent

if TYPE_CHECKING:
    from convkit.activations import ActivationFunction

__all__ = ["GRU", "LSTM", "SimpleRNN"]


def _activation(layer: Recurrent, argument: str, given: Any, known: tuple[str, ...]) -> Any:
    """The activation, if the kernels of the cell have it."""
    function: ActivationFunction = activations.get(given)
    if function.kind not in known:
        hint = did_you_mean(function.kind, known) if len(known) > 1 else ""
        raise ValueError(
            f"{layer.title}: {argument}={function.__name__!r} is not supported, only "
            f"{', '.join(known)}{hint}"
        )
    return function


class SimpleRNN(Recurrent):
    """The plain recurrent layer: ``h' = f(x w + h u + b)`` (Elman 1990).

    It has ``units (units + C + 1)`` weights for C features.

    Parameters
    ----------
    units : int
        Size of the state, and of the output of a step.
    activation : str or ActivationFunction
        "tanh", "sigmoid", "relu" or "linear".
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
    **kwargs
        Arguments of `Recurrent`, such as ``return_sequences=True``, and of `Layer`.
    """

    cell = "simple"

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            **kwargs,
        )
        known = ("tanh", "sigmoid", "relu", "linear")
        self.activation = _activation(self, "activation", activation, known)

    def _options(self) -> dict[str, Any]:
        return {"activation": self.activation.kind}


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter and Schmidhuber 1997, with the forget gate of Gers 2000).

    ``i, f, g, o = x w + h u + b`` go through sigmoid, sigmoid, tanh and sigmoid; the cell becomes
    ``c' = f c + i g`` and the output ``h' = o tanh(c')``. It has ``4 units (units + C + 1)``
    weights for C features, and the states h and c.

    Parameters
    ----------
    units : int
        Size of the states, and of the output of a step.
    activation : str
        Only "tanh".
    recurrent_activation : str
        Only "sigmoid".
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
    unit_forget_bias : bool
        Whether the forget gate's bias begins with 1.
    **kwargs
        Arguments of `Recurrent`, such as ``return_sequences=True``, and of `Layer`.
    """

    cell = "lstm"
    gates = 4
    states = ("h", "c")

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            **kwargs,
        )
        self.activation = _activation(self, "activation", activation, ("tanh",))
        _activation(self, "recurrent_activation", recurrent_activation, ("sigmoid",))
        self.unit_forget_bias = bool(unit_forget_bias)

    def _bias(self) -> Initializer:
        inner = super()._bias()
        return _ForgetOnes(inner, self.units) if self.unit_forget_bias else inner


class _ForgetOnes(Initializer):
    """The bias of an LSTM whose forget gates are open at first (Gers et al. 2000)."""

    def __init__(self, inner: Initializer, units: int) -> None:
        super().__init__()
        self.inner = inner
        self.units = units

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[Any]:
        bias = np.array(self.inner(shape, rng))
        first = bias if bias.ndim == 1 else bias[0]
        first[self.units : 2 * self.units] = 1
        return bias


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014): ``h' = z h + (1 - z) n``.

    ``z, r = sigmoid(x w + h u + b)``; the candidate n is ``tanh(x w_n + b_n + r (h u_n + c_n))``
    with `reset_after` and ``tanh(x w_n + (r h) u_n + b_n)`` without. It has
    ``3 units (units + C + 2)`` weights for C features with `reset_after`, whose bias is
    (2, 3 units), and ``3 units (units + C + 1)`` without.

    Parameters
    ----------
    units : int
        Size of the state, and of the output of a step.
    activation : str
        Only "tanh".
    recurrent_activation : str
        Only "sigmoid".
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
    reset_after : bool
        Whether the reset gate works after the product with the state, as in cuDNN, or before it,
        as in the paper.
    **kwargs
        Arguments of `Recurrent`, such as ``return_sequences=True``, and of `Layer`.
    """

    cell = "gru"
    gates = 3

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        *,
        reset_after: bool = True,
        **kwargs: Any,
    ) -> None:
        if "recurrent_bias" in kwargs:
            raise TypeError(
                "layer GRU has no argument 'recurrent_bias': reset_after=True, the default, has "
                "that bias, and reset_after=False cannot have it"
            )
        super().__init__(
            units,
            use_bias=use_bias,
            recurrent_bias=use_bias and reset_after,
            kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer,
            **kwargs,
        )
        self.activation = _activation(self, "activation", activation, ("tanh",))
        _activation(self, "recurrent_activation", recurrent_activation, ("sigmoid",))
        self.reset_after = bool(reset_after)

    def _options(self) -> dict[str, Any]:
        return {"reset_after": self.reset_after}
