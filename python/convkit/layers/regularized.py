"""Which weights of a layer have a regularizer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convkit import regularizers
from convkit.regularizers import Regularizer

if TYPE_CHECKING:
    from convkit.layers.base import Layer

__all__ = ["check_regularizers", "take_regularizers"]

# What has a regularizer, by what Keras calls it in arguments.
_REGULARIZED = {
    "kernel": "kernel", "bias": "bias", "activity": "activity", "recurrent": "recurrent_kernel",
    "embeddings": "embeddings", "depthwise": "depthwise_kernel", "pointwise": "pointwise_kernel",
    "beta": "beta", "gamma": "gamma",
}  # fmt: skip


def take_regularizers(arguments: dict[str, Any]) -> dict[str, Regularizer]:
    """Take ``kernel_regularizer=`` and the like out of a layer's arguments.

    Returns
    -------
    dict of str to Regularizer
        By the weight's name, or "activity".
    """
    found = {}
    for argument in list(arguments):
        of, _, what = argument.rpartition("_")
        if what != "regularizer" or of not in _REGULARIZED:
            continue
        regularizer = regularizers.get(arguments.pop(argument))
        if regularizer is not None:
            found[_REGULARIZED[of]] = regularizer
    return found


def check_regularizers(layer: Layer) -> None:
    """Refuse regularizers of weights that a built layer does not have.

    Raises
    ------
    ValueError
    """
    names = {p.name for p in layer.parameters}
    for name in set(layer._regularizers) - names - {"activity"}:
        raise ValueError(
            f"{layer.title} has no {name} that a regularizer could keep small, it has "
            f"{', '.join(sorted(names)) or 'no weights'}; leave the argument out"
        )
