"""Models without layers in files: the arguments that they were made with, and what fit found."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convkit.saving.classes import Pieces
from convkit.saving.config import Configured
from convkit.saving.files import write_archive
from convkit.saving.model import CONFIG, CONSTANTS, FORMAT, with_suffix
from convkit.saving.packing import pack, unpack

__all__ = ["Estimator", "estimator_from_members"]


class Estimator(Configured):
    """Base of the models without layers; `save` writes them, `convkit.load_model` reads them."""

    def save(self, filepath: str | os.PathLike[str], overwrite: bool = True) -> Path:
        """Write the model to a file, whole or not at all.

        Parameters
        ----------
        filepath : path
            ".convkit" is appended if it has no suffix.
        overwrite : bool
            Whether an old file is replaced.

        Returns
        -------
        Path
            Of the file, for `convkit.load_model`.

        Raises
        ------
        OSError
            If the file cannot be written; an old one is kept.
        """
        from convkit import __version__

        arrays: dict[str, Any] = {}
        config = {
            "format": FORMAT,
            "convkit": __version__,
            "estimator": pack(self, "model", arrays),
            "state": {name: pack(v, name, arrays) for name, v in self._state().items()},
        }
        return write_archive(with_suffix(filepath), {CONFIG: config, CONSTANTS: arrays}, overwrite)

    def _state(self) -> dict[str, Any]:
        """What was found, by the name of the attribute."""
        return {name: value for name, value in vars(self).items() if _is_found(name)}

    def _set_state(self, state: dict[str, Any]) -> None:
        """Take over what `_state` of another object of these arguments gave.

        Raises
        ------
        ValueError
            If it is none of that.
        """
        for name, value in state.items():
            if not _is_found(name):
                raise ValueError(f"{type(self).__name__} has no state {name!r}")
            setattr(self, name, value)


def _is_found(name: str) -> bool:
    """Whether an attribute is one that fit sets, by its name."""
    return name == "_vector" or (name[:1] != "_" and name[-1:] == "_" and name.isidentifier())


def estimator_from_members(
    members: Mapping[str, Mapping[str, Any]], pieces: Pieces, constants: Mapping[str, Any]
) -> Estimator:
    """The model whose members these are."""
    config = members[CONFIG]
    model = unpack(config["estimator"], pieces, constants)
    state = unpack(config.get("state"), pieces, constants)
    if not isinstance(model, Estimator) or not isinstance(state, dict):
        raise ValueError("it has no model without layers, or no state of one")
    for name, value in state.items():
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
            state[name] = np.array(value)  # labels
    model._set_state(state)
    return model
