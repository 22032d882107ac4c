"""Configured: objects that remember how they were made, so that they can be made again."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import cache
from typing import Any, Self

import numpy as np

__all__ = ["Configured", "accepts", "is_own", "is_plain"]

_CHANGEABLE = (list, tuple, dict, np.ndarray)  # or what holds such


class Configured:
    """A base that remembers the arguments of the constructor.

    A subclass needs nothing more, as long as these arguments are enough to make the object again.
    """

    # What a configuration has besides, to be set afterwards where the constructor does not take it.
    _settable: tuple[str, ...] = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        made = super().__new__(cls)
        if any(isinstance(value, _CHANGEABLE) for value in (*args, *kwargs.values())):
            args = tuple(_snapshot(value) for value in args)
            kwargs = {key: _snapshot(value) for key, value in kwargs.items()}
        # Not by assignment, which subclasses guard.
        made.__dict__["_arguments_given"] = (args, kwargs)
        return made

    def _arguments(self) -> dict[str, Any]:
        """The arguments by name, with the defaults of those that were left out.

        Of convkit's own classes, an argument that is an attribute too has the attribute's present
        value: a learning rate that a callback has changed, for example.
        """
        kind: Any = type(self)
        signature = _signature(kind)
        args, kwargs = self.__dict__.get("_arguments_given", ((), {}))
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError as error:
            raise TypeError(
                f"{kind.__name__}: the arguments that it was made with are not known ({error}); "
                "define get_config"
            ) from None
        bound.apply_defaults()
        found: dict[str, Any] = {}
        for p in list(signature.parameters.values())[1:]:
            value = bound.arguments[p.name]
            if p.kind is p.VAR_KEYWORD:
                found |= value
            elif p.kind is not p.VAR_POSITIONAL:
                found[p.name] = value
            elif value:
                raise TypeError(
                    f"{kind.__name__} takes any number of arguments, so it defines get_config and "
                    "from_config itself"
                )
        if is_own(kind):
            found = {key: _present(self, key, value) for key, value in found.items()}
        return found

    def _word(self) -> str | None:
        """The name that says as much as class and arguments, if there is one."""
        return None

    def get_config(self) -> dict[str, Any]:
        """Return the arguments to make such an object from, by name, defaults included.

        Numbers, strings, lists, tuples, arrays and functions are as they are; an object with a
        configuration of its own is ``{"$class": name, "config": dict}``.
        """
        return {key: _encode(value) for key, value in self._arguments().items()}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        """Make an object from what `get_config` returned.

        Parameters
        ----------
        config : dict
        custom_objects : dict of str to class, optional
            Classes of one's own that it names.

        Raises
        ------
        ValueError
            If it names a class that is not known.
        """
        from convkit.saving.classes import Pieces

        pieces = Pieces(custom_objects)
        found = {key: _decode(value, pieces) for key, value in config.items()}
        late = {key for key in cls._settable if key in found and not accepts(cls, key)}
        made = cls(**{key: value for key, value in found.items() if key not in late})
        for key in late:
            setattr(made, key, found[key])
        return made


# For saving: a class that overrides get_config has its own say.
setattr(Configured.get_config, "_is_default", True)  # noqa: B010


def is_own(kind: type) -> bool:
    """Whether a class is convkit's own."""
    return kind.__module__.startswith("convkit.")


def accepts(kind: type, argument: str) -> bool:
    """Whether a class's constructor takes an argument of that name."""
    parameters = _signature(kind).parameters
    return argument in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


@cache
def _signature(kind: Any) -> inspect.Signature:
    return inspect.signature(kind.__init__)


def _snapshot(value: Any) -> Any:
    """A copy of what the caller may change later on."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value) in (list, tuple):
        return type(value)(_snapshot(item) for item in value)
    if type(value) is dict:
        return {key: _snapshot(item) for key, item in value.items()}
    return value


def is_plain(value: Any) -> bool:
    """Whether a value is a number, a word or None."""
    return value is None or isinstance(value, bool | int | float | str)


def _present(owner: Any, name: str, recorded: Any) -> Any:
    """An argument's value now, where an attribute of that name holds it."""
    from convkit.layers.base import Layer
    from convkit.saving.classes import name_of

    value = getattr(owner, name, recorded)
    if is_plain(value) and (value is not None or is_plain(recorded)):
        return recorded if isinstance(recorded, _CHANGEABLE) else value
    if isinstance(value, Configured) and not isinstance(value, Layer):
        private = is_own(type(value)) and name_of(type(value))[1]
        return recorded if private else value
    return value if inspect.isfunction(value) else recorded


def _encode(value: Any) -> Any:
    if isinstance(value, Configured):
        from convkit.saving.classes import name_of

        if (word := value._word()) is not None:
            return word
        name, custom = name_of(type(value))
        told = {"$class": name, "config": value.get_config()}
        return {**told, "custom": True} if custom else told
    if type(value) in (list, tuple):
        return type(value)(_encode(item) for item in value)
    if type(value) is dict:
        return {key: _encode(item) for key, item in value.items()}
    return value


def _decode(value: Any, pieces: Any) -> Any:
    if type(value) in (list, tuple):
        return type(value)(_decode(item, pieces) for item in value)
    if type(value) is not dict:
        return value
    if "$class" not in value:
        return {key: _decode(item, pieces) for key, item in value.items()}
    config = {key: _decode(item, pieces) for key, item in value["config"].items()}
    return pieces.make(value["$class"], config, custom=value.get("custom") is True)
