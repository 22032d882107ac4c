"""confusion: every row against the reference, exactly, and against counting by hand."""

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
from convkit.testing.metric_calls import confusion
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

AWKWARD = [as_case(call, trivial=0 in call.specs[0].shape) for call in awkward_calls("confusion")]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("confusion", AWKWARD)


@given(st.integers(0, 50), st.integers(1, 20), st.booleans(), st.booleans())
def test_drawn_shapes(n: int, k: int, labels: bool, weighted: bool) -> None:
    for call in confusion(f"{n} {k}", (n, k), labels=labels, weighted=weighted):
        check_all_rows(as_case(call, trivial=True))


@pytest.mark.parametrize(
    ("row", "case", "dtype"), row_cases([as_case(confusion("", (999, 5))[0])], native=True)
)
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


def test_mutants() -> None:
    check_mutants(as_case(confusion("small", (30, 3))[0]))


def by_hand(p: Array, labels: Array, weight: Array) -> Array:
    k = p.shape[1]
    counts = np.zeros((k, k))
    for row, label, w in zip(p, labels, weight, strict=True):
        best = 0
        for j in range(k):
            if row[j] > row[best]:
                best = j
        counts[label, best] += w
    return counts


@pytest.mark.parametrize("weighted", [False, True])
def test_counting_by_hand(weighted: bool) -> None:
    rng = np.random.default_rng(3)
    p, labels = rng.integers(0, 4, (80, 5)).astype(np.float32), rng.integers(0, 4, 80)
    weight = rng.choice([0.0, 0.25, 2.0], 80) if weighted else None
    expected = by_hand(p, labels, np.ones(80) if weight is None else weight)
    assert expected[4].sum() == 0  # a class without rows
    weight = None if weight is None else weight.astype(np.float32)
    for t in (labels, labels[:, None], np.eye(5, dtype=np.float32)[labels]):
        for counts in each_row(
            "confusion", "forward", lambda row, t=t: ck.ops.confusion(p, t, weight, kernel=row)
        ):
            np.testing.assert_array_equal(counts, expected)


def test_one_column_means_two_classes() -> None:
    p = np.array([0.1, 0.9, 0.5, 0.7, np.nan], np.float32)[:, None]
    for t in ([0, 1, 1, 0, 1], [[0], [1], [1], [0], [1]]):
        for counts in each_row(
            "confusion", "forward", lambda row, t=t: ck.ops.confusion(p, t, kernel=row)
        ):
            np.testing.assert_array_equal(counts, [[1, 1], [2, 1]])
    counts = ck.ops.confusion(p, [0, 1, 1, 0, 1], threshold=0.05)
    np.testing.assert_array_equal(counts, [[0, 2], [1, 2]])


def test_layouts() -> None:
    p, t = np.random.default_rng(0).random((2, 6, 4)).astype(np.float32)
    assert_layouts(lambda p, t, w: ck.ops.confusion(p, t, w), p, t, np.arange(6, dtype=np.float32))


P = np.zeros((4, 3), np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, r"label 3 at row 1 is outside 0\.\.2", lambda p: (p, [0, 3, 2, 1])),
        (ValueError, "K >= 1", lambda p: (p[:, :0], [0, 0, 0, 0])),
        (ValueError, "weight has shape", lambda p: (p, [0, 1, 2, 1], [1.0])),
        (ValueError, "expected integer labels .* or values", lambda p: (p, p[:3])),
        (TypeError, "p has dtype int64", lambda p: (p.astype(int), [0, 1, 2, 1])),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        ck.ops.confusion(*call(P))


def test_errors_of_programs() -> None:
    infer = ck.ops.registry.get("confusion")["forward"].infer
    for p, t in ((Spec((4, 3)), Spec((3,), "int32")), (Spec((4, 1)), Spec((4,), "int32"))):
        with pytest.raises(ValueError, match=r"labels have shape|expected values"):
            infer({}, [p, t, None])
