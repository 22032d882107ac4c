"""Checks of the files that verbs write, before the work that goes into them."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["check_target"]


def check_target(argument: str, path: str | None) -> None:
    """Refuse a path that no file can be written to.

    Raises
    ------
    ValueError
    """
    if path is None:
        return
    folder = Path(path).parent
    if not folder.is_dir():
        raise ValueError(f"{argument}: there is no folder {folder}")
    if not path or Path(path).is_dir() or path.endswith(os.sep):
        raise ValueError(f"{argument}: {path!r} is a folder; give the name of a file in it")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"{argument}: no file can be written in {folder}")
