"""The formulas of `batch_norm`, with the bounds of their errors beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

from convkit.ops.registry import Array, Context


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


def forward(
    ctx: Context, x: Array, gamma: Array | None, beta: Array | None
) -> tuple[Array, Array, Array]:
    mean, variance = _statistics(x)
    return _normalize(ctx, x, mean, variance, gamma, beta), mean, variance


def inference(
    ctx: Context, x: Array, mean: Array, variance: Array, gamma: Array | None, beta: Array | None
) -> tuple[Array]:
    return (_normalize(ctx, x, mean, variance, gamma, beta),)


def backward(
    ctx: Context, dy: Array, x: Array, mean: Array, variance: Array, gamma: Array | None
) -> tuple[Array, Array, Array]:
    h = (x - mean) / _deviation(ctx, variance)
    dgamma, dbeta = _rows(dy * h).sum(axis=0), _rows(dy).sum(axis=0)
    n = max(len(_rows(dy)), 1)
    dx = (dy - dbeta / n - h * dgamma / n) / _deviation(ctx, variance)
    return dx if gamma is None else gamma * dx, dgamma, dbeta


def backward_inference(
    ctx: Context, dy: Array, x: Array, mean: Array, variance: Array, gamma: Array | None
) -> tuple[Array, Array, Array]:
    _, dgamma, dbeta = backward(ctx, dy, x, mean, variance, gamma)
    dx = dy / _deviation(ctx, variance)
    return dx if gamma is None else gamma * dx, dgamma, dbeta


def update_moving(
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


def forward_bound(
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


def inference_bound(
    ctx: Context, x: Array, mean: Array, variance: Array, gamma: Array | None, beta: Array | None
) -> tuple[Any]:
    scale = (1 if gamma is None else np.abs(gamma)) / _deviation(ctx, variance)
    return (8 * scale * np.abs(x - mean) + (0 if beta is None else 2 * np.abs(beta)),)


def backward_bound(
    ctx: Context, dy: Array, x: Array, mean: Array, variance: Array, gamma: Array | None
) -> tuple[Any, Any, Any]:
    n, h = len(_rows(dy)), np.abs(x - mean) / _deviation(ctx, variance)
    of_gamma = (n + 8) * _rows(np.abs(dy) * h).sum(axis=0)
    of_beta = (n + 1) * _rows(np.abs(dy)).sum(axis=0)
    scale = (1 if gamma is None else np.abs(gamma)) / _deviation(ctx, variance)
    per_row = max(n, 1)
    of_sums = (1 + 4 / per_row) * (of_beta + 2 * h * of_gamma) / per_row
    return scale * (8 * np.abs(dy) + of_sums), of_gamma, of_beta


def backward_inference_bound(
    ctx: Context, dy: Array, x: Array, mean: Array, variance: Array, gamma: Array | None
) -> tuple[Any, Any, Any]:
    _, of_gamma, of_beta = backward_bound(ctx, dy, x, mean, variance, gamma)
    scale = (1 if gamma is None else np.abs(gamma)) / _deviation(ctx, variance)
    return 8 * scale * np.abs(dy), of_gamma, of_beta


def update_moving_bound(
    ctx: Context, mean: Array, variance: Array, moving_mean: Array, moving_variance: Array
) -> tuple[Any, Any]:
    sizes = [np.abs(a) for a in (mean, variance, moving_mean, moving_variance)]
    of_mean, of_variance = update_moving(ctx, *sizes)
    return 4 * of_mean, 4 * of_variance
