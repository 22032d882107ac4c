"""Whether a run of ``fit`` is the one that a file was saved of: what decides about its bits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from convkit.layers.base import Layer
from convkit.models.feeds import ArrayFeed
from convkit.saving.config import Configured, is_plain

if TYPE_CHECKING:
    from convkit.models.epochs import Fit
    from convkit.models.feeds import Feed

__all__ = ["compare", "plain_values", "what_it_does"]


def plain_values(owner: Any) -> dict[str, Any]:
    """An object's class, and its public numbers and words and those of the objects in it."""
    told: dict[str, Any] = {"class": type(owner).__name__}
    for name, value in sorted(vars(owner).items()):
        if name[0] == "_" or name in ("name", "built") or name.endswith("_initializer"):
            continue
        value = getattr(value, "kind", value)  # of an activation
        if isinstance(value, Configured) and not isinstance(value, Layer):
            told[name] = plain_values(value)
        elif is_plain(value):
            told[name] = value
    return told


def _data(feed: Feed | None) -> dict[str, Any]:
    """What tells whether a feed is over the same data."""
    if feed is None:
        return {"samples": 0}
    return {**(feed.describe() if isinstance(feed, ArrayFeed) else {}), "steps": feed.steps}


def what_it_does(fit: Fit) -> dict[str, Any]:
    """What decides about the bits and cannot change on the way."""
    compiled, optimizer = fit.compiled, fit.compiled.optimizer
    return {
        "model": {
            "weights": [
                [p.path, list(p.shape), trained]
                for p, trained in zip(fit.model.parameters, fit.trained, strict=True)
            ],
            "layers": [[layer.name, plain_values(layer)] for layer in fit.model.layers],
        },
        "loss": plain_values(compiled.loss),
        "regularizer": compiled.regularizer and plain_values(compiled.regularizer),
        "metrics": [m.name for m in compiled.resolve(fit.model)],
        "optimizer": {
            "class": type(optimizer).__name__,
            # A callback may change the learning rate and the momentum: they are states.
            **{k: v for k, v in optimizer.params().items() if k != "momentum"},
        },
        "training data": _data(fit.feed),
        "validation data": _data(fit.validation),
        "testing data": _data(fit.testing),
    }


def compare(title: str, saved: dict[str, Any], present: dict[str, Any]) -> None:
    """Refuse a file of another run.

    Raises
    ------
    ValueError
    """
    old, new = saved["model"]["weights"], present["model"]["weights"]
    if len(old) != len(new):
        raise ValueError(f"{title} is of a model with {len(old)} weights, this one has {len(new)}")
    for (a, *one), (b, *other) in zip(old, new, strict=True):
        if a.rpartition(".")[2] != b.rpartition(".")[2] or one != other:
            told = [
                f"{p} {tuple(shape)}{'' if trains else ', not trainable'}"
                for p, (shape, trains) in ((a, one), (b, other))
            ]
            raise ValueError(f"{title} is of another model: it has {told[0]}, this one {told[1]}")
    layers, others = saved["model"]["layers"], present["model"]["layers"]
    if len(layers) != len(others):
        raise ValueError(
            f"{title} is of a model with {len(layers)} layers, this one has {len(others)}"
        )
    pairs = zip(layers, others, strict=True)
    parts = [(f"layer {name!r}", one, other) for (_, one), (name, other) in pairs]
    parts += [(name, saved[name], present[name]) for name in present if name != "model"]
    for part, one, other in parts:
        if one == other:
            continue
        if isinstance(one, dict) and isinstance(other, dict):
            for key in {**one, **other}:
                if one.get(key) != other.get(key):
                    part, one, other = f"{part}: {key}", one.get(key), other.get(key)
                    break
        raise ValueError(
            f"{title} is of another run: its {part} is {one!r}, here it is {other!r}; go on with "
            "the same, or give resume= another file to start afresh"
        )
