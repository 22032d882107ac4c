"""The steps of update as functions of arrays. Formulas in csrc/ops/update/update.h."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_operand, same_dtype
from convkit.ops.one_step import take_step
from convkit.ops.registry import Array
from convkit.ops.update import update_params

__all__ = [
    "adadelta",
    "adagrad",
    "clip_by_global_norm",
    "lion",
    "rmsprop",
    "sgd",
]

# Of Adagrad's sum of squares, Keras's initial_accumulator_value.
ACCUMULATOR = 0.1


def sgd(
    g: ArrayLike,
    w: ArrayLike,
    velocity: ArrayLike | None = None,
    *,
    learning_rate: float,
    momentum: float = 0.0,
    nesterov: bool = False,
    weight_decay: float = 0.0,
    decoupled: bool = True,
    maximize: bool = False,
    clip_value: float = float("inf"),
    kernel: str | None = None,
) -> tuple[Array, Array | None]:
    """One step of stochastic gradient descent, in Keras's form.

    Without momentum ``w -= learning_rate * g``; with it ``v = momentum * v - learning_rate * g``
    and ``w += v``.

    Parameters
    ----------
    g : array_like of float32 or float64
        Gradient.
    w : array_like of g's shape
        Weights; they stay as they are.
    velocity : array_like of g's shape, optional
        With momentum; zeros by default.
    learning_rate, momentum : float
    nesterov : bool
        Look ahead: ``w += momentum * v - learning_rate * g``.
    weight_decay : float
        Share of the weights taken off: with ``decoupled``, times the learning rate, beside the
        step (Loshchilov and Hutter 2019), else through the gradient (L2 regularisation).
    decoupled : bool
    maximize : bool
        Climb: the gradient's sign is changed first.
    clip_value : float
        The gradient is clipped to -clip_value .. clip_value, before the decay.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("update", "sgd")``; by default one is chosen.

    Returns
    -------
    w : ndarray
        The new weights.
    velocity : ndarray or None
        The new velocity, None without momentum.

    Raises
    ------
    TypeError
        If a dtype is neither float32 nor float64, or the dtypes differ.
    ValueError
        If the shapes differ or a number is out of its range.
    """
    result = take_step(
        "sgd", g, w, {"v": velocity}, () if momentum else ("v",), 0.0, learning_rate, 0, kernel,
        momentum=momentum, nesterov=nesterov, weight_decay=weight_decay, decoupled=decoupled,
        maximize=maximize, clip_value=clip_value,
    )  # fmt: skip
    return result[0], result[1] if momentum else None


def adagrad(
    g: ArrayLike,
    w: ArrayLike,
    accumulator: ArrayLike | None = None,
    *,
    learning_rate: float = 1e-3,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
    decoupled: bool = True,
    maximize: bool = False,
    clip_value: float = float("inf"),
    kernel: str | None = None,
) -> tuple[Array, ...]:
    """One step of Adagrad (Duchi, Hazan and Singer 2011).

    Parameters
    ----------
    g, w : array_like of float32 or float64
        Gradient and weights; they stay as they are.
    accumulator : array_like of g's shape, optional
        Sum of squares; 0.1 by default, as in Keras.
    learning_rate, epsilon : float
        epsilon is inside the root.
    weight_decay, decoupled, maximize, clip_value, kernel
        As `sgd`.

    Returns
    -------
    w, accumulator : ndarray
        The new weights and sum.

    Raises
    ------
    TypeError, ValueError
        As `sgd`.
    """
    return take_step(
        "adagrad", g, w, {"a": accumulator}, (), ACCUMULATOR, learning_rate, 0, kernel,
        epsilon=epsilon, weight_decay=weight_decay, decoupled=decoupled,
        maximize=maximize, clip_value=clip_value,
    )  # fmt: skip


def adadelta(
    g: ArrayLike,
    w: ArrayLike,
    a: ArrayLike | None = None,
    d: ArrayLike | None = None,
    *,
    learning_rate: float = 1e-3,
    rho: float = 0.95,
    epsilon: float = 1e-7,
    weight_decay: float = 0.0,
    decoupled: bool = True,
    maximize: bool = False,
    clip_value: float = float("inf"),
    kernel: str | None = None,
) -> tuple[Array, ...]:
    """One step of Adadelta (Zeiler 2012, algorithm 1), times the learning rate.

    Parameters
    ----------
    g, w : array_like of float32 or float64
        Gradient and weights; they stay as they are.
    a, d : array_like of g's shape, optional
        Averages of the squares of gradients and of steps; zeros by default.
    learning_rate, rho, epsilon : float
    weight_decay, decoupled, maximize, clip_value, kernel
        As `sgd`.

    Returns
    -------
    w, a, d : ndarray
        The new weights and averages.

    Raises
    ------
    TypeError, ValueError
        As `sgd`.
    """
    return take_step(
        "adadelta", g, w, {"a": a, "d": d}, (), 0.0, learning_rate, 0, kernel,
        rho=rho, epsilon=epsilon, weight_decay=weight_decay, decoupled=decoupled,
        maximize=maximize, clip_value=clip_value,
    )  # fmt: skip


def rmsprop(
    g: ArrayLike,
    w: ArrayLike,
    a: ArrayLike | None = None,
    mean: ArrayLike | None = None,
    velocity: ArrayLike | None = None,
    *,
    learning_rate: float = 1e-3,
    rho: float = 0.9,
    momentum: float = 0.0,
    epsilon: float = 1e-7,
    centered: bool = False,
    weight_decay: float = 0.0,
    decoupled: bool = True,
    maximize: bool = False,
    clip_value: float = float("inf"),
    kernel: str | None = None,
) -> tuple[Array, ...]:
    """One step of RMSprop (Hinton, Srivastava and Swersky 2012, lecture 6e).

    Parameters
    ----------
    g, w : array_like of float32 or float64
        Gradient and weights; they stay as they are.
    a, mean, velocity : array_like of g's shape, optional
        Averages of the gradients' squares and, if centered, of the gradients; velocity with
        momentum; zeros by default.
    learning_rate, rho, momentum, epsilon : float
        epsilon is inside the root.
    centered : bool
        Divide by the gradients' spread instead of their size (Graves 2013).
    weight_decay, decoupled, maximize, clip_value, kernel
        As `sgd`.

    Returns
    -------
    w, a : ndarray
        The new weights and average.
    mean : ndarray
        If centered.
    velocity : ndarray
        With momentum.

    Raises
    ------
    TypeError, ValueError
        As `sgd`.
    """
    absent = (() if centered else ("mean",)) + (() if momentum else ("v",))
    return take_step(
        "rmsprop", g, w, {"a": a, "mean": mean, "v": velocity}, absent, 0.0, learning_rate, 0,
        kernel, rho=rho, momentum=momentum, epsilon=epsilon, weight_decay=weight_decay,
        decoupled=decoupled, maximize=maximize, clip_value=clip_value,
    )  # fmt: skip


def lion(
    g: ArrayLike,
    w: ArrayLike,
    m: ArrayLike | None = None,
    *,
    learning_rate: float = 1e-3,
    beta1: float = 0.9,
    beta2: float = 0.99,
    weight_decay: float = 0.0,
    decoupled: bool = True,
    maximize: bool = False,
    clip_value: float = float("inf"),
    kernel: str | None = None,
) -> tuple[Array, ...]:
    """One step of Lion (Chen et al. 2023, algorithm 2): all weights move by the learning rate.

    Parameters
    ----------
    g, w : array_like of float32 or float64
        Gradient and weights; they stay as they are.
    m : array_like of g's shape, optional
        Average of the gradients; zeros by default.
    learning_rate, beta1, beta2 : float
    weight_decay, decoupled, maximize, clip_value, kernel
        As `sgd`.

    Returns
    -------
    w, m : ndarray
        The new weights and average.

    Raises
    ------
    TypeError, ValueError
        As `sgd`.
    """
    return take_step(
        "lion", g, w, {"m": m}, (), 0.0, learning_rate, 0, kernel,
        beta1=beta1, beta2=beta2, weight_decay=weight_decay, decoupled=decoupled,
        maximize=maximize, clip_value=clip_value,
    )  # fmt: skip


def clip_by_global_norm(
    g: Sequence[ArrayLike], max_norm: float, *, kernel: str | None = None
) -> tuple[list[Array], float]:
    """Scale gradients down to a norm of `max_norm` if theirs, taken together, is larger.

    Pascanu, Mikolov and Bengio, "On the difficulty of training recurrent neural networks", 2013,
    algorithm 1.

    Parameters
    ----------
    g : sequence of array_like of float32 or float64
        Gradients; they stay as they are.
    max_norm : float
        Larger than 0.
    kernel : str, optional
        Name of a row of both passes, global_norm and clip_norm; by default one is chosen.

    Returns
    -------
    g : list of ndarray
    norm : float
        The 2-norm of all values before.

    Raises
    ------
    TypeError
        If a dtype is neither float32 nor float64, or the dtypes differ.
    ValueError
        If there is no gradient, or `max_norm` is not larger than 0.
    """
    params = update_params(max_norm=max_norm)
    arrays = [as_operand("update", f"g[{i}]", a).copy() for i, a in enumerate(g)]
    if not arrays:
        raise ValueError("[update] clip_by_global_norm needs at least one gradient, got none")
    same_dtype("update", **{f"g[{i}]": a for i, a in enumerate(arrays)})
    norm = apply("update", "global_norm", arrays, params, kernel=kernel)[0]
    for a in arrays:
        apply("update", "clip_norm", [norm, a], params, kernel=kernel)
    return arrays, float(norm[0])
