"""scatter: every row against the reference, on connection tables and on awkward shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.registry import Spec
from convkit.ops.scatter import OP, scatter_params
from convkit.testing.rbf_calls import awkward_scatter, named_scatter, scatter
from ops.harness import (
    Case,
    as_case,
    check_all_rows,
    check_coverage,
    check_mutants,
    check_row,
    check_threads,
    row_cases,
)
from ops.numeric import assert_gradient, assert_layouts, each_row

NAMED = [as_case(call) for call in named_scatter(small=True)]
AWKWARD = [as_case(call) for calls in awkward_scatter() for call in calls]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED, native=True))
def test_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas(), exact=True)


def test_every_row_has_a_case() -> None:
    check_coverage("scatter", AWKWARD)


@given(st.lists(st.integers(0, 5), max_size=3).map(tuple), st.integers(0, 20), st.integers(0, 20))
def test_drawn_shapes(rows: tuple[int, ...], m: int, more: int) -> None:
    for call in scatter(f"{rows} {m} {more}", rows, m, m + more):
        check_all_rows(as_case(call), exact=True)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED[:2], native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize("case", [*map(as_case, scatter("small", (3,), 4, 6))], ids=str)
def test_mutants(case: Case) -> None:
    check_mutants(case)


def test_gradients() -> None:
    rng = np.random.default_rng(0)
    index = np.array([5, 0, 3])
    v, dy = rng.standard_normal((2, 3)), rng.standard_normal((2, 6))
    for dv in each_row(
        "scatter", "backward", lambda k: ck.ops.scatter_backward(dy, index, kernel=k)
    ):
        assert_gradient(dv, lambda v: ck.ops.scatter(v, index, 6, kernel="reference"), v, dy)


def test_values() -> None:
    y = ck.ops.scatter([[1.0, 2.0], [3.0, 4.0]], [2, 0], 4)
    np.testing.assert_array_equal(y, [[2, 0, 1, 0], [4, 0, 3, 0]])
    np.testing.assert_array_equal(ck.ops.scatter_backward(y, [2, 0]), [[1, 2], [3, 4]])


def test_layouts() -> None:
    rng = np.random.default_rng(0)
    v, index = rng.standard_normal((4, 3)).astype(np.float32), np.array([4, 1, 3])
    assert_layouts(lambda v: ck.ops.scatter(v, index, 5), v)
    assert_layouts(lambda i: ck.ops.scatter(v, i, 5), index)


V = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "v has dtype int64", lambda: ck.ops.scatter(V.astype(int), [0, 1, 2], 4)),
        (TypeError, "expected integers", lambda: ck.ops.scatter(V, [0.0, 1.0, 2.0], 4)),
        (TypeError, "size must be an int", lambda: ck.ops.scatter(V, [0, 1, 2], 4.0)),
        (ValueError, "size must be from 0", lambda: ck.ops.scatter(V, [0, 1, 2], -1)),
        (ValueError, "place 4, which is outside 0..3", lambda: ck.ops.scatter(V, [0, 1, 4], 4)),
        (ValueError, "place -1", lambda: ck.ops.scatter(V, [0, 1, -1], 4)),
        (ValueError, "a place twice", lambda: ck.ops.scatter(V, [0, 1, 1], 4)),
        (ValueError, "3 values .* 2 places", lambda: ck.ops.scatter(V, [0, 1], 4)),
        (ValueError, r"expected values \(..., M\)", lambda: ck.ops.scatter(V, [[0, 1, 2]], 4)),
        (ValueError, "outside 0..2", lambda: ck.ops.scatter_backward(V, [0, 3])),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()


def test_more_values_than_places() -> None:
    infer = OP["forward"].infer
    assert infer is not None
    with pytest.raises(ValueError, match="do not have different places on an axis of 2"):
        infer(scatter_params(2), [Spec((3,)), Spec((3,), "int32")])
