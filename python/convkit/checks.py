"""Checks of the numbers that constructors are given, so that all refuse them in the same words."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["as_number", "number", "whole"]


def as_number(owner: str, name: str, value: Any) -> float:
    """A number of any kind as a float.

    Raises
    ------
    TypeError
        If it is none; strings and booleans are none.
    """
    try:
        if isinstance(value, bool | str):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{owner}: {name} must be a number, not {value!r}") from None


def number(
    owner: str,
    name: str,
    value: Any,
    *,
    least: float = 0.0,
    above: float | None = None,
    most: float = math.inf,
    below: float | None = None,
) -> float:
    """A finite number, not negative unless told otherwise, as a float.

    Parameters
    ----------
    owner, name : str
        Whose argument it is and what it is called, for the message.
    value : object
    least, most : float
        Bounds that belong to the range.
    above, below : float, optional
        Bounds that do not, in place of these.

    Raises
    ------
    TypeError
        If it is no number.
    ValueError
        If it is not finite, or out of its range.
    """
    found = as_number(owner, name, value)
    enough = found >= least if above is None else found > above
    little = found <= most if below is None else found < below
    if not (enough and little and math.isfinite(found)):
        wanted = f"a number of at least {least:g}" if above is None else f"a number above {above:g}"
        if above is None and least == -math.inf:
            wanted = "a finite number"
        if below is not None:
            wanted += f" and below {below:g}"
        elif most < math.inf:
            wanted += f" and at most {most:g}"
        raise ValueError(f"{owner}: {name} is {value}, expected {wanted}")
    return found


def whole(owner: str, name: str, value: Any, least: int = 0) -> int:
    """A whole number of at least `least`.

    Raises
    ------
    TypeError, ValueError
    """
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise TypeError(f"{owner}: {name} must be a whole number, not {value!r}")
    if value < least:
        raise ValueError(f"{owner}: {name} is {value}, expected at least {least}")
    return int(value)
