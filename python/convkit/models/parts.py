"""The three parts of a data set: for training, for selection, for testing.

The selection part (validation) may decide when training ends or which weights are kept. The
testing part may not: its values reach History, the progress bar and callbacks that only report.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convkit import random
from convkit.models.data import Samples
from convkit.models.fixed_batch import fixed_batch

__all__ = ["Parts", "carried_states_kept", "cut_last", "cut_parts"]

SPLIT = 0x73706C74  # the path of this use among those of the seed
NAMES = ("training", "selection", "testing")


class Parts(NamedTuple):
    """Samples of the three parts, and which rows of the arrays they are."""

    training: Samples
    selection: Samples | None
    testing: Samples | None
    rows: dict[str, NDArray[np.int64]]


def _fractions(split: Any) -> tuple[float, ...]:
    try:
        fractions = tuple(float(f) for f in split)
    except (TypeError, ValueError):
        fractions = ()
    if len(fractions) not in (2, 3):
        raise TypeError(
            "[fit] split must be the fractions for training, selection and testing, such as "
            f"(0.6, 0.2, 0.2), got {split!r}"
        )
    if not all(0 <= f <= 1 for f in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(
            f"[fit] split={split!r}: the fractions must be 0 to 1 and have the sum 1, theirs is "
            f"{sum(fractions):g}"
        )
    return fractions


def cut_parts(samples: Samples, plain: Samples, split: Sequence[float]) -> Parts:
    """Draw the three parts at random; which samples they are follows from the seed alone.

    Parameters
    ----------
    samples : Samples
    plain : Samples
        The same without class weights, which count in training only.
    split : sequence of 2 or 3 floats
        Fractions for training, selection and, if there are three, testing. A fraction of 0 leaves
        its part out.

    Raises
    ------
    TypeError, ValueError
        If these are no fractions, or a part with a fraction above 0 would be empty.
    """
    fractions = _fractions(split)
    ends = [round(samples.count * sum(fractions[: i + 1])) for i in range(len(fractions))]
    order = random.generator(None, SPLIT).permutation(samples.count).astype(np.int64, copy=False)
    rows = {
        name: np.sort(order[begin:end])
        for name, begin, end in zip(NAMES, [0, *ends], ends, strict=False)
    }
    for name, fraction in zip(NAMES, fractions, strict=False):
        if not len(rows[name]) and (fraction > 0 or name == "training"):
            raise ValueError(
                f"[fit] split={split!r} of {samples.count} samples leaves none for {name}"
            )
    found = {name: plain.part(r) for name, r in rows.items() if len(r)}
    return Parts(samples.part(rows["training"]), found.get("selection"), found.get("testing"), rows)


def cut_last(samples: Samples, plain: Samples, fraction: float) -> Parts:
    """Cut off the last fraction for validation.

    Parameters
    ----------
    samples, plain : Samples
        As `cut_parts`.
    fraction : float

    Raises
    ------
    ValueError
        If either part would be empty.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"[fit] validation_split is {fraction}, expected a number between 0 and 1")
    at = math.floor(samples.count * (1 - fraction))
    if at in (0, samples.count):
        raise ValueError(
            f"[fit] validation_split={fraction} of {samples.count} samples leaves no samples for "
            + ("training" if at == 0 else "validation")
        )
    return Parts(samples.cut(0, at), plain.cut(at, samples.count), None, {})


@contextmanager
def carried_states_kept(model: Any) -> Iterator[None]:
    """Let an evaluation leave no trace in the states that layers carry from batch to batch."""
    if fixed_batch(model) is None:
        yield
        return
    before = model.store.parameters.copy()
    try:
        yield
    finally:
        model.store.parameters[...] = before
