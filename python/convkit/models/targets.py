"""Targets and weights: labels, one-hot rows, values; sample and class weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.ops.loss_formulas import BINARY_LOSSES, LABEL_LOSSES
from convkit.ops.registry import Array

if TYPE_CHECKING:
    from convkit.losses import Loss

__all__ = ["as_targets", "as_weights", "class_weights"]


def _where(position: int, rows: tuple[int, ...]) -> str:
    """Position of a value in a batch of rows, for messages."""
    if not rows:
        return str(position)
    shape = (position // math.prod(rows) + 1, *rows)
    return "(" + ", ".join(str(int(k)) for k in np.unravel_index(position, shape)) + ")"


def _labels(verb: str, y: Array, output: tuple[int, ...]) -> Array:
    rows, classes = output[:-1], output[-1]
    n = len(y)
    if y.shape not in ((n, *rows), (n, *rows, 1)):
        hint = ""
        if y.shape == (n, *output):
            hint = "; for one-hot targets use the loss 'categorical_crossentropy', or y.argmax(-1)"
        wanted = ", ".join(["N", *map(str, rows)]) + ("" if rows else ",")
        raise ValueError(
            f"[{verb}] expected integer labels y of shape ({wanted}), got {y.shape}{hint}"
        )
    y = y.reshape(n, *rows)
    if y.dtype.kind == "f":
        wrong = np.flatnonzero(~(y == np.floor(y)))
        if wrong.size:
            at = int(wrong[0])
            raise ValueError(
                f"[{verb}] label {y.flat[at]} at index {_where(at, rows)} is not an integer"
            )
    wrong = np.flatnonzero((y < 0) | (y >= classes))
    if wrong.size:
        at = int(wrong[0])
        hint = ""
        if classes == 1:
            hint = "; for one output with sigmoid use the loss 'binary_crossentropy'"
        elif int(y.min()) >= 1 and int(y.max()) == classes:
            hint = "; labels start at 0: y - 1"
        raise ValueError(
            f"[{verb}] label {int(y.flat[at])} at index {_where(at, rows)} is outside "
            f"0..{classes - 1}{hint}"
        )
    return np.ascontiguousarray(y, dtype=np.int32)


def as_targets(verb: str, y: Array, output: tuple[int, ...], loss: Loss) -> Array:
    """Targets in the form that the program gathers.

    Parameters
    ----------
    verb : str
    y : ndarray
        From `convkit.models.data.as_source`.
    output : tuple of int
        Shape of one prediction.
    loss : Loss

    Returns
    -------
    ndarray
        int32 labels without the last axis, or float32 or float64 of the output's shape.

    Raises
    ------
    ValueError
        If the shape does not fit or a label is out of range.
    """
    if loss.sparse:
        return _labels(verb, y, output)
    n = len(y)
    if output[-1:] == (1,) and y.shape == (n, *output[:-1]):
        y = y.reshape(n, *output)
    if y.shape != (n, *output):
        hint = ""
        classes = output[-1]
        if y.shape in ((n, *output[:-1]), (n, *output[:-1], 1)) and (
            "cross" in loss.kind or y.dtype.kind in "iu"
        ):
            sparse = " the loss 'sparse_categorical_crossentropy', or" * ("cross" in loss.kind)
            hint = f"; for integer labels use{sparse} np.eye({classes}, dtype='float32')[y]"
        wanted = ", ".join(["N", *map(str, output)])
        raise ValueError(
            f"[{verb}] loss {loss.name!r} expects y of shape ({wanted}), got {y.shape}{hint}"
        )
    if y.dtype.kind != "f":
        y = y.astype(np.float32)
    return loss.check_targets(f"[{verb}]", y)


def _classes(verb: str, targets: Array, loss: Loss) -> tuple[Array, int]:
    """The class of each row, and how many there are.

    A distribution over classes has its largest entry's, as in Keras; otherwise a row must name one
    class: several labels at once, or numbers, have none.
    """
    if targets.dtype.kind == "i":
        return targets, 0
    if targets.shape[-1] == 1:
        values, classes = np.maximum(targets[..., 0], 0), 2  # the hinges' -1 is class 0
        labels = np.rint(values).astype(np.int32)
        plain = (values == labels) & (labels <= 1)
        if loss.kind in BINARY_LOSSES:
            plain |= True
    else:
        classes = targets.shape[-1]
        plain = (np.count_nonzero(targets == 1, axis=-1) == 1) & (
            np.count_nonzero(targets > 0, axis=-1) == 1
        )
        labels = targets.argmax(axis=-1).astype(np.int32)
        if loss.kind in LABEL_LOSSES or loss.kind == "kl_divergence":
            plain |= True
    wrong = np.flatnonzero(~plain)
    if wrong.size:
        at = int(wrong[0])
        row = np.array2string(targets.reshape(-1, targets.shape[-1])[at], threshold=6)
        raise ValueError(
            f"[{verb}] class_weight needs one class in each row of y, got {row} at index "
            f"{_where(at, targets.shape[1:-1])} with the loss {loss.name!r}; pass sample_weight, "
            "one number for each row"
        )
    return labels, classes


def class_weights(
    verb: str, targets: Array, classes: int, weights: Mapping[int, float], loss: Loss
) -> Array:
    """Weight of each row from the weight of its class; classes without one have weight 1.

    Parameters
    ----------
    targets : ndarray
        From `as_targets`.
    classes : int
        Width of the output.
    weights : mapping of int to float
    loss : Loss

    Raises
    ------
    TypeError, ValueError
        If the weights are no such mapping, or a row of targets names no class, or several.
    """
    if not isinstance(weights, Mapping):
        raise TypeError(
            f"[{verb}] class_weight must be a dict such as {{0: 1.0, 1: 5.0}}, "
            f"not {type(weights).__name__}"
        )
    labels, found = _classes(verb, targets, loss)
    classes = found or classes
    table = np.ones(classes, np.float32)
    for label, weight in weights.items():
        try:
            whole = int(label) == label
        except (TypeError, ValueError):
            whole = False
        if not whole:
            raise TypeError(
                f"[{verb}] class_weight has class {label!r}, and classes are whole numbers from 0: "
                "the labels in y"
            )
        if not 0 <= int(label) < classes:
            raise ValueError(
                f"[{verb}] class_weight has class {label}, which is outside 0..{classes - 1}"
            )
        if not (np.isfinite(weight) and weight >= 0):
            raise ValueError(
                f"[{verb}] class_weight {weight} of class {label} must be finite and not negative"
            )
        table[int(label)] = weight
    return table[labels]


def as_weights(
    verb: str,
    targets: Array,
    output: tuple[int, ...],
    loss: Loss,
    sample_weight: Any,
    class_weight: Mapping[int, float] | None,
) -> Array | None:
    """One float32 weight per row of the output, or None.

    Raises
    ------
    ValueError
        If the shape does not fit or a weight is negative or not finite.
    """
    n, rows = len(targets), output[:-1]
    weights = None
    if class_weight is not None:
        weights = class_weights(verb, targets, output[-1], class_weight, loss)
    if sample_weight is not None:
        own = np.asarray(sample_weight, np.float32)
        if own.shape == (n, 1) and not rows:
            own = own.reshape(n)
        if own.shape not in ((n,), (n, *rows)):
            wanted = "(N,)" if not rows else f"(N,) or ({', '.join(['N', *map(str, rows)])})"
            raise ValueError(f"[{verb}] sample_weight has shape {own.shape}, expected {wanted}")
        wrong = np.flatnonzero(~(np.isfinite(own) & (own >= 0)))
        if wrong.size:
            at = int(wrong[0])
            raise ValueError(
                f"[{verb}] sample_weight {own.flat[at]} at index {_where(at, own.shape[1:])} must "
                "be finite and not negative"
            )
        own = np.broadcast_to(own.reshape(n, *own.shape[1:], *(1,) * (len(rows) + 1 - own.ndim)),
                              (n, *rows))  # fmt: skip
        weights = own if weights is None else own * weights
    if weights is None:
        return None
    return np.ascontiguousarray(weights, dtype=np.float32)
