"""1,797 handwritten digits, 8x8, inside the package: a data set that is always there."""

from __future__ import annotations

import operator
from importlib import resources

import numpy as np
import numpy.typing as npt

from ._files import TrainTest, UInt8Array

__all__ = ["load_data"]

_BLOCK = 64  # images upscaled at a time, to bound the int64 temporaries


def load_data(size: int | None = None, test_size: int = 297, seed: int = 0) -> TrainTest:
    """Load the UCI handwritten digits, shuffled and split; needs no file and no network.

    The split is stratified: each class has the same share in both parts, up to one image. It
    depends on `test_size` and `seed` only, on every platform. The pixels of the source, 0 to 16,
    become ``round(value * 255 / 16)`` with halves rounded up.

    Parameters
    ----------
    size : int, optional
        Height and width to upscale to, at least 8: bilinear with aligned pixel edges, as in most
        image libraries, rounded once at the end. Default 8, the pixels of the source.
    test_size : int
        How many images make the test set, 0 to 1796.
    seed : int
        Of the shuffle, 0 to 2**32 - 1.

    Returns
    -------
    (x_train, y_train), (x_test, y_test)
        uint8 images ``(1797 - test_size, size, size)`` and ``(test_size, size, size)``, ink up to
        255 on paper 0; uint8 labels ``(1797 - test_size,)`` and ``(test_size,)``.

    Raises
    ------
    ValueError
        An argument is out of range.
    TypeError
        An argument is not an integer.

    Notes
    -----
    The images are the test set of the UCI collection, by 13 writers. The source does not tell
    who wrote which, so the writers of training and test set overlap.

    References
    ----------
    E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine Learning
    Repository, 1998, https://doi.org/10.24432/C50P49; CC BY 4.0 (see LICENSES/digits.txt). The
    bytes were taken from the copy in scikit-learn.

    Examples
    --------
    >>> from convkit.datasets import digits
    >>> (x_train, y_train), (x_test, y_test) = digits.load_data(size=28)
    >>> x_train.shape, x_test.shape
    ((1500, 28, 28), (297, 28, 28))
    """
    size = 8 if size is None else operator.index(size)
    test_size = operator.index(test_size)
    if size < 8:
        raise ValueError(f"[digits] size must be at least 8, got {size}")
    values, labels = _load()
    if not 0 <= test_size < len(labels):
        raise ValueError(f"[digits] test_size must lie in 0..{len(labels) - 1}, got {test_size}")
    train, test = _split(labels, test_size, operator.index(seed))
    x = _upscale(values, size)
    return (x[train], labels[train]), (x[test], labels[test])


def _load() -> tuple[UInt8Array, UInt8Array]:
    """The embedded arrays: values (1797, 8, 8) of 0 to 16 and labels (1797,)."""
    with (
        resources.files(__package__).joinpath("digits.npz").open("rb") as file,
        np.load(file, allow_pickle=False) as arrays,
    ):
        return arrays["values"], arrays["labels"]


def _split(
    labels: UInt8Array, test_size: int, seed: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Indices of the training and of the test set, both in shuffled order."""
    # RandomState, because NumPy promises its stream for ever; that of Generator may change.
    order = np.random.RandomState(seed).permutation(len(labels))
    shuffled = labels[order]
    quota, rest = np.divmod(np.bincount(shuffled) * test_size, len(labels))
    largest = np.argsort(-rest, kind="stable")[: test_size - quota.sum()]
    quota[largest] += 1
    in_test = np.zeros(len(labels), bool)
    for label, count in enumerate(quota):
        in_test[np.flatnonzero(shuffled == label)[:count]] = True
    return order[~in_test], order[in_test]


def _upscale(values: UInt8Array, size: int) -> UInt8Array:
    """Values (N, 8, 8) of 0 to 16 to pixels (N, size, size) of 0 to 255, bilinearly.

    Output pixel i has its centre at ``(i + 1/2) * 8 / size - 1/2``, clamped to the image. In
    units of 1 / (2 * size) that is an integer, so the sums are exact and no platform can differ.
    """
    unit = 2 * size
    centre = np.clip((2 * np.arange(size) + 1) * 8 - size, 0, 7 * unit)
    low, weight = np.divmod(centre, unit)
    high = np.minimum(low + 1, 7)
    out = np.empty((len(values), size, size), np.uint8)
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK].astype(np.int64)
        block = block[:, low] * (unit - weight)[:, None] + block[:, high] * weight[:, None]
        block = block[:, :, low] * (unit - weight) + block[:, :, high] * weight
        scale = 16 * unit * unit
        out[start : start + _BLOCK] = (block * 255 + scale // 2) // scale
    return out
