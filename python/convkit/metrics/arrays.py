"""Metrics on arrays: the instructions of a metric, run once on a batch."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from convkit.losses.base import row_weights
from convkit.ops.registry import Array, Spec, Step

if TYPE_CHECKING:
    from convkit.metrics.base import Metric
    from convkit.run.store import Store


@functools.cache
def _no_parameters() -> Store:
    from convkit.run.store import Store

    return Store([])


def as_prediction(name: str, y_pred: ArrayLike, needs_classes: bool) -> Array:
    """y_pred as float32 or float64 of shape (..., K); numbers without a last axis have K = 1."""
    p = np.asarray(y_pred)
    if p.dtype.kind not in "biuf":
        raise TypeError(f"metric {name!r}: y_pred has dtype {p.dtype}, expected numbers")
    if p.dtype.newbyteorder("=").name not in ("float32", "float64"):
        p = p.astype(np.float32 if p.dtype.name == "float16" else np.float64)
    if p.ndim < 2:
        if needs_classes:
            raise ValueError(
                f"metric {name!r}: y_pred has shape {p.shape}, expected the scores of several "
                "classes (N, K); for one score each use BinaryAccuracy"
            )
        p = p.reshape(-1, 1)
    if p.shape[-1] < 1:
        raise ValueError(f"metric {name!r}: y_pred has shape {p.shape}, expected (N, K), K >= 1")
    return np.require(p, p.dtype.newbyteorder("="), ["C", "A"])


def as_target(name: str, y_true: ArrayLike, p: Array) -> Array:
    """y_true as int32 labels of p's rows, or as values of p's shape and dtype."""
    y, rows, classes = np.asarray(y_true), p.shape[:-1], p.shape[-1]
    if y.dtype.kind not in "biuf":
        raise TypeError(f"metric {name!r}: y_true has dtype {y.dtype}, expected numbers")
    if y.shape == p.shape or (classes == 1 and y.shape == rows) or (y.size == p.size == 1):
        return np.ascontiguousarray(y.reshape(p.shape), p.dtype)
    if y.shape not in (rows, (*rows, 1)):
        raise ValueError(
            f"metric {name!r}: y_true has shape {y.shape}, expected values of shape {p.shape} or "
            f"integer labels of shape {rows}"
        )
    y = y.reshape(rows)
    wrong = np.flatnonzero(~((y == np.floor(y)) & (y >= 0) & (y < classes)))
    if wrong.size:
        raise ValueError(
            f"metric {name!r}: label {y.flat[wrong[0]]} at row {wrong[0]} is not an integer in "
            f"0..{classes - 1}"
        )
    return np.ascontiguousarray(y, np.int32)


def sums_of(
    metric: Metric, y_true: ArrayLike, y_pred: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Array, float]:
    """What a step would add up for these arrays, and the rows, or their weights, that count.

    Returns
    -------
    sums : ndarray of float64
    rows : float
    """
    # Imported here: the program's passes import losses and metrics.
    from convkit.program.builder import Builder
    from convkit.program.choose import choose
    from convkit.program.program import Program
    from convkit.run.interpreter import EagerExecutor

    p = as_prediction(metric.name, y_pred, metric.needs_classes)
    data = {"p": p, "y": as_target(metric.name, y_true, p)}
    rows = float(math.prod(p.shape[:-1]))
    if sample_weight is not None:
        where = f"metric {metric.name!r}:"
        data["weight"] = row_weights(where, sample_weight, p.shape[:-1], p.dtype)
        rows = float(data["weight"].sum(dtype=np.float64))
    chosen = metric.resolve_arrays(data["y"], p, data["y"].dtype.kind == "i")
    chosen = chosen.named(metric.name, sample_weight is not None)
    builder = Builder(Program(metric.name, "evaluate", len(p), p.dtype.name), training=False)
    values = {n: builder.external(n, Spec(a.shape, a.dtype.name)) for n, a in data.items()}
    value = chosen.emit(builder, values["p"], values["y"], values.get("weight"))
    program = builder.program
    program.readouts[metric.name] = value
    program.commit = len(program.instructions)
    choose(program)
    sums = np.zeros(value.spec.size)
    EagerExecutor(program, _no_parameters()).run(data, 1, Step(), None, sums)
    return sums, rows
