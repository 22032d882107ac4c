"""Configurations: the arguments that an object was made with, to make it again.

`Configured` records them for layers, initializers, losses, optimizers and the like, so that none of
these has to write ``get_config`` itself.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Self

import numpy as np

__all__ = ["Configured", "Decoder", "Encoder", "accepts", "class_name", "known_classes"]

# Modules whose public classes a configuration may name.
_MODULES = (
    "activations", "initializers", "layers", "losses", "metrics", "optimizers", "regularizers",
    "schedules",
)  # fmt: skip
_KEPT = (list, tuple, dict, np.ndarray)


class Configured:
    """Base of what knows its constructor's arguments.

    They are recorded when the object is made, before `__init__` runs, so that subclasses have to do
    nothing for it: their constructor's arguments must only be enough to make the object again.
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        made = super().__new__(cls)
        if any(isinstance(value, _KEPT) for value in (*args, *kwargs.values())):
            args = tuple(_snapshot(value) for value in args)
            kwargs = {key: _snapshot(value) for key, value in kwargs.items()}
        made.__dict__["_arguments"] = (args, kwargs)
        return made

    def _recorded(self) -> dict[str, Any]:
        """The arguments by name, defaults included, as the values that were given.

        Of the package's own classes an argument that is an attribute too has the attribute's
        present value: a learning rate that a callback has changed, for example.
        """
        kind: Any = type(self)
        signature = _signature(kind)
        args, kwargs = self.__dict__.get("_arguments", ((), {}))
        try:
            bound = signature.bind(self, *args, **kwargs)
        except TypeError as error:
            raise TypeError(
                f"{kind.__name__}: the arguments that it was made with are not known ({error}); "
                "define get_config"
            ) from None
        bound.apply_defaults()
        found: dict[str, Any] = {}
        for parameter in list(signature.parameters.values())[1:]:
            value = bound.arguments[parameter.name]
            if parameter.kind is parameter.VAR_KEYWORD:
                found.update(value)
            elif parameter.kind is parameter.VAR_POSITIONAL:
                if value:
                    raise TypeError(f"{kind.__name__} takes *{parameter.name}: define get_config")
            else:
                found[parameter.name] = value
        if own(kind):
            found = {key: _present(self, key, value) for key, value in found.items()}
        return found

    def get_config(self) -> dict[str, Any]:
        """Return the arguments to make such an object from.

        Returns
        -------
        dict of str to value
            Numbers, strings, lists, tuples, arrays and functions as they are; objects with a
            configuration of their own as ``{"class": name, "config": dict}``.
        """
        return {key: Encoder().value(value, key) for key, value in self._recorded().items()}

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> Self:
        """Make an object from what `get_config` returned.

        Parameters
        ----------
        config : dict
        custom_objects : dict of str to class, optional
            Classes of one's own that are named in it.
        """
        decoder = Decoder(custom_objects)
        return cls(**{key: decoder.value(value) for key, value in config.items()})


def own(kind: type) -> bool:
    """Whether a class is the package's own."""
    return kind.__module__.startswith("convkit.")


@cache
def _signature(kind: Any) -> inspect.Signature:
    return inspect.signature(kind.__init__)


def accepts(kind: type, argument: str) -> bool:
    """Whether a class's constructor takes an argument of that name."""
    parameters = _signature(kind).parameters
    return argument in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def _snapshot(value: Any) -> Any:
    """A copy of lists and arrays, which the caller may change later on."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if type(value) in (list, tuple):
        return type(value)(_snapshot(item) for item in value)
    if type(value) is dict:
        return {key: _snapshot(item) for key, item in value.items()}
    return value


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _present(owner: Any, name: str, recorded: Any) -> Any:
    """An argument's value now, where an attribute of that name holds it."""
    from convkit.layers.base import Layer

    value = getattr(owner, name, recorded)
    if _plain(value) and (value is not None or _plain(recorded)):
        return recorded if isinstance(recorded, _KEPT) else value
    if isinstance(value, Configured) and not isinstance(value, Layer):
        return value if type(value) in _names() or not own(type(value)) else recorded
    return value if inspect.isfunction(value) else recorded


# Classes by name.


@cache
def known_classes() -> dict[str, type[Configured]]:
    """The classes that a configuration may name: "layers.Dense", ...

    Only the public names of the package's own modules, and what these make by themselves.
    """
    import convkit
    from convkit.layers.sequences import AttachMask
    from convkit.metrics.from_loss import LossAsMetric

    found: dict[str, type[Configured]] = {
        "layers.AttachMask": AttachMask,
        "metrics.LossAsMetric": LossAsMetric,
    }
    for place in _MODULES:
        module = getattr(convkit, place)
        for name in module.__all__:
            kind = getattr(module, name)
            if isinstance(kind, type) and issubclass(kind, Configured):
                found[f"{place}.{kind.__name__}"] = kind
    return found


@cache
def _names() -> dict[type, str]:
    return {kind: name for name, kind in known_classes().items()}


def class_name(kind: type) -> tuple[str, str]:
    """How a configuration names a class.

    Returns
    -------
    key, name : str
        "class" and the name of one of `known_classes`, or "custom" and the class's own name.
    """
    if kind in _names():
        return "class", _names()[kind]
    return "custom", kind.__name__


class Encoder:
    """Turns arguments into a configuration; see `Configured.get_config`."""

    def value(self, value: Any, title: str) -> Any:
        """The configuration of a value; `title` says in messages where it is.

        Raises
        ------
        TypeError
            If it has none.
        """
        if isinstance(value, np.bool_ | np.integer | np.floating):
            return value.item()
        if _plain(value):
            return value
        if isinstance(value, Configured):
            return self.object(value, title)
        if isinstance(value, np.ndarray):
            return self.array(value, title)
        if isinstance(value, list | tuple | range):
            return self.sequence(value, title)
        if isinstance(value, Mapping):
            return self.mapping(value, title)
        if isinstance(value, np.dtype) or (
            isinstance(value, type) and issubclass(value, np.generic)
        ):
            return np.dtype(value).name
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if callable(value):
            return self.function(value, title)
        raise TypeError(f"{title}: {value!r} cannot be part of a configuration")

    def object(self, value: Configured, title: str) -> Any:
        from convkit import activations

        known = activations.ActivationFunction
        if type(value) is known and activations._KNOWN.get(value.kind) == value:
            return value.kind
        key, name = class_name(type(value))
        return {key: name, "config": self.config(value, f"{title}: {name}")}

    def config(self, value: Configured, title: str) -> dict[str, Any]:
        """The arguments of an object, encoded."""
        default = getattr(type(value).get_config, "_default", False)
        items = value._recorded() if default else value.get_config()
        return {key: self.value(item, f"{title}, {key}") for key, item in items.items()}

    def sequence(self, value: Any, title: str) -> Any:
        items = [self.value(item, f"{title}[{i}]") for i, item in enumerate(value)]
        return tuple(items) if isinstance(value, tuple) else items

    def mapping(self, value: Mapping[Any, Any], title: str) -> Any:
        return {key: self.value(item, f"{title}, {key}") for key, item in value.items()}

    def array(self, value: Any, title: str) -> Any:
        return value

    def function(self, value: Callable[..., Any], title: str) -> Any:
        return value


# A class that overrides get_config has its own say.
Configured.get_config._default = True  # type: ignore[attr-defined]


class Decoder:
    """Turns a configuration back into arguments.

    Parameters
    ----------
    custom_objects : dict of str to object, optional
        Classes and functions that are not the package's own, by name.
    """

    def __init__(self, custom_objects: Mapping[str, Any] | None = None) -> None:
        if custom_objects is not None and not isinstance(custom_objects, Mapping):
            raise TypeError(
                'custom_objects must be a dict, such as {"MyLayer": MyLayer}, not '
                f"{type(custom_objects).__name__}"
            )
        self.custom = dict(custom_objects or {})

    def value(self, value: Any) -> Any:
        """The value of a configuration.

        Raises
        ------
        ValueError
            If it names a class that is not known.
        """
        if isinstance(value, list | tuple):
            return type(value)(self.value(item) for item in value)
        if not isinstance(value, dict):
            return value
        if "config" in value and len(value) == 2 and ("class" in value or "custom" in value):
            return self.object(value)
        return {key: self.value(item) for key, item in value.items()}

    def object(self, item: dict[str, Any]) -> Any:
        """Make the object of ``{"class": name, "config": dict}``."""
        if set(item) not in ({"class", "config"}, {"custom", "config"}):
            raise ValueError(f"an object has a class and a config, not {', '.join(map(str, item))}")
        kind = self.kind(item)
        config = item["config"]
        if not isinstance(config, dict) or not all(isinstance(key, str) for key in config):
            raise ValueError(f"the config of {kind.__name__} must map names to values")
        config = {key: self.value(value) for key, value in config.items()}
        return kind.from_config(config)

    def kind(self, item: dict[str, Any]) -> type[Configured]:
        """The class that is named; nothing is imported for it."""
        if "class" in item:
            name = item["class"]
            if not isinstance(name, str) or name not in known_classes():
                raise ValueError(f"convkit has no class {name!r}")
            return known_classes()[name]
        name = item["custom"]
        kind = self.piece(name, "class")
        if not isinstance(kind, type) or not issubclass(kind, Configured):
            raise ValueError(
                f"custom_objects[{name!r}] must be a class with a configuration, such as a "
                f"subclass of a layer, not {kind!r}"
            )
        return kind

    def piece(self, name: Any, what: str) -> Any:
        """Something of one's own, which the caller has to bring along."""
        if not isinstance(name, str) or name not in self.custom:
            raise ValueError(
                f"{what} {name!r} is not convkit's own: pass it, "
                f"custom_objects={{{name!r}: ...}}"
                + (f" (there are {', '.join(self.custom)})" if self.custom else "")
            )
        return self.custom[name]


# Configurations in files: JSON, with what JSON does not have apart.


class FileEncoder(Encoder):
    """Encodes for JSON.

    Tuples become lists, lists ``{"list": [...]}``, dicts ``{"dict": {...}}``, arrays
    ``{"array": name}``, functions ``{"function": name}`` and layers ``{"layer": number}``.

    Attributes
    ----------
    arrays : dict of str to ndarray
        Those met so far.
    layers : list of dict
        What was noted of each layer, those inside of others first.
    """

    def __init__(self) -> None:
        self.arrays: dict[str, Any] = {}
        self.layers: list[dict[str, Any]] = []
        self._numbers: dict[int, int] = {}

    def sequence(self, value: Any, title: str) -> Any:
        items = [self.value(item, f"{title}[{i}]") for i, item in enumerate(value)]
        return items if isinstance(value, tuple) else {"list": items}

    def mapping(self, value: Mapping[Any, Any], title: str) -> Any:
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{title}: keys must be strings, got {key!r}")
        return {"dict": super().mapping(value, title)}

    def array(self, value: Any, title: str) -> Any:
        if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
            raise TypeError(f"{title}: an array of {value.dtype} cannot be saved")
        name = str(len(self.arrays))
        self.arrays[name] = value
        return {"array": name}

    def function(self, value: Callable[..., Any], title: str) -> Any:
        name = getattr(value, "__name__", "")
        if not name or not name.isidentifier():
            raise ValueError(
                f"{title}: a function without a name cannot be saved, as what loads the file has "
                "to bring it along by name; define it with def, or set its __name__"
            )
        return {"function": name}

    def object(self, value: Configured, title: str) -> Any:
        from convkit.layers.base import Layer

        if isinstance(value, Layer):
            return {"layer": self.layer(value)}
        self._require_public(type(value), title)
        return super().object(value, title)

    def _require_public(self, kind: type, title: str) -> None:
        if own(kind) and kind not in _names():
            raise TypeError(f"{title}: {kind.__name__} is not a public class and cannot be saved")

    def layer(self, layer: Any) -> int:
        """The number of a layer in `layers`, which it gets the first time."""
        if id(layer) not in self._numbers:
            self._require_public(type(layer), layer.title)
            key, name = class_name(type(layer))
            noted = {key: name, "config": self.config(layer, layer.title)}
            inside = [part.trainable for part in layer.inside]
            if any(value != layer.trainable for value in inside):
                noted["trainable"] = inside  # of the layers in it, one by one
            self._numbers[id(layer)] = len(self.layers)
            self.layers.append(noted)
        return self._numbers[id(layer)]


class FileDecoder(Decoder):
    """Decodes what a `FileEncoder` has encoded.

    Parameters
    ----------
    arrays : dict of str to ndarray
    custom_objects : dict of str to object, optional

    Attributes
    ----------
    layers : list of Layer
        Those made so far.
    """

    def __init__(
        self, arrays: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(custom_objects)
        self.arrays = arrays
        self.layers: list[Any] = []

    def add_layer(self, item: dict[str, Any]) -> None:
        """Make the next one of the layers."""
        from convkit.layers.base import Layer

        inside = item.get("trainable", [])
        layer = self.object({key: value for key, value in item.items() if key != "trainable"})
        if not isinstance(layer, Layer):
            raise ValueError(f"{type(layer).__name__} is not a layer")
        if not isinstance(inside, list) or len(inside) not in (0, len(layer.inside)):
            raise ValueError("trainable must be a list, with a value for each of the layers in it")
        for part, value in zip(layer.inside, inside):
            part.trainable = value is True
        self.layers.append(layer)

    def value(self, value: Any) -> Any:
        if isinstance(value, list):
            return tuple(self.value(item) for item in value)
        if not isinstance(value, dict):
            return value
        if "config" in value:
            return self.object(value)
        if len(value) == 1:
            ((kind, item),) = value.items()
            if kind == "list" and isinstance(item, list):
                return [self.value(each) for each in item]
            if kind == "dict" and isinstance(item, dict):
                return {key: self.value(each) for key, each in item.items()}
            if kind == "array" and isinstance(item, str) and item in self.arrays:
                return self.arrays[item]
            if kind == "function":
                return self.piece(item, "function")
            if kind == "layer" and type(item) is int and 0 <= item < len(self.layers):
                return self.layers[item]
        raise ValueError(f"a configuration has {str(value)[:80]}, which means nothing")
