"""The steps of Adam and its relatives as functions of arrays. Formulas in update.h."""

from __future__ import annotations

from numpy.typing import ArrayLike

from convkit.ops.one_step import take_step
from convkit.ops.registry import Array

__all__ = ["adam", "adamax", "nadam"]


def adam(
    g: ArrayLike,
    w: ArrayLike,
    m: ArrayLike | None = None,
    v: ArrayLike | None = None,
    largest: ArrayLike | None = None,
    *,
    step: int = 0,
    learning_rate: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-7,
    amsgrad: bool = False,
    weight_decay: float = 0.0,
    decoupled: bool = True,
    maximize: bool = False,
    clip_value: float = float("inf"),
    kernel: str | None = None,
) -> tuple[Array, ...]:
    """One step of Adam (Kingma and Ba 2015); with decoupled weight decay, of AdamW.

    Parameters
    ----------
    g, w : array_like of float32 or float64
        Gradient and weights; they stay as they are.
    m, v : array_like of g's shape, optional
        First and second moment; zeros by default.
    largest : array_like of g's shape, optional
        With amsgrad, the largest v so far; zeros by default.
    step : int
        Steps done before: 0 in the first one; below 2**62.
    learning_rate, beta1, beta2, epsilon : float
    amsgrad : bool
        Divide by the largest v so far (Reddi, Kale and Kumar 2018).
    weight_decay, decoupled, maximize, clip_value, kernel
        As `sgd`.

    Returns
    -------
    w, m, v : ndarray
        The new weights and moments.
    largest : ndarray
        With amsgrad.

    Raises
    ------
    TypeError, ValueError
        As `sgd`.
    """
    return take_step(
        "adam", g, w, {"m": m, "v": v, "largest": largest}, () if amsgrad else ("largest",), 0.0,
        learning_rate, step, kernel,
        beta1=beta1, beta2=beta2, epsilon=epsilon, weight_decay=weight_decay, decoupled=decoupled,
        maximize=maximize, clip_value=clip_value,
    )  # fmt: skip


def nadam(
    g: ArrayLike,
    w: ArrayLike,
    m: ArrayLike | None = None,
    v: ArrayLike | None = None,
    *,
    step: int = 0,
    learning_rate: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
    decoupled: bool = True,
    maximize: bool = False,
    clip_value: float = float("inf"),
    kernel: str | None = None,
) -> tuple[Array, ...]:
    """One step of Nadam (Dozat 2016, algorithm 2) with Keras's schedule of the momentum.

    Parameters
    ----------
    g, w : array_like of float32 or float64
        Gradient and weights; they stay as they are.
    m, v : array_like of g's shape, optional
        First and second moment; zeros by default.
    step : int
        Steps done before: 0 in the first one; below 2**62.
    learning_rate, beta1, beta2, epsilon : float
    weight_decay, decoupled, maximize, clip_value, kernel
        As `sgd`.

    Returns
    -------
    w, m, v : ndarray
        The new weights and state.

    Raises
    ------
    TypeError, ValueError
        As `sgd`.
    """
    return take_step(
        "nadam", g, w, {"m": m, "v": v}, (), 0.0, learning_rate, step, kernel,
        beta1=beta1, beta2=beta2, epsilon=epsilon, weight_decay=weight_decay, decoupled=decoupled,
        maximize=maximize, clip_value=clip_value,
    )  # fmt: skip


def adamax(
    g: ArrayLike,
    w: ArrayLike,
    m: ArrayLike | None = None,
    u: ArrayLike | None = None,
    *,
    step: int = 0,
    learning_rate: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
    decoupled: bool = True,
    maximize: bool = False,
    clip_value: float = float("inf"),
    kernel: str | None = None,
) -> tuple[Array, ...]:
    """One step of Adamax (Kingma and Ba 2015, algorithm 2).

    Parameters
    ----------
    g, w : array_like of float32 or float64
        Gradient and weights; they stay as they are.
    m, u : array_like of g's shape, optional
        First moment and infinity norm; zeros by default.
    step : int
        Steps done before: 0 in the first one; below 2**62.
    learning_rate, beta1, beta2, epsilon : float
    weight_decay, decoupled, maximize, clip_value, kernel
        As `sgd`.

    Returns
    -------
    w, m, u : ndarray
        The new weights and state.

    Raises
    ------
    TypeError, ValueError
        As `sgd`.
    """
    return take_step(
        "adamax", g, w, {"m": m, "u": u}, (), 0.0, learning_rate, step, kernel,
        beta1=beta1, beta2=beta2, epsilon=epsilon, weight_decay=weight_decay, decoupled=decoupled,
        maximize=maximize, clip_value=clip_value,
    )  # fmt: skip
