"""Configured: objects that remember how they were made, so that they can be made again."""

from __future__ import annotations

import inspect
from typing import Any, Self

__all__ = ["Configured"]


class Configured:
    """A base that remembers the arguments of the constructor.

    A subclass needs nothing more: ``get_config`` gives the arguments by name, and
    ``from_config`` makes another object of them. What may change after the construction is
    told by overriding `get_config`.
    """

    _arguments_given: tuple[tuple[Any, ...], dict[str, Any]]

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        self = super().__new__(cls)
        # Not by assignment, which subclasses guard.
        self.__dict__["_arguments_given"] = (args, kwargs)
        return self

    def get_config(self) -> dict[str, Any]:
        """The arguments that the object was made with, by name; those left out are not there."""
        args, kwargs = self._arguments_given
        signature = inspect.signature(type(self).__init__)
        given = signature.bind_partial(self, *args, **kwargs).arguments
        config: dict[str, Any] = {}
        for i, (name, p) in enumerate(signature.parameters.items()):
            if i == 0 or name not in given:
                continue
            if p.kind is p.VAR_KEYWORD:
                config |= given[name]
            elif p.kind is p.VAR_POSITIONAL:
                raise TypeError(
                    f"{type(self).__name__} takes any number of arguments, so it defines "
                    "get_config and from_config itself"
                )
            else:
                config[name] = given[name]
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """An object of the class, made with these arguments."""
        return cls(**config)
