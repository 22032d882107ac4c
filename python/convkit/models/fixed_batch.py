"""Models that keep a state from batch to batch: their batches have one size."""

from __future__ import annotations

import warnings
from typing import Any

from convkit.models import graph

__all__ = ["check_batches", "fixed_batch", "refuse_needless", "warn_shuffled"]


def fixed_batch(model: Any) -> int | None:
    """The batch size that an input of the model fixes, or None."""
    return graph.batch_size(model.inputs)


def _keeper(model: Any) -> Any:
    """The first layer that keeps a state, or None."""
    layers = (call.layer for call in model.calls)
    return next((layer for layer in layers if layer.batch_size is not None), None)


def refuse_needless(model: Any) -> None:
    """Refuse a fixed batch size where no layer needs one.

    Raises
    ------
    ValueError
    """
    size = fixed_batch(model)
    if size is not None and _keeper(model) is None:
        raise ValueError(
            f"Input: a fixed batch size ({size}) is not supported, a model without a layer of "
            "stateful=True takes batches of any size; leave it out, and give fit and predict "
            "batch_size="
        )


def check_batches(verb: str, model: Any, count: int, batch: int) -> None:
    """Refuse batches of another size than the states are for.

    Parameters
    ----------
    verb : str
        Named in messages.
    model : Model
    count : int
        Samples.
    batch : int
        Samples in a batch.

    Raises
    ------
    ValueError
    """
    keeper = _keeper(model)
    if keeper is None:
        return
    size = keeper.batch_size
    if batch != size:
        raise ValueError(
            f"[{verb}] batches have {batch} samples, and {keeper.title} keeps a state for batches "
            f"of {size}: give batch_size={size}, or leave it out"
        )
    if count % size:
        raise ValueError(
            f"[{verb}] {count} samples do not make whole batches of {size}, for which "
            f"{keeper.title} keeps a state; leave the last {count % size} out"
        )


def warn_shuffled(model: Any, stacklevel: int = 3) -> None:
    """Warn that states go from one sequence to another that has nothing to do with it."""
    keeper = _keeper(model)
    if keeper is not None:
        warnings.warn(
            f"{keeper.title} carries its state from each batch to the next, and shuffle=True "
            "brings the batches in random order; give fit shuffle=False",
            UserWarning,
            stacklevel=stacklevel,
        )
