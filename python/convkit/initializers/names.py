"""Initializers by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from convkit.errors import did_you_mean
from convkit.initializers.base import Array, Initializer
from convkit.initializers.fixed import Constant, Identity, Ones, Zeros
from convkit.initializers.random import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    UniformFanIn,
    VarianceScaling,
)


class _Function(Initializer):
    """A user's own ``function(shape, rng)``, or Keras's ``function(shape, dtype=None)``."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        values = np.asarray(self._called(shape, rng), np.float32)
        if values.shape != shape:
            raise ValueError(f"the initializer returned shape {values.shape}, expected {shape}")
        return values

    def _called(self, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
        try:
            parameters = list(inspect.signature(self.function).parameters.values())
        except ValueError:  # some builtins do not tell
            return self.function(shape)
        positional = [p for p in parameters if p.kind <= p.VAR_POSITIONAL]
        variable = any(p.kind == p.VAR_POSITIONAL for p in positional)
        generator = variable or (len(positional) > 1 and positional[1].name != "dtype")
        dtype = any(p.name == "dtype" for p in parameters)
        arguments = (shape, rng) if generator else (shape,)
        return self.function(*arguments, **({"dtype": "float32"} if dtype else {}))


_KNOWN: dict[str, type[Initializer]] = {
    "zeros": Zeros,
    "zero": Zeros,
    "ones": Ones,
    "one": Ones,
    "identity": Identity,
    "constant": Constant,
    "random_uniform": RandomUniform,
    "uniform": RandomUniform,
    "random_normal": RandomNormal,
    "normal": RandomNormal,
    "truncated_normal": TruncatedNormal,
    "uniform_fan_in": UniformFanIn,
    "variance_scaling": VarianceScaling,
    "orthogonal": Orthogonal,
    "glorot_uniform": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "he_uniform": HeUniform,
    "he_normal": HeNormal,
    "lecun_uniform": LecunUniform,
    "lecun_normal": LecunNormal,
}


def get(identifier: Any) -> Initializer:
    """Return the initializer that a ``kernel_initializer=`` argument means.

    Parameters
    ----------
    identifier : str, Initializer, class, callable or number
        A callable is ``function(shape, rng)``, or ``function(shape, dtype=None)`` as in Keras.

    Returns
    -------
    Initializer

    Raises
    ------
    ValueError
        If there is no initializer of that name.
    TypeError
        If it is none of these.
    """
    if isinstance(identifier, Initializer):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Initializer):
        return identifier()
    if isinstance(identifier, str):
        by_class = {c.__name__.lower(): c for c in _KNOWN.values()}
        found = _KNOWN.get(identifier) or by_class.get(identifier.lower())
        if found is None:
            known = did_you_mean(identifier, _KNOWN)
            raise ValueError(f"unknown initializer {identifier!r}{known}")
        return found()
    if isinstance(identifier, int | float) and not isinstance(identifier, bool):
        return Constant(identifier)
    if callable(identifier):
        return _Function(identifier)
    raise TypeError(
        f"an initializer is a name, an object of convkit.initializers or a callable "
        f"(shape, rng) or (shape, dtype=None), got {identifier!r}"
    )
