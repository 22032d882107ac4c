"""The multilayer perceptron."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convkit.layers import Dense, Dropout, Flatten, Input, Layer
from convkit.models.sequential import Sequential

__all__ = ["mlp"]


def mlp(
    sizes: Sequence[Any] = ((28, 28), 128, 10),
    activation: Any = "relu",
    output_activation: Any = "softmax",
    dropout: float = 0.0,
    name: str = "mlp",
) -> Sequential:
    """A chain of fully connected layers.

    Parameters
    ----------
    sizes : sequence of int
        Of the input, the hidden layers and the output. The first may be a shape such as (28, 28),
        which is flattened.
    activation : str or ActivationFunction
        Of the hidden layers.
    output_activation : str or ActivationFunction, optional
        "softmax" for classes, "sigmoid" for yes or no, None for numbers.
    dropout : float
        Share of hidden values that training sets to 0.
    name : str

    Returns
    -------
    Sequential

    Examples
    --------
    >>> from convkit import models
    >>> models.mlp([784, 100, 10]).count_params()
    79510
    """
    sizes = list(sizes)
    if len(sizes) < 2:
        raise ValueError(f"[mlp] sizes needs the input's and the output's at least, got {sizes}")
    first = sizes[0]
    shape = tuple(first) if isinstance(first, Sequence) else (first,)
    layers: list[Layer] = [] if len(shape) == 1 else [Flatten(name="flatten")]
    for i, units in enumerate(sizes[1:-1], 1):
        layers.append(Dense(units, activation, name=f"hidden{i}"))
        if dropout:
            layers.append(Dropout(dropout, name=f"dropout{i}"))
    layers.append(Dense(sizes[-1], output_activation, name="output"))
    return Sequential([Input(shape), *layers], name=name)
