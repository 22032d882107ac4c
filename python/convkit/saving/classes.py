"""The closed table of classes that a file may name."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import Any

from convkit.errors import did_you_mean
from convkit.saving.config import Configured

__all__ = ["Pieces", "name_of", "table"]

# The packages whose public classes are in it, and a few that are not public.
_PACKAGES = (
    "activations", "initializers", "layers", "losses", "metrics", "models", "optimizers",
    "optimizers.line_search", "regularizers", "schedules",
)  # fmt: skip
_MORE = (("metrics.from_loss", "LossAsMetric"), ("layers.sequences", "AttachMask"))


@functools.cache
def table() -> dict[str, type[Configured]]:
    """Classes by name, such as "layers.Dense"."""
    found: dict[str, type[Configured]] = {}
    public = [
        (package, package, name)
        for package in _PACKAGES
        for name in importlib.import_module(f"convkit.{package}").__all__
    ]
    for module, package, name in [*public, *((m, m.split(".")[0], n) for m, n in _MORE)]:
        value = getattr(importlib.import_module(f"convkit.{module}"), name)
        if isinstance(value, type) and issubclass(value, Configured):
            found[f"{package}.{name}"] = value
    return found


@functools.cache
def _names() -> dict[type[Configured], str]:
    names: dict[type[Configured], str] = {}
    for name, kind in table().items():
        names.setdefault(kind, name)
    return names


def name_of(kind: type[Configured]) -> tuple[str, bool]:
    """The name of a class in files, and whether it is a user's own."""
    name = _names().get(kind)
    return (kind.__name__, True) if name is None else (name, False)


class Pieces:
    """What a file may name: convkit's classes, and what the user passes in.

    Parameters
    ----------
    custom_objects : mapping of str to class or function, optional
    """

    def __init__(self, custom_objects: Mapping[str, Any] | None = None) -> None:
        given = {} if custom_objects is None else custom_objects
        if not isinstance(given, Mapping) or not all(isinstance(k, str) for k in given):
            raise TypeError(
                'custom_objects must be a dict by name, such as {"MyLayer": MyLayer}, not '
                f"{given!r}"
            )
        self._custom = dict(given)

    def custom(self, name: str, what: str = "function") -> Any:
        """A piece of the user's own.

        Raises
        ------
        ValueError
            If it was not passed in.
        """
        if name in self._custom:
            return self._custom[name]
        given = f" (given: {', '.join(self._custom)})" if self._custom else ""
        raise ValueError(
            f"it needs the {what} {name!r}, which is not part of convkit; pass "
            f"custom_objects={{{name!r}: {name}}}{given}"
        )

    def make(self, name: str, config: dict[str, Any], *, custom: bool = False) -> Any:
        """An object of the class of that name; nothing is imported for it.

        Raises
        ------
        ValueError
            If there is no such class, or it does not take these arguments.
        """
        kind = self.custom(name, "class") if custom else table().get(name)
        if kind is None:
            near = did_you_mean(name, table())
            near = near if near.startswith("; did") else ""  # the whole list is a long one
            raise ValueError(f"convkit has no class {name!r}{near}")
        if not isinstance(kind, type) or not issubclass(kind, Configured):
            raise ValueError(
                f"custom_objects[{name!r}] must be a class that remembers how it was made, such as "
                f"a subclass of layers.Layer, not {kind!r}"
            )
        try:
            return kind.from_config(config)
        except (RecursionError, MemoryError):
            raise
        # A wrong value may raise anything, in the constructor of any class.
        except Exception as error:
            told = str(error) if isinstance(error, ValueError | TypeError) else repr(error)
            raise ValueError(f"{name} cannot be made: {told}") from error
