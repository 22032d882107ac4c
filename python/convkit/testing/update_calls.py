"""Calls of update and dense_update: a step of every rule, and clipping by the norm."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from convkit.ops.registry import Array, Spec, Step
from convkit.ops.update import STATE, update_params
from convkit.testing.calls import Call

__all__ = ["dense_operands", "dense_update_calls", "operands", "update_calls"]

# A title, the rule, the states that it does without, and the momentum.
_STEPS: tuple[tuple[str, str, tuple[str, ...], float], ...] = (
    ("sgd", "sgd", ("v?",), 0.0),
    ("momentum", "sgd", (), 0.9),
    ("adagrad", "adagrad", (), 0.0),
    ("adadelta", "adadelta", (), 0.0),
    ("rmsprop", "rmsprop", ("mean?", "v?"), 0.0),
    ("rmsprop, momentum", "rmsprop", ("mean?",), 0.9),
    ("rmsprop, centered", "rmsprop", ("v?",), 0.0),
    ("adam", "adam", ("largest?",), 0.0),
    ("adam, amsgrad", "adam", (), 0.0),
    ("nadam", "nadam", (), 0.0),
    ("adamax", "adamax", (), 0.0),
    ("lion", "lion", (), 0.0),
)
_NOT_NEGATIVE = ("a", "d", "u", "largest?")


def operands(
    rule: str, given: Sequence[bool], n: int, rng: np.random.Generator, spread: bool = False
) -> list[Array | None]:
    """Gradient, state and weights of a rule's step that could occur.

    Parameters
    ----------
    rule : str
    given : sequence of bool
        Of each operand, whether it is there.
    n : int
        Values of each.
    rng : Generator
    spread : bool
        Whether the values are of many magnitudes.
    """
    arrays: list[Array | None] = []
    for name, there in zip(("g", *STATE[rule], "w"), given, strict=True):
        values = rng.standard_normal(n)
        if spread:
            values *= rng.choice([1e-4, 0.1, 1.0, 10.0], n)
        if name in _NOT_NEGATIVE or (name == "v" and rule != "sgd"):
            values = np.abs(values)
        if name == "mean?" and arrays[1] is not None:  # its square is below that of the squares
            values = np.sign(values) * 0.7 * np.sqrt(arrays[1])
        arrays.append(values.astype(np.float32) if there else None)
    return arrays


def update_calls(name: str, n: int) -> list[Call]:
    """A step of every rule, and clipping by the norm, on n parameters."""
    s, norm, step = Spec((n,)), Spec((1,)), Step(step=3, learning_rate=1e-3)
    found = []
    for title, rule, absent, momentum in _STEPS:
        given = [state not in absent for state in ("g", *STATE[rule], "w")]
        specs = tuple(s if there else None for there in given)
        fill = functools.partial(operands, rule, given, n)
        params = update_params(momentum=momentum)
        call = Call(f"{name}, {title}", "update", rule, specs, params, step=step, fill=fill)
        found.append(call)

    def far(rng: np.random.Generator) -> list[Array | None]:
        return [np.array([7.0]), rng.standard_normal(n, "f4")]

    clipped = update_params(max_norm=5.0)
    return [
        *found,
        Call(f"{name}, norm", "update", "global_norm", (s, s), update_params()),
        Call(f"{name}, clipping", "update", "clip_norm", (norm, s), clipped, fill=far),
    ]


def dense_operands(
    rule: str,
    given: Sequence[bool],
    rows: tuple[int, ...],
    c: int,
    k: int,
    rng: np.random.Generator,
    spread: bool = False,
) -> list[Array | None]:
    """dy, x, state and weights of a rule's step on a layer from C to K features.

    Parameters
    ----------
    rule, given, rng, spread
        As `operands`; `given` is of dy, x, the state and w.
    rows : tuple of int
        The leading axes.
    c, k : int
    """
    dy, x = rng.standard_normal((*rows, k), "f4"), rng.standard_normal((*rows, c), "f4")
    _, *changed = operands(rule, given[1:], c * k, rng, spread)
    return [dy, x, *(None if a is None else a.reshape(c, k) for a in changed)]


def dense_update_calls(name: str, rows: tuple[int, ...], c: int, k: int) -> list[Call]:
    """A step of every rule on the weights of a layer from C to K features."""
    dy, x, w = Spec((*rows, k)), Spec((*rows, c)), Spec((c, k))
    found = []
    for title, rule, absent, momentum in _STEPS:
        given = [True, True, *(state not in absent for state in STATE[rule]), True]
        there = (w if is_given else None for is_given in given[2:])
        fill = functools.partial(dense_operands, rule, given, rows, c, k)
        params, step = update_params(momentum=momentum), Step(step=3, learning_rate=1e-3)
        specs = (dy, x, *there)
        found.append(
            Call(f"{name}, {title}", "dense_update", rule, specs, params, step=step, fill=fill)
        )
    return found
