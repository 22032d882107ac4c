"""Checks of the files that verbs write, before the work that goes into them."""

from __future__ import annotations

from convkit.saving.files import writable_place

__all__ = ["check_target"]


def check_target(argument: str, path: str | None) -> None:
    """Refuse a path that no file can be written to.

    Raises
    ------
    ValueError
    """
    if path is None:
        return
    try:
        writable_place(path)
    except OSError as error:
        raise ValueError(f"{argument}: {error}") from None
