"""penalty: every row against the reference; lasso, weight decay, elastic net; NaN and infinity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.penalty import penalty_params
from convkit.ops.registry import Array, Spec
from ops.harness import (
    FLOAT,
    Case,
    Fill,
    check_all_rows,
    check_coverage,
    check_mutants,
    check_row,
    check_threads,
    integers,
    normal,
    row_cases,
)
from ops.numeric import assert_layouts

PASSES = ("forward", "backward", "accumulate")
FACTORS = {
    "l1": {"l1": 0.01},
    "l2": {"l2": 0.1},
    "elastic": {"l1": 0.25, "l2": 0.5, "scale": 0.125},
    "nothing": {},
}


def cases(name: str, shape: tuple[int, ...], kind: str, fill: Fill = normal) -> list[Case]:
    x, params = Spec(shape, FLOAT), penalty_params(**FACTORS[kind])
    trivial = kind == "nothing" or not np.prod(shape)
    return [
        Case(f"{name} {kind}", "penalty", p, (x, x) if p == "accumulate" else (x,), params,
             fill=fill, trivial=trivial)
        for p in PASSES
    ]  # fmt: skip


def spoilt(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    x = np.array([1.0, np.nan, -2.0, 0.0, -0.0])
    return [x, np.ones(5)][: len(specs)]


def infinite(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    return [np.array([1.0, np.inf, -np.inf, 0.0]), np.ones(4)][: len(specs)]


SHAPES = {
    "empty": (0, 3),
    "size 1": (1,),
    "no axes": (),
    "lanes": (16,),
    "primes": (3, 5, 7, 11),
    "several blocks": (9001,),
}
AWKWARD = [c for kind in FACTORS for name, s in SHAPES.items() for c in cases(name, s, kind)]
AWKWARD += [c for kind in FACTORS for c in cases("NaN", (5,), kind, spoilt)]
AWKWARD += [c for kind in FACTORS for c in cases("inf", (4,), kind, infinite)]
MEDIUM = cases("medium", (100_003,), "elastic")


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("penalty", AWKWARD)


@given(st.lists(st.integers(0, 9), max_size=4).map(tuple), st.sampled_from(["l1", "l2", "elastic"]))
def test_drawn_shapes(shape: tuple[int, ...], kind: str) -> None:
    for case in cases(str(shape), shape, kind):
        check_all_rows(case)


def test_integers_are_exact() -> None:
    for case in cases("integers", (37, 5), "elastic", integers):
        check_all_rows(case, exact=True)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize("which", range(3), ids=PASSES)
def test_mutants(which: int) -> None:
    check_mutants(cases("small", (4, 3), "elastic")[which])


def test_closed_forms() -> None:
    x = np.array([3.0, -4.0, 0.0])
    assert ck.ops.penalty(x, l1=0.5) == 3.5
    assert ck.ops.penalty(x, l2=0.5) == 12.5
    total, dx = ck.ops.penalty_backward(x, l1=0.5, l2=0.25, scale=2.0)
    assert total == 2 * (3.5 + 6.25)
    np.testing.assert_array_equal(dx, [4.0, -5.0, 0.0])


@pytest.mark.parametrize("kind", ["l1", "l2", "elastic"])
def test_gradient_is_the_derivative(kind: str) -> None:
    x = np.random.default_rng(3).standard_normal(20)
    _, dx = ck.ops.penalty_backward(x, **FACTORS[kind])
    for i in range(x.size):
        step = np.zeros(20)
        step[i] = 1e-6
        high, low = (ck.ops.penalty(x + s, **FACTORS[kind]) for s in (step, -step))
        assert abs((high - low) / 2e-6 - dx[i]) < 1e-8


def test_layouts() -> None:
    x = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    assert_layouts(lambda a: ck.ops.penalty_backward(a, l1=0.1, l2=0.2)[1], x)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "l1 is -1", lambda: ck.ops.penalty(np.ones(3), l1=-1)),
        (ValueError, "l2 is nan", lambda: ck.ops.penalty(np.ones(3), l2=np.nan)),
        (TypeError, "x has dtype int64", lambda: ck.ops.penalty(np.ones(3, int), l2=1)),
        (ValueError, "no kernel", lambda: ck.ops.penalty(np.ones(3), l2=1, kernel="?")),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
