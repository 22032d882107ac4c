"""Saving and loading: archives of JSON and safetensors, written whole or not at all."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convkit.saving.model import load_model, save_model
    from convkit.saving.weights import load_weights, save_weights

__all__ = ["load_model", "load_weights", "save_model", "save_weights"]

# At first use, as layers and the like import `convkit.saving.config`.
_PLACES = {
    "load_model": "model",
    "load_weights": "weights",
    "save_model": "model",
    "save_weights": "weights",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'convkit.saving' has no attribute {name!r}")
    return getattr(importlib.import_module(f"convkit.saving.{_PLACES[name]}"), name)
