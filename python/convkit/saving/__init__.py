"""Files of models: written whole or not at all, read without running anything in them.

A file ``x.convkit`` is one uncompressed zip with ``config.json`` (layers, graph, and what compile
chose), ``weights.safetensors`` and, with the optimizer's state, ``optimizer.safetensors``. Loading
knows a closed table of classes: those of convkit, and what is passed in as ``custom_objects``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convkit.saving.loading import load_model
    from convkit.saving.model import save_model
    from convkit.saving.weights import load_weights, save_weights

__all__ = ["load_model", "load_weights", "save_model", "save_weights"]

# Loaded at first use: layers import `convkit.saving.config`.
_PLACES = {
    "load_model": "loading",
    "load_weights": "weights",
    "save_model": "model",
    "save_weights": "weights",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'convkit.saving' has no attribute {name!r}")
    return getattr(importlib.import_module(f"convkit.saving.{_PLACES[name]}"), name)
