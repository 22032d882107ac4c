"""Calls of gradient_scale and domain_distance: features of two domains, and awkward shapes."""

from __future__ import annotations

import numpy as np

from convkit.ops.domain_distance import DISTANCES, domain_distance_params
from convkit.ops.gradient_scale import gradient_scale_params
from convkit.ops.registry import Array, Spec
from convkit.testing.calls import Call, Shape

__all__ = [
    "DISTANCE_SHAPES", "awkward_domain_distance", "awkward_gradient_scale", "domain_distance",
    "gradient_scale", "named_domain_distance", "named_gradient_scale",
]  # fmt: skip

# Rows of both domains and features.
DISTANCE_LAYERS: dict[str, tuple[int, int, int]] = {
    "lenet5, features": (64, 64, 84),
    "vgg, features": (32, 32, 512),
}
DISTANCE_SHAPES: dict[str, tuple[int, int, int]] = {
    "size 1": (1, 1, 1),
    "single rows": (1, 1, 5),
    "a single row": (1, 6, 3),
    "one feature": (9, 4, 1),
    "primes": (7, 13, 11),
    "over a block": (3, 5, 67),
}
SCALE_LAYERS: dict[str, Shape] = {"lenet5, features": (128, 84), "vgg, features": (128, 4096)}
SCALE_SHAPES: dict[str, Shape] = {
    "size 1": (1,),
    "no axes": (),
    "empty batch": (0, 3),
    "lanes": (16,),
    "over lanes": (33,),
    "primes": (3, 5, 7, 11),
}


def gradient_scale(name: str, shape: Shape, factor: float = -0.3) -> list[Call]:
    """Both passes."""
    x, params = Spec(shape), gradient_scale_params(factor)
    return [Call(name, "gradient_scale", p, (x,), params) for p in ("forward", "backward")]


def domain_distance(name: str, n: int, m: int, d: int, kind: str, width: float = 0) -> list[Call]:
    """Both passes for n and m rows of d features."""
    params = domain_distance_params(kind, width, scale=0.75)

    def fill(rng: np.random.Generator) -> list[Array | None]:
        """The second domain is shifted, and wider."""
        return [rng.standard_normal((n, d), "f4"), 0.5 + 2 * rng.standard_normal((m, d), "f4")]

    specs = (Spec((n, d)), Spec((m, d)))
    return [
        Call(f"{name}, {kind}", "domain_distance", p, specs, params, fill=fill)
        for p in ("forward", "backward")
    ]


def named_gradient_scale(small: bool) -> list[Call]:
    return [c for name, shape in SCALE_LAYERS.items() for c in gradient_scale(name, shape)]


def awkward_gradient_scale() -> list[list[Call]]:
    return [gradient_scale(name, shape) for name, shape in SCALE_SHAPES.items()]


def named_domain_distance(small: bool) -> list[Call]:
    return [
        c
        for name, (n, m, d) in DISTANCE_LAYERS.items()
        for kind in DISTANCES
        for c in domain_distance(name, n, m, min(d, 128) if small else d, kind)
    ]


def awkward_domain_distance() -> list[list[Call]]:
    return [
        domain_distance(name, *shape, kind)
        for name, shape in DISTANCE_SHAPES.items()
        for kind in DISTANCES
    ]
