"""Calls of the ops around sequences: embedding and mask."""

from __future__ import annotations

import numpy as np

from convkit.ops.mask import mask_params
from convkit.ops.registry import Array, Spec
from convkit.testing.calls import Call, Shape


def embedding(
    name: str, index: Shape, v: int, e: int, *, dtype: str = "float32", strays: bool = False
) -> list[Call]:
    """Both passes; the last row of the table is looked up once at least.

    Parameters
    ----------
    index : tuple of int
        Shape.
    v, e : int
        Of the table.
    dtype : str
        Of the index.
    strays : bool
        Whether some indices mean no row.
    """
    places = Spec(index, dtype)

    def numbers(rng: np.random.Generator) -> Array:
        rows = rng.integers(0, v, index).astype(dtype)
        flat = rows.reshape(-1)
        flat[:1] = v - 1
        if strays:
            flat[1:7] = np.resize([v, -1, 2.0**31, 0.5, np.nan, np.inf], flat[1:7].shape)
        return rows

    def forward(rng: np.random.Generator) -> list[Array | None]:
        return [numbers(rng), rng.standard_normal((v, e), "f4")]

    def backward(rng: np.random.Generator) -> list[Array | None]:
        return [numbers(rng), rng.standard_normal((*index, e), "f4")]

    table, y = Spec((v, e)), Spec((*index, e))
    return [
        Call(name, "embedding", "forward", (places, table), {}, fill=forward),
        Call(name, "embedding", "backward", (places, y), {}, (table,), fill=backward),
    ]


def mask(name: str, shape: Shape, *, value: float = 0.0) -> list[Call]:
    """All passes for sequences (N, T, ...) of which about a third of the steps are left out."""
    x, steps = Spec(shape), Spec(shape[:2], "uint8")

    def kept(rng: np.random.Generator) -> Array:
        return (rng.random(shape[:2]) < 2 / 3).astype(np.uint8)

    def sequences(rng: np.random.Generator) -> list[Array | None]:
        counts = kept(rng).reshape(*shape[:2], *(1,) * (len(shape) - 2))
        return [np.where(counts, rng.standard_normal(shape, "f4"), np.float32(value))]

    def masked(rng: np.random.Generator) -> list[Array | None]:
        return [rng.standard_normal(shape, "f4"), kept(rng)]

    def weighted(rng: np.random.Generator) -> list[Array | None]:
        return [kept(rng), rng.random(shape[:2], "f4")]

    params, mean, per_step = mask_params(value), mask_params(mean=True), Spec(shape[:2])
    return [
        Call(name, "mask", "find", (x,), params, fill=sequences),
        Call(name, "mask", "reverse", (steps,), params, fill=lambda rng: [kept(rng)]),
        Call(name, "mask", "weight", (steps, per_step), mean, (per_step,), fill=weighted),
        Call(f"{name}, no weight", "mask", "weight", (steps, None), params, (per_step,),
             fill=lambda rng: [kept(rng), None]),
        Call(name, "mask", "forward", (x, steps), params, fill=masked),
        Call(name, "mask", "backward", (x, steps), params, fill=masked),
    ]  # fmt: skip


def named_embedding(small: bool) -> list[Call]:
    """Character models, a vocabulary of words, and the one-hot table of characters."""
    words = 2000 if small else 20000
    return [
        *embedding("characters, batch 64 x 100", (64, 100), 65, 64),
        *embedding("one-hot characters, batch 64 x 100", (64, 100), 65, 65),
        *embedding(f"{words} words, batch 32 x 200", (32, 200), words, 128),
    ]


def named_mask(small: bool) -> list[Call]:
    """Padded sequences of words, and of their embeddings."""
    return [
        *mask("numbers of words, batch 32 x 200", (32, 200)),
        *mask("words, batch 32 x 200 x 128", (32, 200, 128)),
    ]


def awkward_embedding() -> list[list[Call]]:
    """Both passes on awkward shapes and indices of every dtype."""
    shapes = {
        "size 1": ((1,), 1, 1),
        "no axes": ((), 5, 3),
        "primes": ((13, 7), 11, 17),
        "one row": ((31,), 1, 5),
        "more rows than positions": ((3,), 101, 16),
        "33 columns": ((2, 3, 5), 7, 33),
        "long rows": ((5,), 4, 20011),
        "many of a row": ((1100,), 2, 5),
        "many rows": ((1500,), 300, 33),
        "empty batch": ((0, 4), 6, 3),
    }
    found = [embedding(name, *shape) for name, shape in shapes.items()]
    found += [embedding(f"{d} index", (9, 4), 8, 5, dtype=d) for d in ("uint8", "int32", "int64")]
    return [*found, embedding("indices that mean no row", (5, 4), 8, 5, strays=True)]


def awkward_mask() -> list[list[Call]]:
    """All passes on awkward shapes."""
    shapes: dict[str, Shape] = {
        "size 1": (1, 1, 1),
        "no features": (5, 7),
        "primes": (3, 11, 13),
        "images": (2, 3, 5, 4, 3),
        "long steps": (2, 3, 20011),
        "many steps": (61, 70),
        "empty batch": (0, 4, 3),
    }
    found = [mask(name, shape) for name, shape in shapes.items()]
    return [*found, mask("another value", (3, 5, 2), value=0.1)]
