"""Regularizers: terms of the loss that keep weights or activations small.

The loss that training minimises is ``error + regularization``; the logs have both apart. Give a
layer ``kernel_regularizer="l2"``, ``bias_regularizer=`` or ``activity_regularizer=``, or all
kernels of a model one: ``model.compile(..., regularizer=L2(1e-4))``.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from convkit.checks import number
from convkit.errors import did_you_mean
from convkit.saving.config import Configured

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get"]


class Regularizer(Configured):
    """``l1 * sum |x| + l2 * sum x^2``: the elastic net (Zou and Hastie 2005).

    Its gradient is ``l1 * sign(x) + 2 * l2 * x``, with sign(0) = 0. The penalty of activations is
    divided by the number of samples in the batch, as in Keras.

    Attributes
    ----------
    l1, l2 : float
    """

    def __init__(self, l1: float = 0.0, l2: float = 0.0) -> None:
        self.l1 = number(type(self).__name__, "l1", l1)
        self.l2 = number(type(self).__name__, "l2", l2)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__call__ is not Regularizer.__call__:
            raise TypeError(
                f"regularizer {cls.__name__} defines __call__, which training does not call: it "
                "adds l1 * sum |x| + l2 * sum x^2; penalties of one's own are not supported"
            )

    def __call__(self, x: ArrayLike) -> float:
        """The penalty of an array."""
        from convkit import ops

        return ops.penalty(x, self.l1, self.l2)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Regularizer):
            return NotImplemented
        return (self.l1, self.l2) == (other.l1, other.l2)

    def __hash__(self) -> int:
        return hash((self.l1, self.l2))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(l1={self.l1:g}, l2={self.l2:g})"


class L1(Regularizer):
    """``l1 * sum |x|``, which makes weights exactly 0 (Tibshirani 1996).

    Parameters
    ----------
    l1 : float
    """

    def __init__(self, l1: float = 0.01) -> None:
        super().__init__(l1=l1)


class L2(Regularizer):
    """``l2 * sum x^2``, without the half that some texts have: weight decay of rate 2 * l2.

    Parameters
    ----------
    l2 : float
    """

    def __init__(self, l2: float = 0.01) -> None:
        super().__init__(l2=l2)


class L1L2(Regularizer):
    """``l1 * sum |x| + l2 * sum x^2``.

    Parameters
    ----------
    l1, l2 : float
    """


_KNOWN: dict[str, type[Regularizer]] = {
    "l1": L1, "L1": L1, "l2": L2, "L2": L2, "l1_l2": L1L2, "l1l2": L1L2, "L1L2": L1L2,
}  # fmt: skip


def get(identifier: Any) -> Regularizer | None:
    """Return the regularizer that an argument means; None stays None.

    Parameters
    ----------
    identifier : str, Regularizer, Regularizer class or None
        By name ("l1", "l2", "l1_l2") with Keras's factors: 0.01, 0.01, none.

    Raises
    ------
    ValueError
        If the name is unknown; the message suggests the nearest one.
    TypeError
        If it is none of these.
    """
    if identifier is None or isinstance(identifier, Regularizer):
        return identifier
    if isinstance(identifier, type) and issubclass(identifier, Regularizer):
        return identifier()
    if isinstance(identifier, str):
        if identifier in _KNOWN:
            return _KNOWN[identifier]()
        raise ValueError(f"unknown regularizer {identifier!r}{did_you_mean(identifier, _KNOWN)}")
    way = " (a penalty of one's own is not supported)" if callable(identifier) else ""
    raise TypeError(
        "a regularizer is a name or an object of ck.regularizers, not "
        f"{type(identifier).__name__}{way}"
    )
