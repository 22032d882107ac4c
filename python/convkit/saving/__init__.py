"""Files of models: written whole or not at all, read without running anything in them.

A file ``x.convkit`` is one uncompressed zip with ``config.json`` (layers, graph, and what compile
chose), ``weights.safetensors`` and, with the optimizer's state, ``optimizer.safetensors``. Loading
knows a closed table of classes: those of convkit, and what is passed in as ``custom_objects``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from convkit.saving.model import load_model, save_model

__all__ = ["load_model", "save_model"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # at first use: layers import `convkit.saving.config`
        from convkit.saving import model

        return getattr(model, name)
    raise AttributeError(f"module 'convkit.saving' has no attribute {name!r}")
