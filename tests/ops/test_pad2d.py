"""pad2d: every row against the reference, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.testing.awkward_calls import awkward_calls
from convkit.testing.named_calls import calls_of
from convkit.testing.pad2d_calls import pad2d
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

AWKWARD = [as_case(call) for call in awkward_calls("pad2d")]
NAMED = [as_case(call) for call in calls_of("pad2d", small=True)]
MEDIUM = [as_case(call) for call in pad2d("medium", (5, 34, 31, 40), ((1, 2), (3, 4)))]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas(), exact=True)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED, native=True))
def test_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, exact=True)


def test_every_row_has_a_case() -> None:
    check_coverage("pad2d", AWKWARD)


@given(st.data())
def test_drawn_shapes(data: st.DataObject) -> None:
    x = (*(data.draw(st.integers(m, 6)) for m in (0, 1, 1)), data.draw(st.integers(0, 20)))
    sides = [[data.draw(st.integers(0, 5)) for _ in range(2)] for _ in range(2)]
    for call in pad2d(f"{x} {sides}", x, sides):
        check_all_rows(as_case(call), exact=True)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize("call", pad2d("small", (2, 3, 4, 2), ((1, 0), (0, 2))), ids=str)
def test_mutants(call: Any) -> None:
    check_mutants(as_case(call))


SIDES = ((1, 2), (0, 3))


def test_it_is_numpys_pad_and_cropping_undoes_it() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    for y in each_row("pad2d", "forward", lambda k: ck.ops.pad2d(x, SIDES, kernel=k)):
        np.testing.assert_array_equal(y, np.pad(x, ((0, 0), *SIDES, (0, 0))))
    for back in each_row("pad2d", "backward", lambda k: ck.ops.crop2d(y, SIDES, kernel=k)):
        np.testing.assert_array_equal(back, x)


def test_each_is_the_gradient_of_the_other() -> None:
    rng = np.random.default_rng(1)
    small, large = rng.standard_normal((2, 2, 3, 2)), rng.standard_normal((2, 5, 6, 2))
    assert_gradient(ck.ops.crop2d(large, SIDES), lambda v: ck.ops.pad2d(v, SIDES), small, large)
    assert_gradient(ck.ops.pad2d(small, SIDES), lambda v: ck.ops.crop2d(v, SIDES), large, small)


def test_nan_and_inf_are_copied() -> None:
    x = np.array([np.nan, np.inf, -np.inf, -0.0]).reshape(1, 2, 2, 1)
    assert ck.ops.crop2d(ck.ops.pad2d(x)).tobytes() == x.tobytes()


def test_layouts() -> None:
    x = np.random.default_rng(0).standard_normal((2, 6, 4, 4)).astype(np.float32)
    assert_layouts(ck.ops.pad2d, x)
    assert_layouts(ck.ops.crop2d, x)


X = np.ones((2, 6, 4, 3), np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "x has dtype int64", lambda: ck.ops.pad2d(X.astype(int))),
        (ValueError, "x must have 4 dimensions", lambda: ck.ops.pad2d(X[0])),
        (ValueError, "x has no pixels", lambda: ck.ops.pad2d(X[:, :0])),
        (ValueError, "padding must be non-negative", lambda: ck.ops.pad2d(X, -1)),
        (ValueError, "must be an int, a pair or .* got 'same'", lambda: ck.ops.pad2d(X, "same")),
        (TypeError, "padding must be an int", lambda: ck.ops.pad2d(X, 1.5)),
        (ValueError, "with its padding", lambda: ck.ops.pad2d(X, 1 << 30)),
        (
            ValueError,
            r"cropping 0 rows and 4 columns leaves nothing of an image of 6 x 4; crop less",
            lambda: ck.ops.crop2d(X, (0, 2)),
        ),
        (ValueError, "leaves nothing", lambda: ck.ops.crop2d(X, ((5, 1), (0, 0)))),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
