"""batch_norm: mean 0, variance 1 over the batch. Contract in csrc/ops/batch_norm/batch_norm.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from convkit.ops.apply import apply, as_operand, same_dtype
from convkit.ops.registry import Array, Context, Op, Params, Pass, Spec, Tape, define

__all__ = [
    "OP",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_inference",
    "batch_norm_params",
    "batch_norm_update",
]


def _rows(x: Array) -> Array:
    return x.reshape(-1, x.shape[-1]) if x.size else np.zeros((0, x.shape[-1]))


def _statistics(x: Array) -> tuple[Array, Array]:
    """Mean and biased variance of each channel; of no rows 0."""
    rows = _rows(x)
    if not len(rows):
        return np.zeros(x.shape[-1]), np.zeros(x.shape[-1])
    mean = rows[0] + (rows - rows[0]).mean(axis=0)  # sums of small numbers, small errors
    return mean, ((rows - mean) ** 2).mean(axis=0)


def _deviation(ctx: Context, variance: Array) -> Array:
    """By what x - mean is divided."""
    return np.asarray(np.sqrt(variance + ctx["epsilon"]))


def _normalize(
    ctx: Context, x: Array, mean: Array, variance: Array, gamma: Array | None, beta: Array | None
) -> Array:
    y = (x - mean) / _deviation(ctx, variance)
    y = y if gamma is None else gamma * y
    return y if beta is None else y + beta


def _forward(
    ctx: Context, x: Array, gamma: Array | None, beta: Array | None
) -> tuple[Array, Array, Array]:
    mean, variance = _statistics(x)
    return _normalize(ctx, x, mean, variance, gamma, beta), mean, variance


def _inference(
    ctx: Context, x: Array, mean: Array, variance: Array, gamma: Array | None, beta: Array | None
) -> tuple[Array]:
    return (_normalize(ctx, x, mean, variance, gamma, beta),)


def _backward(
    ctx: Context, dy: Array, x: Array, mean: Array, variance: Array, gamma: Array | None
) -> tuple[Array, Array, Array]:
    h = (x - mean) / _deviation(ctx, variance)
    dgamma, dbeta = _rows(dy * h).sum(axis=0), _rows(dy).sum(axis=0)
    n = max(len(_rows(dy)), 1)
    dx = (dy - dbeta / n - h * dgamma / n) / _deviation(ctx, variance)
    return dx if gamma is None else gamma * dx, dgamma, dbeta


def _backward_inference(
    ctx: Context, dy: Array, x: Array, mean: Array, variance: Array, gamma: Array | None
) -> tuple[Array, Array, Array]:
    _, dgamma, dbeta = _backward(ctx, dy, x, mean, variance, gamma)
    dx = dy / _deviation(ctx, variance)
    return dx if gamma is None else gamma * dx, dgamma, dbeta


def _update_moving(
    ctx: Context, mean: Array, variance: Array, moving_mean: Array, moving_variance: Array
) -> tuple[Array, Array]:
    keep = ctx["momentum"]
    return (
        keep * moving_mean + (1 - keep) * mean,
        keep * moving_variance + (1 - keep) * variance,
    )


# Sums are over differences from a value near the mean (`_near` bounds by how much it may be off):
# the errors of mean and variance grow with the number n of rows and the spread of x, not with its
# mean; only the result's own rounding does. A variance of n rows has n + 5 roundings, as many from
# the means of its parts, and what the square of `_near` leaves. sqrt halves a relative error.
def _near(ctx: Context, x: Array, spread: Array) -> Array:
    assert ctx.out[1] is not None
    n, mean = len(_rows(x)), _statistics(x)[0]
    near: Array = np.finfo(ctx.out[1].dtype).eps * (np.abs(mean) + 2 * n * spread)
    return near


def _forward_bound(
    ctx: Context, x: Array, gamma: Array | None, beta: Array | None
) -> tuple[Any, Any, Any]:
    n, (mean, variance) = len(_rows(x)), _statistics(x)
    spread = _statistics(np.abs(x - mean))[0]
    of_mean = np.abs(mean) + 2 * (n + 3) * spread
    of_variance = (3 * n + 8) * variance + 3 * n * _near(ctx, x, spread) ** 2
    scale = (1 if gamma is None else np.abs(gamma)) / _deviation(ctx, variance)
    relative = of_variance / (2 * _deviation(ctx, variance) ** 2) + 8
    of_y = scale * (of_mean + np.abs(x - mean) * relative)
    return of_y + (0 if beta is None else 2 * np.abs(beta)), of_mean, of_variance


def _inference_bound(
    ctx: Context, x: Array, mean: Array, variance: Array, gamma: Array | None, beta: Array | None
) -> tuple[Any]:
    scale = (1 if gamma is None else np.abs(gamma)) / _deviation(ctx, variance)
    return (8 * scale * np.abs(x - mean) + (0 if beta is None else 2 * np.abs(beta)),)


def _backward_bound(
    ctx: Context, dy: Array, x: Array, mean: Array, variance: Array, gamma: Array | None
) -> tuple[Any, Any, Any]:
    n, h = len(_rows(dy)), np.abs(x - mean) / _deviation(ctx, variance)
    of_gamma = (n + 8) * _rows(np.abs(dy) * h).sum(axis=0)
    of_beta = (n + 1) * _rows(np.abs(dy)).sum(axis=0)
    scale = (1 if gamma is None else np.abs(gamma)) / _deviation(ctx, variance)
    per_row = max(n, 1)
    of_sums = (1 + 4 / per_row) * (of_beta + 2 * h * of_gamma) / per_row
    return scale * (8 * np.abs(dy) + of_sums), of_gamma, of_beta


def _backward_inference_bound(
    ctx: Context, dy: Array, x: Array, mean: Array, variance: Array, gamma: Array | None
) -> tuple[Any, Any, Any]:
    _, of_gamma, of_beta = _backward_bound(ctx, dy, x, mean, variance, gamma)
    scale = (1 if gamma is None else np.abs(gamma)) / _deviation(ctx, variance)
    return 8 * scale * np.abs(dy), of_gamma, of_beta


def _update_moving_bound(
    ctx: Context, mean: Array, variance: Array, moving_mean: Array, moving_variance: Array
) -> tuple[Any, Any]:
    sizes = [np.abs(a) for a in (mean, variance, moving_mean, moving_variance)]
    of_mean, of_variance = _update_moving(ctx, *sizes)
    return 4 * of_mean, 4 * of_variance


def _check_channels(x: Spec, **vectors: Spec | None) -> None:
    if not x.shape:
        raise ValueError("[batch_norm] x must have at least one axis, (..., C), got a number")
    for name, spec in vectors.items():
        if spec is not None and spec.shape != x.shape[-1:]:
            raise ValueError(
                f"[batch_norm] {name} has shape {spec.shape}, expected {x.shape[-1:]}: one value "
                f"for each channel of x, which is {x.shape}"
            )


def _infer_forward(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x, gamma, beta = specs
    assert x is not None
    _check_channels(x, gamma=gamma, beta=beta)
    of_channels = Spec(x.shape[-1:], x.dtype)
    return [x, of_channels, of_channels]


def _infer_inference(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    x, mean, variance, gamma, beta = specs
    assert x is not None
    _check_channels(x, mean=mean, variance=variance, gamma=gamma, beta=beta)
    return [x]


def _infer_backward(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    dy, x, mean, variance, gamma = specs
    assert dy is not None and x is not None
    if dy.shape != x.shape:
        raise ValueError(f"[batch_norm] dy has shape {dy.shape}, expected {x.shape} as x")
    _check_channels(x, mean=mean, variance=variance, gamma=gamma)
    of_channels = Spec(x.shape[-1:], x.dtype)
    return [x, of_channels, of_channels]


def _infer_update(params: Params, specs: Sequence[Spec | None]) -> list[Spec | None]:
    names = ("mean", "variance", "moving_mean", "moving_variance")
    if any(spec is None or len(spec.shape) != 1 or spec != specs[0] for spec in specs):
        each = ", ".join(
            f"{n} {'absent' if s is None else s.shape}" for n, s in zip(names, specs, strict=True)
        )
        raise ValueError(f"[batch_norm] expected four vectors of one length, got {each}")
    return []


def _gradient(tape: Tape, instruction: Any, gradients: Sequence[Any]) -> list[Any]:
    dy = gradients[0]
    if instruction.pass_name == "forward":
        x, gamma, beta = instruction.inputs
        _, mean, variance = instruction.outputs
        at, which = (0, 1, 2), "backward"
    else:
        x, mean, variance, gamma, beta = instruction.inputs
        at, which = (0, 3, 4), "backward_inference"
    out = [
        v.spec if v is not None and tape.needs(i) else None
        for i, v in zip(at, (x, gamma, beta), strict=True)
    ]
    found = tape.emit(
        "batch_norm", which, [dy, x, mean, variance, gamma],
        params=instruction.params, out=out, for_inputs=at,
    )  # fmt: skip
    given: list[Any] = [None] * len(instruction.inputs)
    for i, gradient in zip(at, found, strict=True):
        given[i] = gradient
    return given


# fmt: off
_STATISTICS = ("mean", "variance")
OP = define(
    Op(
        "batch_norm",
        (
            Pass("forward", ("x", "gamma?", "beta?"), ("y", *_STATISTICS), _forward,
                 _forward_bound, infer=_infer_forward),
            Pass("inference", ("x", *_STATISTICS, "gamma?", "beta?"), ("y",), _inference,
                 _inference_bound, infer=_infer_inference, inplace=(("y", "x"),)),
            Pass("backward", ("dy", "x", *_STATISTICS, "gamma?"), ("dx?", "dgamma?", "dbeta?"),
                 _backward, _backward_bound, infer=_infer_backward, inplace=(("dx", "dy"),)),
            Pass("backward_inference", ("dy", "x", *_STATISTICS, "gamma?"),
                 ("dx?", "dgamma?", "dbeta?"), _backward_inference, _backward_inference_bound,
                 infer=_infer_backward, inplace=(("dx", "dy"),)),
            Pass("update_moving", _STATISTICS, (), _update_moving, _update_moving_bound,
                 updates=("moving_mean", "moving_variance"), infer=_infer_update),
        ),
        _gradient,
    )
)
# fmt: on


def batch_norm_params(*, epsilon: float = 1e-3, momentum: float = 0.99) -> dict[str, Any]:
    """Parameters of the op, checked.

    Raises
    ------
    ValueError
        If epsilon is not positive or the momentum is not in [0, 1].
    """
    if not 0 < epsilon < float("inf"):
        raise ValueError(f"[batch_norm] epsilon is {epsilon}, expected a positive number")
    if not 0 <= momentum <= 1:
        raise ValueError(f"[batch_norm] momentum is {momentum}, expected 0 <= momentum <= 1")
    return {"epsilon": float(epsilon), "momentum": float(momentum)}


def _operands(**arrays: ArrayLike | None) -> list[Array | None]:
    found = {n: None if a is None else as_operand("batch_norm", n, a) for n, a in arrays.items()}
    same_dtype("batch_norm", **found)
    return list(found.values())


def batch_norm(
    x: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
    kernel: str | None = None,
) -> tuple[Array, Array, Array]:
    """Normalise every channel over the batch.

    ``y = gamma (x - mean) / sqrt(variance + epsilon) + beta``, Algorithm 1 of Ioffe and Szegedy,
    "Batch Normalization: Accelerating Deep Network Training by Reducing Internal Covariate Shift",
    2015.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (..., C)
    gamma, beta : array_like, shape (C,), optional
        By default 1 and 0.
    epsilon : float
        Positive.
    kernel : str, optional
        Name of a row of ``ck.ops.kernels("batch_norm", "forward")``; by default the first that
        fits.

    Returns
    -------
    y : ndarray, shape (..., C)
    mean, variance : ndarray, shape (C,)
        Over all axes but the last; the variance is the biased one, divided by the number of rows.

    Raises
    ------
    TypeError
        If a dtype is neither float32 nor float64, or the dtypes differ.
    ValueError
        If the shapes do not fit together or epsilon is not positive.
    """
    operands = _operands(x=x, gamma=gamma, beta=beta)
    params = batch_norm_params(epsilon=epsilon)
    y, mean, variance = apply("batch_norm", "forward", operands, params, kernel=kernel)
    return y, mean, variance


def batch_norm_inference(
    x: ArrayLike,
    mean: ArrayLike,
    variance: ArrayLike,
    gamma: ArrayLike | None = None,
    beta: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
    kernel: str | None = None,
) -> Array:
    """Normalise every channel by a mean and a variance that are given.

    Parameters
    ----------
    x : array_like of float32 or float64, shape (..., C)
    mean, variance : array_like, shape (C,)
    gamma, beta, epsilon, kernel
        As in `batch_norm`.

    Returns
    -------
    ndarray, shape (..., C)

    Raises
    ------
    TypeError, ValueError
        As `batch_norm`.
    """
    operands = _operands(x=x, mean=mean, variance=variance, gamma=gamma, beta=beta)
    params = batch_norm_params(epsilon=epsilon)
    y: Array = apply("batch_norm", "inference", operands, params, kernel=kernel)[0]
    return y


def batch_norm_backward(
    dy: ArrayLike,
    x: ArrayLike,
    mean: ArrayLike,
    variance: ArrayLike,
    gamma: ArrayLike | None = None,
    *,
    epsilon: float = 1e-3,
    training: bool = True,
    kernel: str | None = None,
) -> tuple[Array, Array, Array]:
    """Gradients of `batch_norm` or, with ``training=False``, of `batch_norm_inference`.

    Parameters
    ----------
    dy, x : array_like of float32 or float64, shape (..., C)
    mean, variance : array_like, shape (C,)
        From `batch_norm`, or given to `batch_norm_inference`.
    gamma, epsilon, kernel
        As in `batch_norm`.
    training : bool
        Whether mean and variance are those of x, and so depend on it.

    Returns
    -------
    dx : ndarray, shape (..., C)
    dgamma, dbeta : ndarray, shape (C,)

    Raises
    ------
    TypeError, ValueError
        As `batch_norm`.
    """
    operands = _operands(dy=dy, x=x, mean=mean, variance=variance, gamma=gamma)
    params = batch_norm_params(epsilon=epsilon)
    which = "backward" if training else "backward_inference"
    dx, dgamma, dbeta = apply("batch_norm", which, operands, params, kernel=kernel)
    return dx, dgamma, dbeta


def batch_norm_update(
    mean: ArrayLike,
    variance: ArrayLike,
    moving_mean: ArrayLike,
    moving_variance: ArrayLike,
    *,
    momentum: float = 0.99,
    kernel: str | None = None,
) -> tuple[Array, Array]:
    """Moving statistics after one more batch: ``momentum * moving + (1 - momentum) * batch``.

    Parameters
    ----------
    mean, variance : array_like of float32 or float64, shape (C,)
        Of the batch.
    moving_mean, moving_variance : array_like, shape (C,)
        They stay as they are.
    momentum : float
        From 0 to 1.
    kernel : str, optional

    Returns
    -------
    moving_mean, moving_variance : ndarray, shape (C,)

    Raises
    ------
    TypeError, ValueError
        As `batch_norm`.
    """
    given = {"moving_mean": moving_mean, "moving_variance": moving_variance}
    operands = _operands(mean=mean, variance=variance, **given)
    operands[2:] = [None if a is None else a.copy() for a in operands[2:]]
    params = batch_norm_params(momentum=momentum)
    apply("batch_norm", "update_moving", operands, params, kernel=kernel)
    new_mean, new_variance = operands[2:]
    assert new_mean is not None and new_variance is not None
    return new_mean, new_variance
