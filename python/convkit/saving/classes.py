"""The closed table of classes that a file may name."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from typing import Any

from convkit.errors import did_you_mean
from convkit.saving.config import Configured

__all__ = ["Pieces", "name_of"]

# The packages whose public classes are in it, and a few that are not public.
_PACKAGES = (
    "activations", "initializers", "layers", "losses", "metrics", "optimizers",
    "optimizers.line_search", "regularizers",
    "schedules",
)  # fmt: skip
_MORE = (("metrics.from_loss", "LossAsMetric"), ("layers.input", "InputLayer"))


@functools.cache
def _table() -> dict[str, type[Configured]]:
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
    for name, kind in _table().items():
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

    def custom(self, name: str) -> Any:
        """A piece of the user's own.

        Raises
        ------
        ValueError
            If it was not passed in.
        """
        if name in self._custom:
            return self._custom[name]
        raise ValueError(
            f"it needs {name!r}, which is not part of convkit; pass "
            f'custom_objects={{"{name}": {name}}} to load_model'
        )

    def make(self, name: str, config: dict[str, Any], *, custom: bool = False) -> Any:
        """An object of the class of that name.

        Raises
        ------
        ValueError
            If there is no such class, or it does not take these arguments.
        """
        kind = self.custom(name) if custom else _table().get(name)
        if kind is None:
            raise ValueError(f"convkit has no class {name!r}{did_you_mean(name, _table())}")
        make = getattr(kind, "from_config", None)
        if make is None:
            raise ValueError(f"{name!r} in custom_objects is no class that a file can name: {kind}")
        try:
            return make(config)
        except (TypeError, ValueError, AttributeError, KeyError, IndexError, ArithmeticError) as e:
            raise ValueError(f"{name} cannot be made of {str(config)[:200]}: {e}") from None
