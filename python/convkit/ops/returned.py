"""What kernels in Python are given, and what is taken from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from convkit.ops.registry import Array, Row

__all__ = ["accept", "read_only"]


def read_only(x: Array) -> Array:
    """A view that a kernel cannot write to."""
    view = x.view()
    view.flags.writeable = False
    return view


def accept(
    row: Row, names: Sequence[str], targets: Sequence[Array | None], results: Sequence[Any]
) -> None:
    """Copy what a Python kernel returned to where it belongs, if it is what the pass promises."""
    title = f"[{row.op}] {row.pass_name} kernel {row.name!r}"
    if names and names[-1].endswith("*"):
        names = [names[0] for _ in targets]
    if len(results) != len(targets):
        raise ValueError(
            f"{title} returned {len(results)} arrays, expected {len(targets)}: {', '.join(names)}"
        )
    for name, target, value in zip(names, targets, results, strict=True):
        if target is None:
            continue
        if value is None:
            raise ValueError(f"{title} returned None for {name}")
        array = np.asarray(value)
        if array.shape != target.shape:
            raise ValueError(
                f"{title} returned {name} of shape {array.shape}, expected {target.shape}"
            )
        if array.dtype.kind not in "biuf" or (array.dtype.kind == "f") != (
            target.dtype.kind == "f"
        ):
            raise TypeError(
                f"{title} returned {name} of dtype {array.dtype}, expected {target.dtype}"
            )
        target[...] = array
