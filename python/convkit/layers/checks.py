"""Checks of arguments that several layers share."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convkit.layers.base import Layer

Pair = tuple[int, int]


def positive(layer: Layer, argument: str, value: Any) -> int:
    """Return `value` as an int that is at least 1."""
    try:
        number = operator.index(value)
    except TypeError:
        number = 0
    if number < 1:
        raise ValueError(f"{layer.title}: {argument} must be a positive integer, got {value!r}")
    return number


def pair(layer: Layer, argument: str, value: Any) -> Pair:
    """Return an int or a pair as a pair of positive ints."""
    values = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(values) != 2:
        raise ValueError(f"{layer.title}: {argument} must be an integer or two, got {value!r}")
    return positive(layer, argument, values[0]), positive(layer, argument, values[1])


def channels_last(layer: Layer, data_format: str | None) -> None:
    """Refuse any other data format, and say how to get along."""
    if data_format not in (None, "channels_last"):
        raise ValueError(
            f"{layer.title}: data_format={data_format!r} is not supported, images are "
            "(N, H, W, C); move the channels once with x = np.moveaxis(x, 1, -1) and leave "
            "data_format out"
        )


@contextmanager
def explained(layer: Layer) -> Iterator[None]:
    """Put the layer's name in front of an op's complaint."""
    try:
        yield
    except (ValueError, TypeError) as error:
        raise type(error)(f"{layer.title}: {error}") from None
