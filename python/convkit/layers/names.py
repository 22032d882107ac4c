"""Names of layers and models: Keras's automatic ones."""

from __future__ import annotations

import re

__all__ = ["reset_names", "snake_case", "unique_name"]

_names: dict[str, int] = {}


def snake_case(name: str) -> str:
    """Keras's automatic name for a class: MaxPooling2D gives max_pooling2d."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def unique_name(prefix: str) -> str:
    """Return `prefix`, then `prefix_1`, ... for each further call with the same prefix."""
    count = _names.get(prefix, 0)
    _names[prefix] = count + 1
    return prefix if count == 0 else f"{prefix}_{count}"


def reset_names() -> None:
    """Begin the automatic names anew: the next Dense is "dense" again."""
    _names.clear()
