"""Calls of the ops behind metrics: confusion, histogram and moments."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from convkit.ops.histogram import histogram_params
from convkit.ops.registry import Array, Spec
from convkit.testing.calls import Call
from convkit.testing.named_layers import SOFTMAX_LAYERS

__all__ = [
    "awkward_confusion",
    "awkward_histogram",
    "awkward_moments",
    "confusion",
    "histogram",
    "moments",
    "named_confusion",
    "named_histogram",
    "named_moments",
]

Rows = Mapping[str, tuple[int, int]]
WEIGHTS = (0.0, 0.5, 3.0)


def confusion(
    name: str, shape: tuple[int, int], *, labels: bool = True, weighted: bool = False
) -> list[Call]:
    """The pass for scores of n rows; with one column the targets are 0 or 1."""
    n, k = shape
    labels = labels and k > 1

    def fill(rng: np.random.Generator) -> list[Array | None]:
        p = rng.random(shape, "f4")
        t = rng.integers(0, k, n) if labels else rng.random(shape, "f4")
        if k == 1:
            t = rng.integers(0, 2, shape)
        return [p, t, rng.choice(WEIGHTS, n) if weighted else None]

    specs = (
        Spec(shape),
        Spec((n,), "int32") if labels else Spec(shape),
        Spec((n,)) if weighted else None,
    )
    return [Call(name, "confusion", "forward", specs, {"threshold": 0.5}, fill=fill)]


def histogram(
    name: str,
    shape: tuple[int, int],
    thresholds: int = 200,
    *,
    labels: bool = False,
    weighted: bool = False,
    per_class: bool = False,
    column: int | None = None,
    top_k: int | None = None,
) -> list[Call]:
    """The pass for scores between 0 and 1, some of which equal a threshold."""
    n, k = shape
    labels = labels and k > 1

    def fill(rng: np.random.Generator) -> list[Array | None]:
        edges = np.linspace(0, 1, thresholds).astype(np.float32)
        p = rng.random(shape, "f4")
        p[::2] = rng.choice(edges, p[::2].shape) if thresholds else p[::2]
        t = rng.integers(0, k, n) if labels else rng.integers(0, 2, shape)
        return [p, t, edges, rng.choice(WEIGHTS, n) if weighted else None]

    specs = (
        Spec(shape),
        Spec((n,), "int32") if labels else Spec(shape),
        Spec((thresholds,)),
        Spec((n,)) if weighted else None,
    )
    params = histogram_params(per_class, column, top_k)
    return [Call(name, "histogram", "forward", specs, params, fill=fill)]


def moments(
    name: str, shape: tuple[int, int], *, target: bool = True, weighted: bool = False
) -> list[Call]:
    """The pass for values, and targets or none."""
    n = shape[0]

    def fill(rng: np.random.Generator) -> list[Array | None]:
        p, t = rng.standard_normal(shape, "f4"), rng.standard_normal(shape, "f4")
        return [p, t if target else None, rng.choice(WEIGHTS, n) if weighted else None]

    specs = (Spec(shape), Spec(shape) if target else None, Spec((n,)) if weighted else None)
    return [Call(name, "moments", "forward", specs, fill=fill)]


def named_confusion(small: bool = False) -> list[Call]:
    """The classes of real networks."""
    return [c for s in SOFTMAX_LAYERS for c in confusion(f"{s.name}, batch 128", (128, s.k))]


def named_histogram(small: bool = False) -> list[Call]:
    """Areas under curves of one output and of many, F1 scores of the classes of real networks."""
    found = histogram("auc, batch 128", (128, 1))
    found += histogram("auc of pixels, batch 1", (4096 if small else 65536, 1))
    for s in SOFTMAX_LAYERS:
        n = 8 if small and s.k > 100 else 128  # the reference compares all with all of a row
        name = f"f1 of {s.name}, batch {n}"
        found += histogram(name, (n, s.k), 1, labels=True, per_class=True, top_k=1)
    return found


def named_moments(small: bool = False) -> list[Call]:
    """Regressions with one output, and with as many as an image has pixels."""
    shapes = ((128, 1), (128, 10), (128, 784))
    return [c for n, k in shapes for c in moments(f"{k} outputs, batch {n}", (n, k))]


def awkward_confusion(rows: Rows) -> list[list[Call]]:
    return [
        confusion(f"{name}, {'labels' if labels else 'values'}", shape, labels=labels, weighted=w)
        for name, shape in rows.items()
        for labels, w in ((True, False), (False, True))
    ]


def awkward_histogram(rows: Rows) -> list[list[Call]]:
    found = [
        histogram(f"{name}, {t} thresholds", shape, t, labels=t == 3, weighted=t == 1)
        for name, shape in rows.items()
        for t in (0, 1, 3, 200)
    ]
    shape = (13, 17)
    return [
        *found,
        histogram("each class", shape, 5, per_class=True),
        histogram("one column", shape, 5, column=16, labels=True),
        histogram("three largest", shape, 5, top_k=3),
        histogram("the largest of each class", shape, 1, top_k=1, per_class=True, weighted=True),
    ]


def awkward_moments(rows: Rows) -> list[list[Call]]:
    return [
        moments(
            f"{name}, {'targets' if target else 'no targets'}", shape, target=target, weighted=w
        )
        for name, shape in rows.items()
        for target, w in ((True, False), (True, True), (False, True))
    ]
