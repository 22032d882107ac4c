"""Checks of arguments that several layers share."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from convkit.layers.base import Layer

Pair = tuple[int, int]


def positive(layer: Layer, argument: str, value: Any, least: int = 1) -> int:
    """Return `value` as an int that is at least 1 (or 0, as `least` says)."""
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        sign = "positive" if least else "non-negative"
        raise ValueError(f"{layer.title}: {argument} must be a {sign} integer, got {value!r}")
    return number


def pair(layer: Layer, argument: str, value: Any, least: int = 1) -> Pair:
    """Return an int or a pair as a pair of ints of at least 1 (or 0)."""
    values = tuple(value) if isinstance(value, Sequence) else (value, value)
    if len(values) != 2:
        raise ValueError(f"{layer.title}: {argument} must be an integer or two, got {value!r}")
    first, second = (positive(layer, argument, v, least) for v in values)
    return first, second


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


def check_shape(shape: Any, argument: str) -> tuple[int, ...]:
    """Return the shape of one sample as a tuple of positive ints.

    Raises
    ------
    ValueError
        If it is no such thing.
    """
    try:
        axes = tuple(shape)
        valid = all(isinstance(n, int | np.integer) and n > 0 for n in axes)
    except TypeError:
        valid = False
    if not valid:
        raise ValueError(
            f"{argument} must be a tuple of positive numbers without the batch axis, such as "
            f"(28, 28, 1), got {shape!r}"
        )
    return tuple(int(n) for n in axes)
