"""embedding: rows by their numbers, and sums that do not depend on the number of threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.testing.sequence_calls import awkward_embedding, embedding, named_embedding
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

AWKWARD = [as_case(call) for found in awkward_embedding() for call in found]
# So large that the backward pass is shared out.
LARGE = [as_case(call) for call in embedding("large", (301, 7), 12007, 257)]
NAMED = [*LARGE, *(as_case(call) for call in named_embedding(small=True))]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED, ["float32"], native=True))
def test_named(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


def test_every_row_has_a_case() -> None:
    check_coverage("embedding", AWKWARD)


@given(
    st.lists(st.integers(0, 6), max_size=4),
    st.integers(1, 40),
    st.integers(1, 40),
    st.sampled_from(["float32", "float64", "uint8", "int32", "int64"]),
)
def test_drawn_shapes(index: list[int], v: int, e: int, dtype: str) -> None:
    for call in embedding("drawn", tuple(index), v, e, dtype=dtype):
        check_all_rows(as_case(call))


@pytest.mark.parametrize("case", [as_case(c) for c in embedding("small", (9, 3), 8, 4)],
                         ids=lambda case: case.pass_name)  # fmt: skip
def test_mutants(case: Case) -> None:
    check_mutants(case)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(LARGE, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


def test_rows_of_the_backward_pass_give_the_same_bits() -> None:
    rng = np.random.default_rng(3)
    index = rng.integers(0, 5, 999)
    dy = rng.standard_normal((999, 7)).astype("float32")
    naive, rows = (
        ck.ops.embedding_backward(index, dy, 5, kernel=name) for name in ("cpu_naive", "cpu_rows")
    )
    assert naive.tobytes() == rows.tobytes()
    in_order = np.zeros((5, 7), "float32")
    for i, row in enumerate(index):
        in_order[row] += dy[i]
    assert naive.tobytes() == in_order.tobytes()


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float64"])
def test_it_is_indexing(dtype: str) -> None:
    rng = np.random.default_rng(0)
    index, table = rng.integers(0, 9, (4, 5)), rng.standard_normal((9, 3))
    for got in each_row(
        "embedding", "forward", lambda k: ck.ops.embedding(index.astype(dtype), table, kernel=k)
    ):
        assert (got == table[index]).all()


@pytest.mark.parametrize(
    "index",
    [
        np.array([0.0, -1.0, 3.0, 0.5, np.nan, np.inf, -np.inf, 2.0**62, -0.0, 2.0], "float32"),
        np.array([0, -1, 3, -(2**63), 2**63 - 1, 3, 4, -3, 0, 2], "int64"),
        np.array([0, 255, 3, 4, 5, 6, 7, 8, 0, 2], "uint8"),
    ],
)
def test_what_means_no_row_is_nan_and_passed_over(index: Any) -> None:
    table, dy = np.arange(6.0).reshape(3, 2), np.ones((10, 2))
    good = [0, 8, 9]
    for y in each_row("embedding", "forward", lambda k: ck.ops.embedding(index, table, kernel=k)):
        assert (y[good] == table[[0, 0, 2]]).all()
        assert np.isnan(np.delete(y, good, axis=0)).all()
    for dtable in each_row(
        "embedding", "backward", lambda k: ck.ops.embedding_backward(index, dy, 3, kernel=k)
    ):
        assert dtable.tolist() == [[2, 2], [0, 0], [1, 1]]


def test_gradients() -> None:
    rng = np.random.default_rng(1)
    index, table, dy = rng.integers(0, 4, (3, 5)), *rng.standard_normal((2, 15, 3))
    table, dy = table[:4], dy.reshape(3, 5, 3)
    for got in each_row(
        "embedding", "backward", lambda k: ck.ops.embedding_backward(index, dy, 4, kernel=k)
    ):
        assert_gradient(got, lambda t: ck.ops.embedding(index, t, kernel="reference"), table, dy)


def test_layouts() -> None:
    rng = np.random.default_rng(0)
    index, table = rng.integers(0, 5, (6, 4)), rng.standard_normal((5, 8)).astype("float32")
    dy = rng.standard_normal((6, 4, 8)).astype("float32")
    assert_layouts(ck.ops.embedding, index, table)
    assert_layouts(lambda index, dy: ck.ops.embedding_backward(index, dy, 5), index, dy)


def test_lists_and_references() -> None:
    table = np.eye(3)
    assert (ck.ops.embedding([2, 0], table) == table[[2, 0]]).all()
    assert np.isnan(ck.ops.embedding([0.5], table)).all()
    assert ck.ops.embedding([], table).shape == (0, 3)
    assert (ck.reference.embedding([2, 0], table.astype("float32")) == table[[2, 0]]).all()


T = np.zeros((3, 2), np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, r"table must be \(V, E\)", lambda: ck.ops.embedding([0], T[0])),
        (ValueError, r"got \(0, 2\)", lambda: ck.ops.embedding([0], T[:0])),
        (ValueError, "at most 5", lambda: ck.ops.embedding(np.zeros((1,) * 6), T)),
        (TypeError, "index has dtype", lambda: ck.ops.embedding(["a"], T)),
        (TypeError, "table has dtype int64", lambda: ck.ops.embedding([0], T.astype(int))),
        (ValueError, r"dy has shape \(3, 2\)", lambda: ck.ops.embedding_backward([0], T, 3)),
        (TypeError, "rows must be an int", lambda: ck.ops.embedding_backward([0] * 3, T, 3.0)),
        (ValueError, r"got \(0, 2\)", lambda: ck.ops.embedding_backward([0] * 3, T, 0)),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
