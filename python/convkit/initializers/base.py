"""The base of the initializers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from convkit.saving.config import Configured

Array = NDArray[np.float32]


class Initializer(Configured):
    """Base of the initializers.

    Parameters
    ----------
    seed : int, optional
        Draws from a generator of its own, whatever `set_seed` said.
    """

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(
        self,
        shape: Sequence[int],
        rng: np.random.Generator | None = None,
        *,
        dtype: DTypeLike | None = None,
    ) -> NDArray[Any]:
        """Return initial values.

        Parameters
        ----------
        shape : sequence of int
        rng : numpy.random.Generator, optional
            By default one that follows from the initializer's or the global seed.
        dtype : dtype, optional
            Of the result; the values are drawn in float32 in any case.

        Returns
        -------
        ndarray of float32, or of `dtype`

        Raises
        ------
        TypeError
            If rng is no generator.
        """
        if rng is not None and not isinstance(rng, np.random.Generator):
            raise TypeError(
                f"{type(self).__name__}: the second argument is a numpy.random.Generator, got "
                f"{rng!r}; a dtype goes by name, dtype={rng!r}"
            )
        if self.seed is not None or rng is None:
            from convkit.random import generator

            rng = generator(self.seed)
        values = np.ascontiguousarray(self.draw(tuple(shape), rng), dtype=np.float32)
        return values if dtype is None else values.astype(dtype, copy=False)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        """Return the values, from the given generator; what subclasses define."""
        raise NotImplementedError(f"{type(self).__name__} does not define draw(shape, rng)")

    def __repr__(self) -> str:
        options = ", ".join(
            f"{k}={v!r}" for k, v in vars(self).items() if v is not None and k[0] != "_"
        )
        return f"{type(self).__name__}({options})"
