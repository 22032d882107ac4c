"""mask: finding, turning, weighing and applying which steps of sequences count."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.testing.sequence_calls import awkward_mask, mask, named_mask
from ops.harness import (
    Case,
    as_case,
    check_all_rows,
    check_coverage,
    check_inplace,
    check_mutants,
    check_row,
    check_threads,
    row_cases,
)
from ops.numeric import assert_gradient, assert_layouts, each_row

AWKWARD = [as_case(call) for found in awkward_mask() for call in found]
NAMED = [as_case(call) for call in named_mask(small=True)]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED, ["float32"], native=True))
def test_named(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


def test_every_row_has_a_case() -> None:
    check_coverage("mask", AWKWARD)


@given(st.integers(0, 5), st.integers(0, 9), st.lists(st.integers(1, 5), max_size=3))
def test_drawn_shapes(n: int, t: int, step: list[int]) -> None:
    for call in mask("drawn", (n, t, *step)):
        check_all_rows(as_case(call))


@pytest.mark.parametrize("case", [as_case(c) for c in mask("small", (6, 7, 3))],
                         ids=lambda case: f"{case.pass_name} {case.name}")  # fmt: skip
def test_mutants(case: Case) -> None:
    check_mutants(case)


@pytest.mark.parametrize(
    ("row", "case", "dtype"), row_cases([as_case(c) for c in mask("medium", (31, 37, 67))],
                                        native=True)
)  # fmt: skip
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize(
    ("row", "case", "dtype"),
    row_cases([as_case(c) for c in mask("in place", (9, 5, 7)) if "ward" in c.pass_name],
              native=True),
)  # fmt: skip
def test_inplace(row: Any, case: Case, dtype: str) -> None:
    check_inplace(row, case, dtype)


X = np.array([[[0, 0], [1, 0], [np.nan, 0]], [[0.1, 0.1], [0, 0.1], [-0.0, 0]]], "float32")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_find(dtype: str) -> None:
    for found in each_row("mask", "find", lambda k: ck.ops.find_mask(X.astype(dtype), kernel=k)):
        assert found.tolist() == [[0, 1, 1], [1, 1, 0]]
    x = np.array([[0.1, 0.2]], dtype)  # 0.1 is another number in each dtype
    for found in each_row("mask", "find", lambda k: ck.ops.find_mask(x, 0.1, kernel=k)):
        assert found.tolist() == [[0, 1]]


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_find_in_integers(dtype: str) -> None:
    x = np.array([[3, 0, 7], [0, 0, 3]], dtype)
    for found in each_row("mask", "find", lambda k: ck.ops.find_mask(x, 3, kernel=k)):
        assert found.tolist() == [[0, 1, 1], [1, 1, 0]]
    for found in each_row("mask", "find", lambda k: ck.ops.find_mask(x, -1, kernel=k)):
        assert found.all()


MASK = np.array([[1, 1, 0], [0, 2, 0]], "uint8")
M0 = MASK[0]


def test_weights() -> None:
    weight = np.array([[1, 2, 3], [4, 5, 6]], "float32")
    losses = np.arange(6.0).reshape(2, 3)
    for w in each_row("mask", "weight", lambda k: ck.ops.mask_weight(MASK, weight, kernel=k)):
        assert w.tolist() == [[1, 2, 0], [0, 5, 0]]
    for w in each_row("mask", "weight", lambda k: ck.ops.mask_weight(MASK, mean=True, kernel=k)):
        assert w.tolist() == [[2, 2, 0], [0, 2, 0]]
        assert (losses * w).mean() == np.mean([0, 1, 4])
    for w in each_row(
        "mask", "weight", lambda k: ck.ops.mask_weight(MASK * 0, mean=True, kernel=k)
    ):
        assert not w.any()


def test_weights_of_steps_with_more_axes() -> None:
    weight = np.arange(1.0, 25.0, dtype="float32").reshape(2, 3, 2, 2)
    counts = (MASK != 0)[:, :, None, None]
    for w in each_row("mask", "weight", lambda k: ck.ops.mask_weight(MASK, weight, kernel=k)):
        np.testing.assert_array_equal(w, np.where(counts, weight, 0))
    for w in each_row(
        "mask", "weight", lambda k: ck.ops.mask_weight(MASK, weight, mean=True, kernel=k)
    ):
        np.testing.assert_array_equal(w, np.where(counts, 2 * weight, 0))


def test_reverse_and_apply() -> None:
    assert ck.ops.reverse_mask(MASK).tolist() == [[0, 1, 1], [0, 2, 0]]
    y = ck.ops.mask_steps(X, MASK)
    assert y.tolist() == [[[0, 0], [1, 0], [0, 0]], [[0, 0], [0, np.float32(0.1)], [0, 0]]]
    assert (ck.ops.mask_steps(X, MASK != 0) == y).all()


def test_gradients() -> None:
    x, dy = np.random.default_rng(0).standard_normal((2, 2, 3, 2))
    for dx in each_row(
        "mask", "backward", lambda k: ck.ops.mask_steps_backward(dy, MASK, kernel=k)
    ):
        assert_gradient(dx, lambda v: ck.ops.mask_steps(v, MASK, kernel="reference"), x, dy)


def test_layouts() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype("float32")
    assert_layouts(ck.ops.find_mask, x)
    assert_layouts(ck.ops.mask_steps, x, MASK)
    assert_layouts(ck.ops.reverse_mask, MASK)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, r"x must be \(N, T, ...\)", lambda: ck.ops.find_mask(X[0, 0])),
        (TypeError, "x has dtype", lambda: ck.ops.find_mask(X.astype(complex))),
        (ValueError, r"mask must be \(N, T, ...\), got \(3,\)", lambda: ck.ops.reverse_mask(M0)),
        (ValueError, r"has shape \(2, 3, 1\)", lambda: ck.ops.reverse_mask(MASK[..., None])),
        (ValueError, r"expected \(2, 3\) \(x is", lambda: ck.ops.mask_steps(X, MASK[:, :2])),
        (TypeError, "mask has dtype float32", lambda: ck.ops.mask_steps(X, X[..., 0])),
        (ValueError, "weight has shape", lambda: ck.ops.mask_weight(MASK, X[:, :2, 0])),
        (TypeError, "dtype is int64", lambda: ck.ops.mask_weight(MASK, dtype="int64")),
    ],
)  # fmt: skip
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
