"""Values as JSON has them, arrays apart, and back.

What JSON lacks is an object with one key that begins with "$": ``{"$tuple": [...]}``,
``{"$array": name}``, ``{"$class": name, "config": {...}}``, ``{"$custom": name}`` for what a user
passes in at loading, ``{"$layer": number}`` for one of a model's layers, which may be in several
places. Numbers that are not finite stay as they are: see `convkit.saving.files`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.saving.classes import Pieces, name_of
from convkit.saving.config import Configured, is_own, is_plain

if TYPE_CHECKING:
    from convkit.layers.base import Layer
    from convkit.ops.registry import Array

__all__ = ["Layers", "pack", "unpack"]

DEEPEST = 64


class Layers:
    """The layers of a model as they are packed, those inside of others first.

    Parameters
    ----------
    arrays : dict of str to ndarray
        See `pack`.

    Attributes
    ----------
    packed : list of dict
    """

    def __init__(self, arrays: dict[str, Array]) -> None:
        self.arrays = arrays
        self.packed: list[dict[str, Any]] = []
        self._numbers: dict[int, int] = {}

    def number(self, layer: Layer) -> int:
        """The layer's place in `packed`, which it gets the first time."""
        if id(layer) not in self._numbers:
            packed = _configured(layer, layer.title, self.arrays, self)
            inside = [part.trainable for part in layer.inside]
            if any(value != layer.trainable for value in inside):
                packed["inside"] = inside  # whether each layer in it is trainable
            self._numbers[id(layer)] = len(self.packed)
            self.packed.append(packed)
        return self._numbers[id(layer)]


def pack(
    value: Any,
    title: str,
    arrays: dict[str, Array] | None = None,
    layers: Layers | None = None,
) -> Any:
    """A value as JSON has it.

    Parameters
    ----------
    value : object
        Numbers, strings, None, lists, tuples, dicts with strings for keys; arrays; and objects
        that remember how they were made: layers, losses, initializers.
    title : str
        Named in messages, and beginning the names of arrays.
    arrays : dict of str to ndarray, optional
        The arrays in it are put here; without, they are refused.
    layers : Layers, optional
        Where layers are to be found; without, each is packed where it stands.

    Raises
    ------
    TypeError
        If it holds anything else; the message says where, and what to do.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if is_plain(value):
        return value
    if isinstance(value, list | range):
        return [pack(item, f"{title}.{i}", arrays, layers) for i, item in enumerate(value)]
    if isinstance(value, tuple):
        return {"$tuple": pack(list(value), title, arrays, layers)}
    if isinstance(value, dict) and "$class" in value:  # encoded by a get_config
        return {**value, "config": pack(value["config"], title, arrays, layers)}
    if isinstance(value, dict) and all(isinstance(k, str) and k[:1] != "$" for k in value):
        return {k: pack(v, f"{title}.{k}", arrays, layers) for k, v in value.items()}
    if isinstance(value, np.ndarray) and value.dtype.kind == "U" and value.ndim == 1:
        return value.tolist()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf" and arrays is not None:
        name = f"{title}.{len(arrays)}"
        arrays[name] = value
        return {"$array": name}
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return np.dtype(value).name
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return _object(value, title, arrays, layers)


def _configured(
    value: Configured, title: str, arrays: dict[str, Array] | None, layers: Layers | None
) -> dict[str, Any]:
    """The class of an object, and the arguments that it was made with."""
    name, custom = name_of(type(value))
    if custom and is_own(type(value)):
        raise TypeError(f"{title} cannot be saved: {name} is not a public class")
    default = hasattr(type(value).get_config, "_is_default")
    config = value._arguments() if default else value.get_config()
    packed = {k: pack(v, f"{title}.{k}", arrays, layers) for k, v in config.items()}
    return {"$class": name, "config": packed} | ({"custom": True} if custom else {})


def _object(value: Any, title: str, arrays: dict[str, Array] | None, layers: Layers | None) -> Any:
    from convkit.layers.base import Layer

    if isinstance(value, Configured):
        if (word := value._word()) is not None:
            return word
        if layers is not None and isinstance(value, Layer):
            return {"$layer": layers.number(value)}
        return _configured(value, title, arrays, layers)
    name = getattr(value, "__name__", "")
    if callable(value) and name.isidentifier():
        return {"$custom": name}
    what = "a function without a name" if callable(value) else f"{type(value).__name__} {value!r}"
    raise TypeError(
        f"{title} cannot be saved: it is {what}. Files hold numbers, strings, arrays and objects "
        "of convkit; define a function with def, and pass it to load_model in custom_objects"
    )


def unpack(
    value: Any,
    pieces: Pieces,
    arrays: Mapping[str, Array],
    layers: Sequence[Layer] = (),
    depth: int = 0,
) -> Any:
    """What `pack` was given.

    Parameters
    ----------
    value : object
        From JSON.
    pieces : Pieces
        The classes that may be made.
    arrays : mapping of str to ndarray
    layers : sequence of Layer
        Those made so far.

    Raises
    ------
    ValueError
        If it is not what `pack` makes, or a custom piece is missing.
    """
    if depth > DEEPEST:
        raise ValueError("it is nested too deeply")

    def each(values: Any) -> Any:
        if isinstance(values, list):
            return [unpack(item, pieces, arrays, layers, depth + 1) for item in values]
        return {k: unpack(v, pieces, arrays, layers, depth + 1) for k, v in values.items()}

    if isinstance(value, list):
        return each(value)
    if not isinstance(value, dict):
        return value
    kind = next((k for k in value if k[:1] == "$"), None)
    if kind is None:
        return each(value)
    inner = value[kind]
    if kind == "$class" and isinstance(inner, str) and isinstance(value.get("config"), dict):
        return pieces.make(inner, each(value["config"]), custom=value.get("custom") is True)
    if len(value) == 1:
        if kind == "$tuple" and isinstance(inner, list):
            return tuple(each(inner))
        if kind == "$array" and isinstance(inner, str) and inner in arrays:
            return arrays[inner]
        if kind == "$custom" and isinstance(inner, str):
            return pieces.custom(inner)
        if kind == "$layer" and type(inner) is int and 0 <= inner < len(layers):
            return layers[inner]
    raise ValueError(f"it has {kind!r} with {str(inner)[:40]!r}, which means nothing")
