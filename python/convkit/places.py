"""Where convkit keeps files of its own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["cache_dir"]


def cache_dir() -> Path:
    """The user's cache folder for convkit on this platform; it may not exist yet.

    ``CONVKIT_CACHE``, if it is set; else ``convkit`` in what the system has for caches, such as
    ``$XDG_CACHE_HOME`` or ``~/.cache``.
    """
    if own := os.environ.get("CONVKIT_CACHE"):
        return Path(own).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "convkit"
