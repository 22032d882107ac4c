"""The specification: the public op functions in NumPy and float64, with the same signatures.

``ck.reference.conv2d(x, w)`` is ``ck.ops.conv2d(x, w, kernel="reference")`` on float64 copies of
floating inputs.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from convkit import ops

# Operands whose integers mean integers: labels, positions, pixels, masks.
_INTEGER = frozenset({"t", "index", "argmax", "source", "order", "mask"})


def _widen(name: str, value: Any) -> Any:
    """`value` in float64 if it holds floating numbers, or numbers that stand for such."""
    if value is None or isinstance(value, np.ndarray | np.generic):
        integer = value is None or value.dtype.kind != "f"
        return value if integer else np.asarray(value, np.float64)
    array = np.asarray(value)
    wide = array.dtype.kind == "f" or (array.dtype.kind == "i" and name not in _INTEGER)
    return array.astype(np.float64) if wide else array


def _reference(function: Callable[..., Any]) -> Callable[..., Any]:
    signature = inspect.signature(function)
    kinds = {name: str(p.annotation) for name, p in signature.parameters.items()}

    @functools.wraps(function)
    def reference(*args: Any, **kwargs: Any) -> Any:
        given = signature.bind(*args, **kwargs).arguments
        for name, kind in kinds.items():
            if name not in given or "ArrayLike" not in kind:
                continue
            value: Any = given[name]
            many = kind.startswith("Sequence") and isinstance(value, Sequence)
            given[name] = [_widen(name, v) for v in value] if many else _widen(name, value)
        given["kernel"] = "reference"
        if "dtype" in kinds:
            given.setdefault("dtype", "float64")
        return function(**given)

    return reference


_functions = {
    name: _reference(function)
    for name in ops.__all__
    if "kernel" in inspect.signature(function := getattr(ops, name)).parameters
}
globals().update(_functions)
__all__ = sorted(_functions)


def __getattr__(name: str) -> Callable[..., Any]:
    raise AttributeError(f"module 'convkit.reference' has no function {name!r}")
