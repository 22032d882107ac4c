"""Kernels and gradient rules with a known mistake in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

import convkit as ck
from convkit.ops import registry


def wide(a: Any) -> Any:
    """The array in float64 if it holds real numbers."""
    return a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a


@contextmanager
def planted(op: str, pass_name: str, spoil: Callable[..., None]) -> Iterator[None]:
    """A first row that calls the reference, then ``spoil(results, inputs)``."""
    right = registry.get(op)[pass_name].reference

    def wrong(ctx: Any, *inputs: Any) -> Any:
        wide = [
            a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a for a in inputs
        ]
        results = tuple(None if r is None else np.array(r) for r in right(ctx, *wide))
        spoil(results, inputs)
        return results

    ck.ops.register(op, "planted", wrong, pass_name=pass_name)
    try:
        yield
    finally:
        ck.ops.unregister(op, "planted", pass_name=pass_name)


def small(activation: str = "tanh", dropout: float = 0.25) -> Any:
    """Two convolutions and two dense layers with names, compiled."""
    model = ck.Sequential(
        [
            ck.Input((6, 6, 2)),
            ck.layers.Conv2D(3, 3, padding="same", activation=activation, name="first"),
            ck.layers.AveragePooling2D(2, name="pool"),
            ck.layers.Conv2D(4, 2, name="second"),
            ck.layers.Flatten(name="flat"),
            ck.layers.Dropout(dropout, name="drop"),
            ck.layers.Dense(5, activation, name="hidden"),
            ck.layers.Dense(3, "softmax", name="out"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    return model


def batch(n: int = 6, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, 6, 6, 2)).astype(np.float32), rng.integers(0, 3, n)
