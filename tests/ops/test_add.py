"""add: every row against the reference; one rounding, so the bits are NumPy's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.registry import Array, Spec
from ops.harness import (
    FLOAT,
    Case,
    Fill,
    check_all_rows,
    check_coverage,
    check_inplace,
    check_mutants,
    check_row,
    check_threads,
    integers,
    normal,
    problem,
    row_cases,
    run_row,
)
from ops.numeric import assert_layouts


def add_case(name: str, shape: tuple[int, ...], fill: Fill = normal) -> Case:
    return Case(name, "add", "forward", (Spec(shape, FLOAT),) * 2, fill=fill)


def spoilt(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    """Every pair of NaN, infinities and numbers."""
    values = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -2.5])
    return [np.repeat(values, len(values)), np.tile(values, len(values))]


AWKWARD = [
    add_case("size 1", (1,)),
    add_case("no axes", ()),
    add_case("primes", (3, 5, 7, 11)),
    add_case("around a vector", (17,)),
    add_case("empty", (0, 3)),
    add_case("six axes", (1, 2, 1, 3, 2, 5)),
    add_case("image", (2, 28, 28, 3)),
    add_case("NaN", (49,), spoilt),
]
MEDIUM = add_case("medium", (200_003,))


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("add", AWKWARD)


@given(st.lists(st.integers(0, 9), max_size=4).map(tuple))
def test_drawn_shapes(shape: tuple[int, ...]) -> None:
    check_all_rows(add_case(str(shape), shape))


def test_integers_are_exact() -> None:
    check_all_rows(add_case("integers", (37, 5), integers), exact=True)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases([MEDIUM]))
def test_bits_are_those_of_numpy(row: Any, case: Case, dtype: str) -> None:
    p = problem(case, dtype)
    a, b = p.inputs
    (y,) = run_row(row, p)
    assert a is not None and b is not None and y is not None
    np.testing.assert_array_equal(y, a + b)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases([MEDIUM], native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases([add_case("", (77,))], native=True))
def test_inplace(row: Any, case: Case, dtype: str) -> None:
    check_inplace(row, case, dtype)


def test_mutants() -> None:
    check_mutants(add_case("small", (4, 3)))


def test_layouts() -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32)
    assert_layouts(ck.ops.add, a, b)


A = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "a has shape .* they must be equal", lambda: ck.ops.add(A, A[0])),
        (ValueError, "b has", lambda: ck.ops.add(A, A.T)),
        (TypeError, "a has dtype int64", lambda: ck.ops.add(A.astype(int), A)),
        (TypeError, "different dtypes", lambda: ck.ops.add(A, A.astype("f8"))),
        (ValueError, "no kernel", lambda: ck.ops.add(A, A, kernel="?")),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
