"""Small helpers under the names that Keras has for them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit.data import PyDataset, Sequence
from convkit.random import set_seed

__all__ = ["PyDataset", "Sequence", "set_random_seed", "to_categorical"]


def set_random_seed(seed: int) -> None:
    """`convkit.set_seed`: weights, shuffles and dropout masks follow from it.

    NumPy's and Python's own generators, which this package does not use, are left alone.
    """
    set_seed(seed)


def to_categorical(x: ArrayLike, num_classes: int | None = None) -> NDArray[Any]:
    """Labels as one-hot rows.

    Parameters
    ----------
    x : array_like of int
        From 0 to num_classes - 1; a last axis of size 1 is dropped.
    num_classes : int, optional
        By default the largest label and 1.

    Returns
    -------
    ndarray of float32, shape (..., num_classes)

    Raises
    ------
    ValueError
        If a label is no integer or out of range.

    Examples
    --------
    >>> to_categorical([0, 2])
    array([[1., 0., 0.],
           [0., 0., 1.]], dtype=float32)
    """
    given = np.asarray(x)
    if given.dtype.kind not in "biuf" or not np.isfinite(given).all():
        raise ValueError(f"[to_categorical] labels must be integers, got {given.dtype}")
    labels = given.astype(np.int64)
    if (labels != given).any():
        raise ValueError("[to_categorical] labels must be integers, got fractions")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels.reshape(labels.shape[:-1])
    classes = int(labels.max(initial=-1)) + 1 if num_classes is None else int(num_classes)
    wrong = (labels < 0) | (labels >= classes)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"[to_categorical] label {labels.flat[at]} at index {at} is outside 0..{classes - 1}"
        )
    out = np.zeros((labels.size, classes), np.float32)
    out[np.arange(labels.size), labels.reshape(-1)] = 1
    return out.reshape(*labels.shape, classes)
