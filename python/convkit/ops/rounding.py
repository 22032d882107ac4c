"""Running error analysis: a formula, run on numbers that know how far off they may be.

Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition 2002, section 3.3: every
operation adds the rounding of its result to what its operands' errors become. So a bound follows
from the formula itself, and the reference and its bound are written once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from convkit.ops.registry import Array

__all__ = ["Rounded"]

_COARSEST = float(np.finfo(np.float32).eps)


class Rounded(NDArrayOperatorsMixin):
    """Values with a bound of their errors, in units of the working dtype's eps.

    Arithmetic, ``np.sqrt``, ``abs``, ``np.maximum``, ``np.minimum`` and ``np.sign`` work on it; a
    number among the operands counts as rounded to the dtype. A rounding errs by half of eps, and
    each operation is given a whole one: that covers the products of errors, which are left out.

    Parameters
    ----------
    value : ndarray of float64
    error : ndarray of float64 or float
    """

    def __init__(self, value: Array, error: Array | float = 0.0) -> None:
        self.value = value
        self.error = error

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        rule = _RULES.get(ufunc)
        if rule is None or method != "__call__" or options:
            return NotImplemented
        operands = [x if isinstance(x, Rounded) else Rounded(x, np.abs(x)) for x in inputs]
        with np.errstate(all="ignore"):
            return Rounded(*rule(ufunc, *operands))


Result = tuple[Array, Array]


def _sum(ufunc: Any, a: Rounded, b: Rounded) -> Result:
    value = ufunc(a.value, b.value)
    return value, a.error + b.error + np.abs(value)


def _product(ufunc: Any, a: Rounded, b: Rounded) -> Result:
    value = a.value * b.value
    return value, np.abs(a.value) * b.error + np.abs(b.value) * a.error + np.abs(value)


def _quotient(ufunc: Any, a: Rounded, b: Rounded) -> Result:
    value = a.value / b.value
    least = np.maximum(np.abs(b.value) - _COARSEST * b.error, 0)
    moved = np.asarray(a.error + np.abs(value) * b.error)
    spread = np.divide(moved, least, out=np.full(moved.shape, np.inf), where=least > 0)
    return value, np.where(moved == 0, 0, spread) + np.abs(value)


def _root(ufunc: Any, a: Rounded) -> Result:
    # |sqrt(a + e) - sqrt(a)| <= |e| / sqrt(a)
    value, error = np.sqrt(a.value), np.asarray(a.error)
    return value, np.where(error == 0, 0, error / value) + value


def _exact(ufunc: Any, a: Rounded) -> Result:
    return ufunc(a.value), np.asarray(a.error)


def _extreme(ufunc: Any, a: Rounded, b: Rounded) -> Result:
    return ufunc(a.value, b.value), np.maximum(a.error, b.error)


def _sign(ufunc: Any, a: Rounded) -> Result:
    """Either sign is right where the error may reach over 0."""
    open_ = (np.abs(a.value) <= _COARSEST * a.error) & (np.asarray(a.error) > 0)
    return np.sign(a.value), np.where(open_, 2 / np.finfo(np.float64).eps, 0.0)


_RULES: dict[Any, Callable[..., Result]] = {
    np.add: _sum,
    np.subtract: _sum,
    np.multiply: _product,
    np.divide: _quotient,
    np.sqrt: _root,
    np.negative: _exact,
    np.absolute: _exact,
    np.maximum: _extreme,
    np.minimum: _extreme,
    np.sign: _sign,
}
