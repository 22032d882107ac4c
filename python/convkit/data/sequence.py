"""Batches by number: Keras's ``PyDataset``, which was called ``Sequence`` before."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

__all__ = ["PyDataset", "Sequence", "is_sequence"]


class PyDataset:
    """A base for data whose batches can be made by number, in any order and in several threads.

    A subclass has ``__getitem__(index)``, which returns x, (x, y) or (x, y, sample_weight), and
    ``__len__``, the number of batches. ``fit`` shuffles the order of the batches for each epoch
    unless ``shuffle=False``; ``evaluate`` and ``predict`` take them in order. The batches and their
    order are the same for any number of workers.

    Other objects that have both methods are taken in the same way, without this base.

    Parameters
    ----------
    workers : int
        Threads that make batches. NumPy and file reading work side by side in them; Python code
        takes turns.
    use_multiprocessing : bool
        Only False: batches would have to be copied between processes.
    max_queue_size : int
        Batches that are made ahead.
    """

    def __init__(
        self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
    ) -> None:
        title = type(self).__name__
        if use_multiprocessing:
            raise ValueError(
                f"{title}: use_multiprocessing=True is not supported, batches are made in threads; "
                "leave it out, and set workers"
            )
        for name, value in (("workers", workers), ("max_queue_size", max_queue_size)):
            try:
                wrong = operator.index(value) < 1
            except TypeError:
                wrong = True
            if wrong:
                raise ValueError(f"{title}: {name} must be a positive whole number, not {value!r}")
        self.workers = workers
        self.use_multiprocessing = False
        self.max_queue_size = max_queue_size

    def __getitem__(self, index: int) -> Any:
        """The batch of this number, from 0."""
        raise NotImplementedError(f"{type(self).__name__} needs a method __getitem__(self, index)")

    def __len__(self) -> int:
        """Batches of a pass."""
        raise NotImplementedError(f"{type(self).__name__} needs a method __len__(self)")

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


Sequence = PyDataset


def is_sequence(data: object) -> bool:
    """Whether batches can be had by number."""
    kind = type(data)
    return hasattr(kind, "__getitem__") and hasattr(kind, "__len__")
