"""moments: every row against the reference, and against sums by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.registry import Spec
from convkit.testing.awkward_calls import awkward_calls
from convkit.testing.metric_calls import moments
from ops.harness import (
    Case,
    as_case,
    check_all_rows,
    check_coverage,
    check_mutants,
    check_row,
    check_threads,
    integers,
    row_cases,
)
from ops.numeric import assert_layouts, each_row

AWKWARD = [as_case(call, trivial=0 in call.specs[0].shape) for call in awkward_calls("moments")]
EXACT = [
    Case(c.name, c.op, c.pass_name, c.specs, c.params, fill=integers, trivial=c.trivial)
    for c in AWKWARD
]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(EXACT))
def test_integers_are_exact(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas(), exact=True)


def test_every_row_has_a_case() -> None:
    check_coverage("moments", AWKWARD)


@given(st.integers(0, 50), st.integers(1, 40), st.booleans(), st.booleans())
def test_drawn_shapes(n: int, k: int, target: bool, weighted: bool) -> None:
    for call in moments(f"{n} {k}", (n, k), target=target, weighted=weighted):
        check_all_rows(as_case(call, trivial=True))


@pytest.mark.parametrize(
    ("row", "case", "dtype"), row_cases([as_case(moments("", (6007, 5))[0])], native=True)
)
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


def test_mutants() -> None:
    check_mutants(as_case(moments("small", (9, 3))[0]))


def test_sums_by_hand() -> None:
    rng = np.random.default_rng(2)
    p, t = rng.standard_normal((2, 30, 4))
    weight = rng.choice([0.0, 0.5, 3.0], 30)
    for sums in each_row(
        "moments", "forward", lambda row, t=t: ck.ops.moments(p, t, weight, kernel=row)
    ):
        for k in range(4):
            errors = [(p[r, k] - t[r, k], t[r, k], weight[r]) for r in range(30)]
            expected = [
                math.fsum(w for _, _, w in errors),
                math.fsum(w * t for _, t, w in errors),
                math.fsum(w * t * t for _, t, w in errors),
                math.fsum(w * e for e, _, w in errors),
                math.fsum(w * e * e for e, _, w in errors),
                math.fsum(w * abs(e) for e, _, w in errors),
            ]
            np.testing.assert_allclose(sums[:, k], expected, rtol=1e-13, atol=1e-13)


def test_float32_is_summed_in_float64() -> None:
    p = np.full((100_001, 1), 0.1, np.float32)
    for sums in each_row("moments", "forward", lambda row: ck.ops.moments(p, kernel=row)):
        assert sums[3, 0] == pytest.approx(100_001 * float(np.float32(0.1)), rel=1e-11)


def test_rows_of_weight_0_are_left_out() -> None:
    p = np.array([[np.nan], [np.inf], [2.0]], np.float32)
    for sums in each_row(
        "moments", "forward", lambda row: ck.ops.moments(p, p, [0, 0, 3], kernel=row)
    ):
        np.testing.assert_array_equal(sums[:, 0], [3, 6, 12, 0, 0, 0])


def test_layouts() -> None:
    p, t = np.random.default_rng(0).random((2, 6, 4)).astype(np.float32)
    assert_layouts(lambda p, t, w: ck.ops.moments(p, t, w), p, t, np.arange(6, dtype=np.float32))


P = np.zeros((4, 3), np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "expected values of shape", lambda p: (p, p[:2])),
        (ValueError, "K >= 1", lambda p: (p[:, :0],)),
        (ValueError, "weight has shape", lambda p: (p, p, [1.0])),
        (TypeError, "p has dtype int64", lambda p: (p.astype(int),)),
        (TypeError, "t has dtype float64", lambda p: (p, p.astype("f8"))),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        ck.ops.moments(*call(P))


def test_errors_of_programs() -> None:
    infer = ck.ops.registry.get("moments")["forward"].infer
    with pytest.raises(ValueError, match="must be alike"):
        infer({}, [Spec((4, 3)), Spec((4, 2)), None])
