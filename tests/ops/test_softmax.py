"""softmax and log_softmax: every row against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.registry import Array, Spec
from ops.cases import SOFTMAX_LAYERS
from ops.harness import (
    FLOAT,
    Case,
    Fill,
    check_all_rows,
    check_coverage,
    check_mutants,
    check_row,
    check_threads,
    row_cases,
)
from ops.numeric import assert_gradient, assert_layouts, each_row


def spread(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    """Logits of different spreads from row to row; and far from 0."""
    arrays: list[Array | None] = []
    for s in specs:
        assert s is not None
        rows = (*s.shape[:-1], 1)
        scale, shift = (
            rng.choice([0.1, 1.0, 5.0, 30.0], rows),
            rng.choice([0.0, 50.0, -200.0], rows),
        )
        arrays.append((scale * rng.standard_normal(s.shape) + shift).astype(np.float32))
    return arrays


def softmax_cases(
    name: str, shape: tuple[int, ...], fill: Fill = spread, trivial: bool = False
) -> list[Case]:
    """The four passes; gradients vanish where all rows are certain."""
    s = Spec(shape, FLOAT)

    def results(log: bool) -> Fill:
        function = ck.reference.log_softmax if log else ck.reference.softmax

        def make(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
            (x,) = fill(rng, specs[:1])
            return [rng.standard_normal(shape).astype(np.float32), function(x).astype(np.float32)]

        return make

    return [
        Case(name, "softmax", "forward", (s,), fill=fill),
        Case(name, "softmax", "backward", (s, s), fill=results(False), trivial=trivial),
        Case(name, "softmax", "log_forward", (s,), fill=fill),
        Case(name, "softmax", "log_backward", (s, s), fill=results(True), trivial=trivial),
    ]


NAMED = [
    case
    for s in SOFTMAX_LAYERS
    for n in (1, 32)
    for case in softmax_cases(f"{s.name} {n}", (n, s.k))
]
SHAPES = {
    "one class": (5, 1),
    "two classes": (7, 2),
    "no batch": (11,),
    "primes": (13, 17),
    "15 to 33": (4, 33),
    "15": (4, 15),
    "16": (3, 16),
    "three axes": (2, 3, 31),
    "empty batch": (0, 4),
    "many": (2, 1009),
}
AWKWARD = [case for name, shape in SHAPES.items() for case in softmax_cases(name, shape)]
MEDIUM = softmax_cases("medium", (1031, 37))
SMALL = softmax_cases("small", (4, 5))


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED, native=True))
def test_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("softmax", AWKWARD)


@given(st.lists(st.integers(0, 6), max_size=2), st.integers(1, 70))
def test_drawn_shapes(rows: list[int], k: int) -> None:
    for case in softmax_cases(f"{rows} {k}", (*rows, k), trivial=True):
        check_all_rows(case)


def spoilt(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    """Rows with one value that is not finite, at the front, in the middle and at the end."""
    (x,) = spread(rng, specs)
    assert x is not None
    for i, value in enumerate((np.nan, np.inf, -np.inf)):
        for j, at in enumerate((0, x.shape[1] // 2, x.shape[1] - 1)):
            x[3 * i + j, at] = value
    x[9] = -np.inf
    x[10, :-1] = -np.inf
    return [x]


@pytest.mark.parametrize("k", [2, 5, 37])
def test_nan_and_inf(k: int) -> None:
    for case in softmax_cases("NaN", (12, k), fill=spoilt):
        if case.pass_name.endswith("forward"):
            check_all_rows(case)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.pass_name)
def test_mutants(case: Case) -> None:
    check_mutants(case)


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_gradients(name: str) -> None:
    x, dy = np.random.default_rng(0).standard_normal((2, 3, 6))
    function, backward = getattr(ck.reference, name), getattr(ck.ops, f"{name}_backward")
    pass_name = "log_backward" if name == "log_softmax" else "backward"
    for dx in each_row("softmax", pass_name, lambda k: backward(dy, function(x), kernel=k)):
        assert_gradient(dx, function, x, dy)


@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4])
def test_rows_sum_to_one_far_from_zero(shift: float) -> None:
    x = np.float32(shift) + np.arange(12, dtype=np.float32).reshape(3, 4)
    for y in each_row("softmax", "forward", lambda k: ck.ops.softmax(x, kernel=k)):
        np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-6)


def test_layouts() -> None:
    x, dy = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32)
    assert_layouts(ck.ops.softmax, x)
    assert_layouts(ck.ops.log_softmax, x)
    assert_layouts(ck.ops.softmax_backward, dy, x)
    assert_layouts(ck.ops.log_softmax_backward, dy, x)


X = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "x has dtype int64", lambda: ck.ops.softmax(X.astype(np.int64))),
        (ValueError, "last axis that is not empty", lambda: ck.ops.softmax(X[:, :0])),
        (ValueError, "last axis", lambda: ck.ops.log_softmax(np.float32(1))),
        (ValueError, "dy has shape", lambda: ck.ops.softmax_backward(X[:1], X)),
        (TypeError, "different dtypes", lambda: ck.ops.log_softmax_backward(X, X.astype("f8"))),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
