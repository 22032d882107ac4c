"""Tables of connections: which channels each filter of a convolution sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from convkit import initializers
from convkit.initializers import Initializer

if TYPE_CHECKING:
    from convkit.layers.base import Layer

__all__ = ["ConnectedInitializer", "check_connections"]


def check_connections(layer: Layer, table: Any, filters: int) -> NDArray[np.bool_]:
    """Return a table as bools of shape (channels, filters).

    Raises
    ------
    ValueError
        If it has another shape, holds anything but 0 and 1, or leaves a channel or a filter
        without a connection.
    """
    try:
        values = np.asarray(table)
    except ValueError:  # rows of several lengths
        raise ValueError(
            f"{layer.title}: connections must be a table of shape (channels, filters) = "
            f"(C, {filters}) that says of each channel and filter whether they are connected, got "
            "rows of several lengths; lists of each filter's channels become one with "
            "table[channels, filter] = True, from np.zeros((C, filters), bool)"
        ) from None
    if values.ndim != 2 or values.shape[1] != filters:
        raise ValueError(
            f"{layer.title}: connections must have shape (channels, filters) = (C, {filters}), "
            f"got {values.shape}"
        )
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise ValueError(f"{layer.title}: connections must hold True and False only, or 1 and 0")
    connected = values.astype(bool)
    for axis, what, others in ((1, "channel", "filter"), (0, "filter", "channel")):
        alone = np.flatnonzero(~connected.any(axis=axis))
        if alone.size:
            raise ValueError(
                f"{layer.title}: connections leave {what} {alone[0]} without any {others}; "
                f"take it out, or connect it"
            )
    return connected


class ConnectedInitializer(Initializer):
    """Draws the values of the connected filters alone, each by its own number of inputs.

    Parameters
    ----------
    initializer : Initializer
        It is asked for filters (KH, KW, n, K) with n the channels that a filter sees, so that its
        fan in is the filter's own. A `Constant` gives the values as they are stored.
    connections : ndarray of bool, shape (C, K)
    """

    def __init__(self, initializer: Initializer, connections: NDArray[np.bool_]) -> None:
        super().__init__()
        self.initializer = initializer
        self.connections = connections

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float32]:
        if isinstance(self.initializer, initializers.Constant):
            return self.initializer(shape, rng)
        filters = self.connections.shape[1]
        seen = self.connections.sum(axis=0)
        owner = np.flatnonzero(self.connections) % filters  # the filter of each stored value
        values = np.empty(shape, np.float32)
        for n in np.unique(seen):
            drawn = self.initializer((*shape[:-1], int(n), filters), rng)
            for k in np.flatnonzero(seen == n):
                values[..., owner == k] = drawn[..., k]
        return values
