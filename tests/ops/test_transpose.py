"""transpose: every row against the reference, exactly."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.testing.awkward_calls import awkward_calls
from convkit.testing.named_calls import calls_of
from convkit.testing.transpose_calls import transpose
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
from ops.numeric import assert_gradient, assert_layouts

AWKWARD = [as_case(call) for call in awkward_calls("transpose")]
NAMED = [as_case(call) for call in calls_of("transpose", small=True)]
MEDIUM = [
    as_case(transpose(name, shape, axes)[0])
    for name, shape, axes in (
        ("planes", (5, 34, 31, 40), (0, 3, 1, 2)),
        ("runs", (5, 34, 31, 40), (0, 2, 1, 3)),
        ("long runs", (3, 2, 70_001), (1, 0, 2)),
        ("a wide matrix", (3, 70_001), (1, 0)),
    )
]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas(), exact=True)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED + MEDIUM, native=True))
def test_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, exact=True)


def test_every_row_has_a_case() -> None:
    check_coverage("transpose", AWKWARD)


@given(st.lists(st.sampled_from([0, 1, 2, 3, 5, 17]), min_size=1, max_size=6), st.randoms())
def test_drawn_shapes(shape: list[int], random: Any) -> None:
    axes = list(range(len(shape)))
    random.shuffle(axes)
    (call,) = transpose(f"{shape} {axes}", tuple(shape), axes)
    check_all_rows(as_case(call), exact=True)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


def test_mutants() -> None:
    check_mutants(as_case(transpose("small", (2, 3, 4), (2, 0, 1))[0]))


@pytest.mark.parametrize("axes", list(itertools.permutations(range(4))), ids=str)
def test_every_permutation_is_numpys_and_its_inverse_undoes_it(axes: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 17, 20)).astype(np.float32)
    y = ck.ops.transpose(x, axes)
    np.testing.assert_array_equal(y, x.transpose(axes))
    assert y.flags.c_contiguous
    np.testing.assert_array_equal(ck.ops.transpose(y, np.argsort(axes)), x)


def test_defaults_and_negative_axes() -> None:
    x = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_array_equal(ck.ops.transpose(x), x.T)
    np.testing.assert_array_equal(ck.ops.transpose(x, (0, -1, 1)), x.transpose(0, 2, 1))


def test_gradient() -> None:
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 3, 4)), rng.standard_normal((4, 2, 3))
    assert_gradient(
        ck.ops.transpose(dy, (1, 2, 0)), lambda v: ck.ops.transpose(v, (2, 0, 1)), x, dy
    )


def test_layouts() -> None:
    x = np.random.default_rng(0).standard_normal((2, 6, 4, 4)).astype(np.float32)
    assert_layouts(lambda v: ck.ops.transpose(v, (3, 1, 0, 2)), x)


X = np.ones((2, 6, 4), np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "x has dtype int64", lambda: ck.ops.transpose(X.astype(int))),
        (ValueError, "at most 6 are supported", lambda: ck.ops.transpose(np.ones((1,) * 7))),
        (
            ValueError,
            r"axes \(0, 1\) are no permutation of the 3 axes of x \(2, 6, 4\); name each of 0 to 2",
            lambda: ck.ops.transpose(X, (0, 1)),
        ),
        (ValueError, "no permutation", lambda: ck.ops.transpose(X, (0, 1, 1))),
        (ValueError, "no permutation", lambda: ck.ops.transpose(X, (0, 1, 3))),
        (TypeError, "axes must be a sequence of ints", lambda: ck.ops.transpose(X, (0, 1, 2.0))),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
