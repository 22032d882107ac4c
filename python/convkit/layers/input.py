"""Where data enters a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convkit.layers.base import Layer
from convkit.layers.checks import check_shape, positive

if TYPE_CHECKING:
    from convkit.models.graph import Node, Shape

__all__ = ["Input", "InputLayer"]

WHOLE = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "int64")


class InputLayer(Layer):
    """An input of a model.

    Parameters
    ----------
    shape : sequence of int
        Of one sample.
    batch_size : int, optional
        For models that keep a state between batches; others take batches of any size.
    dtype : str, optional
        "float32", in which models compute; data may have any dtype. An integer dtype, such as
        "int32", says that the data are whole numbers, and others are refused.
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
        if batch_shape is not None and shape is None:
            batch_size, *shape = batch_shape
        if shape is None and "input_shape" in kwargs:
            shape = kwargs.pop("input_shape")
        if shape is None:
            raise ValueError("Input needs the shape of one sample, such as Input((28, 28, 1))")
        super().__init__(name=name, **kwargs)
        self.dtype = "float32"
        # Of the data.
        self.declared = self.dtype if dtype is None else str(getattr(dtype, "__name__", dtype))
        if self.declared not in (self.dtype, *WHOLE):
            raise ValueError(
                f"{self.title}: dtype {dtype!r} is not supported, models compute in float32; leave "
                "dtype out: data of any dtype is converted batch by batch"
            )
        self.shape = check_shape(shape, f"{self.title}: shape")
        self.batch_size = None if batch_size is None else positive(self, "batch_size", batch_size)
        self.node = Node((None, *self.shape), self.dtype, self)
        self.built = True

    def compute_output_shape(self, input_shape: Any) -> Shape:
        return self.node.shape

    @property
    def looks_at_data(self) -> bool:
        return self.declared in WHOLE

    def check_data(self, title: str, array: NDArray[Any]) -> None:
        if (
            self.declared in WHOLE
            and array.dtype.kind == "f"
            and not (array == np.rint(array)).all()
        ):
            raise ValueError(
                f"{title} has numbers that are not whole, and {self.title} has an integer dtype; "
                "round them, or leave dtype out"
            )


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
        For models with a layer of ``stateful=True``; others take batches of any size.
    dtype : str, optional
        "float32", in which models compute; data may have any dtype. An integer dtype, such as
        "int32", says that the data are whole numbers, and others are refused.
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
