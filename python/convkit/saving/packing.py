"""Values as JSON has them, arrays apart, and back.

What JSON lacks is an object with one key that begins with "$": ``{"$float": "nan"}``,
``{"$tuple": [...]}``, ``{"$array": name}``, ``{"$class": name, "config": {...}}``,
``{"$custom": name}`` for what a user passes in at loading.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from convkit.ops.registry import Array
from convkit.saving.classes import Pieces, name_of
from convkit.saving.config import Configured

__all__ = ["pack", "unpack"]

DEEPEST = 64


def pack(value: Any, title: str, arrays: dict[str, Array] | None = None) -> Any:
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

    Raises
    ------
    TypeError
        If it holds anything else; the message says where, and what to do.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": repr(value)}
    if isinstance(value, list):
        return [pack(item, f"{title}.{i}", arrays) for i, item in enumerate(value)]
    if isinstance(value, tuple):
        return {"$tuple": [pack(item, f"{title}.{i}", arrays) for i, item in enumerate(value)]}
    if isinstance(value, dict) and all(isinstance(k, str) and k[:1] != "$" for k in value):
        return {k: pack(v, f"{title}.{k}", arrays) for k, v in value.items()}
    if isinstance(value, np.ndarray) and arrays is not None:
        name = f"{title}.{len(arrays)}"
        arrays[name] = value
        return {"$array": name}
    if isinstance(value, np.dtype):
        return value.name
    return _object(value, title, arrays)


def _object(value: Any, title: str, arrays: dict[str, Array] | None) -> Any:
    if isinstance(value, Configured):
        name, custom = name_of(type(value))
        config = {k: pack(v, f"{title}.{k}", arrays) for k, v in value.get_config().items()}
        return {"$class": name, "config": config} | ({"custom": True} if custom else {})
    packed = getattr(value, "_packed", None)  # of a model inside of a layer
    if packed is not None:
        return packed(title, arrays)
    name = value.__name__ if isinstance(value, type) else getattr(value, "__name__", "")
    if callable(value) and name.isidentifier():
        return {"$custom": name}
    what = "a function without a name" if callable(value) else f"{type(value).__name__} {value!r}"
    raise TypeError(
        f"{title} cannot be saved: it is {what}. Files hold numbers, strings, arrays and objects "
        "of convkit; define a function with def, and pass it to load_model in custom_objects"
    )


def unpack(value: Any, pieces: Pieces, arrays: Mapping[str, Array], depth: int = 0) -> Any:
    """What `pack` was given.

    Parameters
    ----------
    value : object
        From JSON.
    pieces : Pieces
        The classes that may be made.
    arrays : mapping of str to ndarray

    Raises
    ------
    ValueError
        If it is not what `pack` makes, or a custom piece is missing.
    """
    if depth > DEEPEST:
        raise ValueError("it is nested too deeply")
    if isinstance(value, list):
        return [unpack(item, pieces, arrays, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    kind = next((k for k in value if k[:1] == "$"), None)
    if kind is None:
        return {k: unpack(v, pieces, arrays, depth + 1) for k, v in value.items()}
    inner = value[kind]
    if kind == "$float" and inner in ("nan", "inf", "-inf"):
        return float(inner)
    if kind == "$tuple" and isinstance(inner, list):
        return tuple(unpack(item, pieces, arrays, depth + 1) for item in inner)
    if kind == "$array" and isinstance(inner, str) and inner in arrays:
        return arrays[inner]
    if kind == "$custom" and isinstance(inner, str):
        return pieces.custom(inner)
    if kind == "$sequential" and isinstance(inner, list):
        from convkit.models.sequential import Sequential

        name = value.get("name")
        layers = [unpack(item, pieces, arrays, depth + 1) for item in inner]
        return Sequential(layers, name=name if isinstance(name, str) else None)
    if kind == "$class" and isinstance(inner, str) and isinstance(value.get("config"), dict):
        config = {k: unpack(v, pieces, arrays, depth + 1) for k, v in value["config"].items()}
        return pieces.make(inner, config, custom=value.get("custom") is True)
    raise ValueError(f"it has {kind!r} with {str(inner)[:40]!r}, which means nothing")
