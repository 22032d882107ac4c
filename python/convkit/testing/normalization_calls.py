"""Calls of the ops that normalise, and of the scale and shift that go with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from convkit.ops import registry
from convkit.ops.batch_norm import batch_norm_params
from convkit.ops.lrn import lrn_params
from convkit.ops.registry import Array, Spec
from convkit.testing.calls import Call, Fill, Shape

# Channels around a vector's width, with more and fewer rows than a long row of a kernel has.
CHANNELS: dict[str, Shape] = {
    "size 1": (1, 1),
    "one channel": (131, 1),
    "6 channels": (3, 7, 5, 6),
    "7 channels, one row": (1, 7),
    "15 channels": (37, 15),
    "16 channels": (2, 5, 3, 16),
    "17 channels": (19, 17),
    "64 channels": (70, 64),
    "131 channels": (21, 131),
    "more channels than rows": (3, 1030),
    "no batch axis": (5,),
    "empty batch": (0, 4, 3),
    "no channels": (2, 0),
    "several chunks": (1801, 31),
    "700 rows": (700, 9),
}


def batch_norm(
    name: str, shape: Shape, *, affine: bool = True, mean: float = 0.0, epsilon: float = 1e-3
) -> list[Call]:
    """All passes, on values around `mean` with a deviation of 1."""
    channels = Spec(shape[-1:])
    names = ("gamma", "beta", "mean", "variance", "moving_mean", "moving_variance")
    specs: dict[str, Spec | None] = {"x": Spec(shape), "dy": Spec(shape)}
    specs.update((n, channels if affine or n not in ("gamma", "beta") else None) for n in names)

    def fill_of(wanted: list[str]) -> Fill:
        def fill(rng: np.random.Generator) -> list[Array | None]:
            values = {n: rng.standard_normal(s.shape, "f4") for n, s in specs.items() if s}
            values["x"] += np.float32(mean)
            rows = values["x"].reshape(-1, shape[-1]) if values["x"].size else None
            if rows is not None:
                values["mean"] = rows.mean(axis=0, dtype="f8").astype("f4")
                values["variance"] = rows.astype("f8").var(axis=0).astype("f4")
            for positive in ("variance", "moving_variance"):
                values[positive] = np.abs(values[positive])
            return [values.get(n) for n in wanted]

        return fill

    calls = []
    for p in registry.get("batch_norm").passes:
        wanted = [n.rstrip("?") for n in (*p.inputs, *p.updates)]
        operands = tuple(specs[n] for n in wanted)
        params = batch_norm_params(epsilon=epsilon)
        calls.append(Call(name, "batch_norm", p.name, operands, params, fill=fill_of(wanted)))
    return calls


def named_batch_norm(maps: Iterable[tuple[str, Shape]]) -> list[Call]:
    """Of the maps that convolutions of real networks give."""
    return [call for name, shape in maps for call in batch_norm(name, shape)]


def awkward_batch_norm() -> list[list[Call]]:
    return [
        *(batch_norm(name, shape) for name, shape in CHANNELS.items()),
        batch_norm("no gamma or beta", (5, 3, 2, 19), affine=False),
        batch_norm("mean 10000", (300, 5), mean=1e4),
        batch_norm("mean 10000, several chunks", (1500, 24), mean=-1e4),
        batch_norm("small epsilon", (40, 3), epsilon=1e-12),
    ]


def channel_scale(name: str, shape: Shape, *, w: bool = True, b: bool = True) -> list[Call]:
    """All passes that there are with and without a factor and an offset."""
    x, channels = Spec(shape), Spec(shape[-1:])
    of_w, of_b = channels if w else None, channels if b else None
    calls = [Call(name, "channel_scale", "forward", (x, of_w, of_b))]
    if w:
        calls.append(Call(name, "channel_scale", "backward_input", (x, channels)))
    back = (x, x if w else None)
    return [*calls, Call(name, "channel_scale", "backward_weight", back, out=(of_w, of_b))]


def named_channel_scale(maps: Iterable[tuple[str, Shape]]) -> list[Call]:
    """Of the maps that convolutions of real networks give."""
    return [call for name, shape in maps for call in channel_scale(name, shape)]


def awkward_channel_scale() -> list[list[Call]]:
    return [
        *(channel_scale(name, shape) for name, shape in CHANNELS.items()),
        channel_scale("no offset", (5, 3, 2, 19), b=False),
        channel_scale("no factor", (5, 3, 2, 19), w=False),
    ]


def lrn(name: str, shape: Shape, **options: Any) -> list[Call]:
    """Both passes."""
    x, params = Spec(shape), lrn_params(**options)
    return [
        Call(name, "lrn", "forward", (x,), params),
        Call(name, "lrn", "backward", (x, x), params),
    ]


# The two of AlexNet (Krizhevsky et al. 2012), and the first of Caffe's cifar10_full.
LRN_LAYERS: tuple[tuple[str, Shape, dict[str, Any]], ...] = (
    ("alexnet2012.norm1", (55, 55, 96), {}),
    ("alexnet2012.norm2", (27, 27, 256), {}),
    ("cifar10_full.norm1", (16, 16, 32),
     {"size": 3, "alpha": 5e-5, "k": 1.0, "alpha_per": "size", "norm_region": "within_channel"}),
)  # fmt: skip
# An alpha so large that the sum matters; sizes that are even, or reach over all of most maps.
LRN_OPTIONS: dict[str, dict[str, Any]] = {
    "alpha 1": {"alpha": 1.0},
    "even size": {"size": 4, "alpha": 2.0, "alpha_per": "size", "k": 0.5},
    "size 1, any power": {"size": 1, "alpha": 1.0, "beta": 0.3},
    "wide window": {"size": 41, "alpha": 0.1, "beta": 1.5, "k": 1.0},
}
IMAGES: dict[str, Shape] = {
    "one pixel": (2, 1, 1, 3),
    "a line": (1, 1, 9, 5),
    "primes": (2, 11, 7, 5),
    "16 channels": (1, 4, 5, 16),
    "empty batch": (0, 4, 4, 3),
}


def named_lrn(small: bool) -> list[Call]:
    """The layers of real networks."""
    found = []
    for name, (h, w, c), options in LRN_LAYERS:
        n, h, w = (2, (h + 2) // 3, (w + 2) // 3) if small else (8, h, w)
        found += lrn(f"{name}, batch {n}, {h} x {w}", (n, h, w, c), **options)
    return found


def awkward_lrn() -> list[list[Call]]:
    return [
        *(
            lrn(f"{name}, {how}", shape, **options)
            for name, shape in CHANNELS.items()
            for how, options in LRN_OPTIONS.items()
        ),
        *(
            lrn(f"{name}, within, {how}", shape, **options, norm_region="within_channel")
            for name, shape in IMAGES.items()
            for how, options in LRN_OPTIONS.items()
        ),
    ]
