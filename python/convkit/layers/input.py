"""Where data enters a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.layers.base import Layer, check_shape

if TYPE_CHECKING:
    from convkit.models.graph import Node, Shape

__all__ = ["Input", "InputLayer"]

_DTYPES = ("float32", "float64", "uint8", "int32", "int64")


class InputLayer(Layer):
    """An input of a model.

    Parameters
    ----------
    shape : sequence of int
        Of one sample.
    batch_size : int, optional
        Accepted for Keras's sake; a model takes batches of any size.
    dtype : str
        Of the data; models compute in float32, whatever comes in.
    name : str, optional
    """

    def __init__(
        self,
        shape: Sequence[int] | None = None,
        batch_size: int | None = None,
        dtype: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        from convkit.models.graph import Node  # models import layers

        batch_shape = kwargs.pop("batch_shape", None)
        if shape is None and batch_shape is not None:
            shape = batch_shape[1:]
        if shape is None and "input_shape" in kwargs:
            shape = kwargs.pop("input_shape")
        if shape is None:
            raise ValueError("Input needs the shape of one sample, such as Input((28, 28, 1))")
        super().__init__(name=name, **kwargs)
        self.dtype = "float32" if dtype is None else np.dtype(dtype).name
        if self.dtype not in _DTYPES:
            raise ValueError(f"{self.title}: dtype {self.dtype} is not one of {', '.join(_DTYPES)}")
        self.shape = check_shape(shape, f"{self.title}: shape")
        self.built = True
        self.node = Node((None, *self.shape), self.dtype, self)

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return self.node.shape


def Input(
    shape: Sequence[int] | None = None,
    batch_size: int | None = None,
    dtype: str | None = None,
    name: str | None = None,
    **kwargs: Any,
) -> Node:
    """Begin a functional model, or a Sequential one.

    Parameters
    ----------
    shape : sequence of int
        Of one sample, such as (28, 28, 1).
    batch_size : int, optional
        Accepted for Keras's sake; a model takes batches of any size.
    dtype : str
        Of the data: "float32", "float64", "uint8", "int32" or "int64".
    name : str, optional

    Returns
    -------
    Node

    Raises
    ------
    ValueError
        If the shape is missing or not one of a sample.

    Examples
    --------
    >>> from convkit import Input
    >>> Input((28, 28, 1)).shape
    (None, 28, 28, 1)
    """
    return InputLayer(shape, batch_size, dtype, name, **kwargs).node
