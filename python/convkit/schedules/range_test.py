"""The learning-rate range test (Smith 2017, "Cyclical learning rates", section 3.3)."""

from __future__ import annotations

import copy
import itertools
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from convkit import random
from convkit.checks import number, whole
from convkit.errors import NonFiniteError

__all__ = ["RangeTest", "range_test"]


RANGE_TEST = 0x72616E67  # the path of its shuffles among the uses of the seed


@dataclass(frozen=True, eq=False)
class RangeTest:
    """What a range test found.

    Attributes
    ----------
    rates : ndarray of float64, shape (n,)
        The learning rates, in ascending order.
    losses : ndarray of float64, shape (n,)
        Loss of each batch, before the step at that rate.
    smoothed : ndarray of float64, shape (n,)
        Their exponential average.
    diverged : bool
        Whether the test ended before the highest rate, as the loss grew or was not finite.
    """

    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]
    diverged: bool

    @property
    def minimum(self) -> float:
        """The rate at which the smoothed loss is least."""
        return float(self.rates[int(np.argmin(self.smoothed))])

    @property
    def steepest(self) -> float:
        """The rate at which the smoothed loss falls fastest on its way to `minimum`."""
        end = int(np.argmin(self.smoothed)) + 1
        begin = min(len(self.rates) // 10, end // 2)  # the average of a few batches wavers
        if end - begin < 2:
            return self.minimum
        slopes = np.gradient(self.smoothed[begin:end], np.log(self.rates[begin:end]))
        return float(self.rates[begin + int(np.argmin(slopes))])

    @property
    def suggestion(self) -> float:
        """`steepest` or a tenth of `minimum`, whichever is lower, but no rate below the first."""
        return max(min(self.steepest, self.minimum / 10), float(self.rates[0]))

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Draw the losses over the rates.

        Parameters
        ----------
        path : path, optional
            Write the figure to a file, whose suffix says its format.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from convkit.viz import blank_figure

        figure = blank_figure(4.8, 3.6)
        panel = figure.subplots()
        panel.plot(self.rates, self.losses, alpha=0.3, label="batches")
        panel.plot(self.rates, self.smoothed, label="smoothed")
        panel.axvline(self.suggestion, linestyle="--", label=f"suggestion {self.suggestion:.2g}")
        panel.set(xscale="log", xlabel="learning rate", ylabel="loss")
        panel.legend()
        if path is not None:
            figure.savefig(path)
        return figure

    def __repr__(self) -> str:
        return (
            f"<RangeTest of {len(self.rates)} rates, {self.rates[0]:.2g} to {self.rates[-1]:.2g}: "
            f"suggestion {self.suggestion:.2g}>"
        )


def range_test(
    model: Any,
    x: Any,
    y: ArrayLike,
    *,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    batch_size: int = 32,
    smoothing: float = 0.9,
    divergence: float = 4.0,
) -> RangeTest:
    """Train a copy of a model, each step with a higher learning rate, and look at the loss.

    The model itself, its optimizer and its state stay as they are, to the bit.

    Parameters
    ----------
    model : Model
        Compiled.
    x : array_like, or list or dict of them
    y : array_like
    low, high : float
        The first rate and the last; between them they grow by the same factor in each step.
    steps : int
        At least 2. The data are gone through in random order as often as need be.
    batch_size : int
    smoothing : float
        Share of the average loss that a step keeps, at least 0 and below 1.
    divergence : float
        The test ends once the smoothed loss is so many times its least so far.

    Returns
    -------
    RangeTest

    Raises
    ------
    NotCompiledError
        If the model has not been compiled.
    TypeError, ValueError
        If the data does not fit, an argument is out of range, or the optimizer has no rates.
    """
    from convkit.optimizers import FullBatch

    title = "range_test"
    low = number(title, "low", low, above=0)
    high = number(title, "high", high, above=low)
    steps = whole(title, "steps", steps, 2)
    batch_size = whole(title, "batch_size", batch_size, 1)
    smoothing = number(title, "smoothing", smoothing, below=1)
    divergence = number(title, "divergence", divergence, above=1)
    model._prepare(title, x, model._require_compiled(title))
    if isinstance(model.optimizer, FullBatch):
        raise TypeError(
            f"[{title}] {type(model.optimizer).__name__} needs no rate: its steps find their own "
            'length; compile with an optimizer of batches, such as "sgd"'
        )
    trained = copy.deepcopy(model)
    optimizer = trained.optimizer
    uphill = -1.0 if optimizer.maximize else 1.0
    rates = np.geomspace(low, high, steps)
    losses: list[float] = []
    smoothed: list[float] = []
    average, diverged = 0.0, False
    for rate, (xs, ys) in zip(rates, _batches(model, x, y, batch_size)):
        optimizer.learning_rate = float(rate)
        try:
            loss = float(trained.train_on_batch(xs, ys, return_dict=True)["loss"])
        except NonFiniteError:
            diverged = True
            break
        average = smoothing * average + (1 - smoothing) * loss * uphill
        losses.append(loss)
        smoothed.append(average / (1 - smoothing ** len(losses)))
        least = min(smoothed)
        if smoothed[-1] > least + (divergence - 1) * abs(least):
            diverged = True
            break
    if not losses:
        raise ValueError(f"[{title}] the loss is not finite in the first step; look at the data")
    found = rates[: len(losses)], np.array(losses), np.array(smoothed)
    return RangeTest(*found, diverged)


def _batches(model: Any, x: Any, y: ArrayLike, batch_size: int) -> Iterator[tuple[Any, Any]]:
    """Batches of one size without end, each time through the data in another order."""
    targets = np.asarray(y)
    if isinstance(x, Mapping):
        parts = {name: np.asarray(part) for name, part in x.items()}
    elif isinstance(x, list | tuple) and len(model.inputs) > 1:
        parts = dict(enumerate(np.asarray(part) for part in x))
    elif isinstance(x, np.ndarray | list | tuple) or hasattr(x, "__array__"):
        parts = {0: np.asarray(x)}
    else:
        raise TypeError(
            f"[range_test] x must be arrays, not {type(x).__name__}; stack some of its batches"
        )
    counts = {len(part) for part in (*parts.values(), targets)}
    if len(counts) > 1 or not min(counts):
        raise ValueError(f"[range_test] x and y must have one length above 0, got {sorted(counts)}")
    count = counts.pop()
    size = min(batch_size, count)
    for epoch in itertools.count():
        order = random.generator(None, RANGE_TEST, epoch).permutation(count)
        for begin in range(0, count - size + 1, size):
            rows = np.sort(order[begin : begin + size])
            cut = {name: part[rows] for name, part in parts.items()}
            if isinstance(x, Mapping):
                yield cut, targets[rows]
            else:
                yield cut[0] if len(cut) == 1 else list(cut.values()), targets[rows]
