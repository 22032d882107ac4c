"""histogram: every row against the reference, exactly, and against counting by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.registry import Array, Spec
from convkit.testing.awkward_calls import awkward_calls
from convkit.testing.metric_calls import histogram
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
from ops.numeric import assert_layouts, each_row

AWKWARD = [as_case(call, trivial=0 in call.specs[0].shape) for call in awkward_calls("histogram")]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("histogram", AWKWARD)


@given(
    st.tuples(st.integers(0, 30), st.integers(1, 9)),
    st.integers(0, 40),
    st.booleans(),
    st.booleans(),
    st.booleans(),
    st.none() | st.just(0),
    st.none() | st.integers(1, 4),
)
def test_drawn_shapes(shape, thresholds, labels, weighted, per_class, column, top_k) -> None:
    (call,) = histogram(
        f"{shape} {thresholds}", shape, thresholds, labels=labels, weighted=weighted,
        per_class=per_class, column=column, top_k=top_k,
    )  # fmt: skip
    check_all_rows(as_case(call, trivial=True))


@pytest.mark.parametrize(
    ("row", "case", "dtype"), row_cases([as_case(histogram("", (999, 5))[0])], native=True)
)
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


def test_mutants() -> None:
    check_mutants(as_case(histogram("small", (30, 3), 4, per_class=True)[0]))


SCORES = [0.0, 0.25, 0.5, 0.75, 1.0, -np.inf, np.nan, 0.3]
THRESHOLDS = [0.0, 0.25, 0.5, 0.5, 0.75]


def by_hand(
    p: Array, t: Array, weight: Array, per_class: bool, column: int | None, top_k: int | None
) -> Array:
    n, k = p.shape
    counts = np.zeros((k if per_class and column is None else 1, len(THRESHOLDS) + 1, 2))
    for r in range(n):
        order = sorted(range(k), key=lambda i: (-np.inf if np.isnan(p[r, i]) else p[r, i], -i))
        best = set(order[::-1][:top_k])
        for i in range(k) if column is None else [column]:
            above = sum(bool(p[r, i] > np.float32(x)) for x in THRESHOLDS)
            bin_ = above if i in best else 0
            counts[i if len(counts) > 1 else 0, bin_, int(t[r, i] > 0)] += weight[r]
    return counts


@pytest.mark.parametrize("per_class", [False, True])
@pytest.mark.parametrize("column", [None, 0, 3])
@pytest.mark.parametrize("top_k", [None, 1, 2, 9])
def test_counting_by_hand(per_class: bool, column: int | None, top_k: int | None) -> None:
    rng = np.random.default_rng(5)
    p = rng.choice(SCORES, (50, 4)).astype(np.float32)
    labels = rng.integers(0, 4, 50)
    one_hot = np.eye(4, dtype=np.float32)[labels]
    several = rng.choice([-1.0, 0.0, 0.5, 1.0], (50, 4)).astype(np.float32)
    weight = rng.choice([0.0, 0.25, 2.0], 50).astype(np.float32)
    options = {"per_class": per_class, "column": column, "top_k": top_k}
    for t, values in ((labels, one_hot), (one_hot, one_hot), (several, several)):
        expected = by_hand(p, values, weight, per_class, column, top_k)
        for counts in each_row(
            "histogram",
            "forward",
            lambda row, t=t: ck.ops.histogram(p, t, THRESHOLDS, weight, kernel=row, **options),
        ):
            np.testing.assert_array_equal(counts, expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.7])
def test_the_threshold_itself_is_not_above_it(threshold: float, dtype: str) -> None:
    p = np.full((3, 1), threshold, dtype)
    for counts in each_row(
        "histogram", "forward", lambda row: ck.ops.histogram(p, [1, 0, 1], threshold, kernel=row)
    ):
        np.testing.assert_array_equal(counts, [[[1, 2], [0, 0]]])


def test_layouts() -> None:
    p, t = np.random.default_rng(0).random((2, 6, 4)).astype(np.float32)
    weight = np.arange(6, dtype=np.float32)
    assert_layouts(lambda p, t, w: ck.ops.histogram(p, t, [0.3, 0.6], w), p, t, weight)


P, L = np.zeros((4, 3), np.float32), [0, 1, 2, 1]
RUN = ck.ops.histogram


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, r"label 3 at row 1 is outside 0\.\.2", lambda: RUN(P, [0, 3, 2, 1], [0.5])),
        (ValueError, "rising", lambda: RUN(P, L, [0.5, 0.2])),
        (ValueError, "rising", lambda: RUN(P, L, [0.5, np.nan])),
        (ValueError, "rising", lambda: RUN(P, L, [[0.5]])),
        (ValueError, r"column 3 is outside 0\.\.2", lambda: RUN(P, L, [0.5], column=3)),
        (ValueError, "column is -2", lambda: RUN(P, L, [0.5], column=-2)),
        (ValueError, "top_k is -1", lambda: RUN(P, L, [0.5], top_k=-1)),
        (TypeError, "top_k must be an int", lambda: RUN(P, L, [0.5], top_k=0.5)),
        (ValueError, "weight has shape", lambda: RUN(P, L, [0.5], [1.0])),
        (TypeError, "p has dtype int64", lambda: RUN(P.astype(int), L, [0.5])),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()


def test_errors_of_programs() -> None:
    infer = ck.ops.registry.get("histogram")["forward"].infer
    p, params = Spec((4, 3)), {"per_class": 0, "column": -1, "top_k": 0}
    for edges in (Spec((2, 2)), Spec((2,), "float64")):
        with pytest.raises(ValueError, match="thresholds are"):
            infer(params, [p, p, edges, None])
