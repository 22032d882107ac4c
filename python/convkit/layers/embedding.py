"""Numbers of things to vectors: trained ones, or one-hot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit import initializers
from convkit.layers.base import Layer
from convkit.layers.checks import positive

if TYPE_CHECKING:
    from convkit.layers.parameter import Parameter
    from convkit.models.graph import Shape
    from convkit.program.builder import Builder
    from convkit.program.program import Value

__all__ = ["CategoryEncoding", "Embedding"]

MOST = 1 << 24  # float32, in which models compute, counts no further
MOST_ONE_HOT = 4096  # 64 MiB of ones and zeros
_BLOCK = 1 << 20  # values that are checked together


def check_numbers(layer: Layer, title: str, array: NDArray[Any], count: int, argument: str) -> None:
    """Refuse anything but whole numbers from 0 to `count` - 1.

    Raises
    ------
    ValueError
        With the first value that is none.
    """
    flat = array.reshape(-1)
    for begin in range(0, flat.size, _BLOCK):
        part = flat[begin : begin + _BLOCK]
        with np.errstate(invalid="ignore"):
            wrong = ~((part >= 0) & (part < count) & (part == np.floor(part)))
        if wrong.any():
            at = begin + int(np.argmax(wrong))
            place = ", ".join(str(int(i)) for i in np.unravel_index(at, array.shape))
            raise ValueError(
                f"{title}[{place}] is {flat[at]}, and {layer.title} takes whole numbers from 0 to "
                f"{count - 1} ({argument}={count})"
            )


class Embedding(Layer):
    """A trained vector for each of `input_dim` things, looked up by their numbers.

    Parameters
    ----------
    input_dim : int
        How many things there are; their numbers are 0 to ``input_dim - 1``. At most 2**24.
    output_dim : int
        Length of the vectors.
    embeddings_initializer : str or Initializer
    embeddings_regularizer : str or Regularizer, optional
    embeddings_constraint : None
        Not supported.
    mask_zero : bool
        Whether number 0 is padding: recurrent layers after this one pass over it, and losses leave
        it out. The input is then (N, T).
    weights : array_like, or a list of one, optional
        The vectors to begin with, (input_dim, output_dim).
    input_length : int, optional
        Keras's older name for ``input_shape=(input_length,)``.
    **kwargs
        Common arguments of `Layer`.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        embeddings_regularizer: Any = None,
        embeddings_constraint: None = None,
        mask_zero: bool = False,
        weights: Any = None,
        input_length: int | None = None,
        **kwargs: Any,
    ) -> None:
        if input_length is not None:
            kwargs.setdefault("input_shape", (input_length,))
        super().__init__(
            embeddings_regularizer=embeddings_regularizer,
            embeddings_constraint=embeddings_constraint,
            **kwargs,
        )
        # The base's input_dim is a number of features.
        self.input_dim = positive(self, "input_dim", input_dim)
        self.output_dim = positive(self, "output_dim", output_dim)
        if self.input_dim > MOST:
            raise ValueError(
                f"{self.title}: input_dim is {self.input_dim}, at most 2**24 = {MOST} are "
                "supported: models compute in float32, which tells no more numbers apart"
            )
        self.mask_zero = bool(mask_zero)
        self.embeddings_initializer = embeddings_initializer
        if weights is not None:
            self.embeddings_initializer = initializers.Constant(self._given(weights))
        self.embeddings: Parameter | None = None

    def _given(self, weights: ArrayLike | Sequence[ArrayLike]) -> NDArray[Any]:
        array = np.asarray(weights)
        array = array[0] if array.ndim == 3 and len(array) == 1 else array
        if array.shape != (self.input_dim, self.output_dim):
            raise ValueError(
                f"{self.title}: weights have shape {array.shape}, expected "
                f"{(self.input_dim, self.output_dim)}"
            )
        return array

    def check_input(self, shape: Shape) -> None:
        if self.mask_zero and len(shape) != 2:
            raise ValueError(
                f"{self.title}: mask_zero=True needs sequences of numbers (N, T), got {shape}"
            )

    def check_data(self, title: str, array: NDArray[Any]) -> None:
        check_numbers(self, title, array, self.input_dim, "input_dim")

    def build(self, input_shape: Any) -> None:
        self.embeddings = self.add_weight(
            "embeddings", (self.input_dim, self.output_dim), self.embeddings_initializer
        )

    def compute_output_shape(self, input_shape: Any) -> Shape:
        table = (self.input_dim, self.output_dim)
        return self.infer("embedding", "forward", [input_shape, table], {})

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        assert self.embeddings is not None
        table = builder.parameter(self.embeddings)
        y = builder.emit("embedding", "forward", [inputs[0], table])[0]
        assert y is not None
        if self.mask_zero:
            builder.set_mask(y, builder.found_mask(inputs[0]))
        return y


class CategoryEncoding(Layer):
    """One-hot rows of numbers: 1 at the place of the number, 0 elsewhere.

    Parameters
    ----------
    num_tokens : int
        Length of the rows; the numbers are 0 to ``num_tokens - 1``. At most 4096.
    output_mode : str
        Only "one_hot".
    sparse : bool
        Only False.
    **kwargs
        Common arguments of `Layer`.

    Notes
    -----
    As in Keras an input whose last axis is 1 has it replaced, any other gets one more axis.
    """

    supports_masking = True

    def __init__(
        self,
        num_tokens: int | None = None,
        output_mode: str = "multi_hot",
        sparse: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_tokens = positive(self, "num_tokens", num_tokens)
        if output_mode != "one_hot":
            raise ValueError(
                f"{self.title}: output_mode={output_mode!r} is not supported; give "
                'output_mode="one_hot"'
            )
        if sparse:
            raise ValueError(f"{self.title}: sparse=True is not supported; leave it at False")
        if self.num_tokens > MOST_ONE_HOT:
            raise ValueError(
                f"{self.title}: num_tokens is {self.num_tokens}, at most {MOST_ONE_HOT} are "
                "supported; use an Embedding for so many"
            )
        self.output_mode = output_mode

    def check_data(self, title: str, array: NDArray[Any]) -> None:
        check_numbers(self, title, array, self.num_tokens, "num_tokens")

    def compute_output_shape(self, input_shape: Any) -> Shape:
        kept = input_shape[:-1] if len(input_shape) > 1 and input_shape[-1] == 1 else input_shape
        return (*kept, self.num_tokens)

    def emit(self, builder: Builder, inputs: list[Value]) -> Value:
        shape = inputs[0].spec.shape
        if len(shape) > 1 and shape[-1] == 1:
            shape = shape[:-1]
        table = builder.constant(f"{self.name}.one_hot", np.eye(self.num_tokens))
        y = builder.emit("embedding", "forward", [builder.view(inputs[0], shape), table])[0]
        assert y is not None
        return y
