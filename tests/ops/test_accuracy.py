"""accuracy: every row of every kind against the reference, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.accuracy import ACCURACIES, SPARSE_ACCURACIES, accuracy_params
from convkit.ops.registry import Array, Spec
from ops.harness import (
    FLOAT,
    Case,
    check_all_rows,
    check_coverage,
    check_mutants,
    check_row,
    check_threads,
    row_cases,
)
from ops.numeric import assert_layouts, each_row


def accuracy_cases(
    name: str,
    kind: str,
    shape: tuple[int, ...],
    *,
    weighted: bool = False,
    threshold: float = 0.5,
    values: tuple[float, ...] = (),
) -> list[Case]:
    """The pass for p of that shape; few `values` make ties."""
    rows, k = int(np.prod(shape[:-1])), shape[-1]
    sparse = kind in SPARSE_ACCURACIES
    t = Spec((rows,), "int32") if sparse else Spec(shape, FLOAT)

    def fill(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
        p = rng.choice(values, shape) if values else rng.random(shape)
        targets: Array = rng.integers(0, k, rows) if sparse else rng.random(shape)
        if not sparse and rows:  # half of the rows are right
            targets.reshape(-1, k)[::2] = p.reshape(-1, k)[::2]
        factors = rng.choice([0.0, 0.5, 1.0, 3.0], rows)
        return [p.astype(np.float32), targets.astype(np.float32), factors if weighted else None]

    specs = (Spec(shape, FLOAT), t, Spec((rows,), FLOAT) if weighted else None)
    name = f"{name} {kind}" + (" weights" if weighted else "")
    params = accuracy_params(kind, threshold, 2 if kind.endswith("top_k") else None)
    return [Case(name, "accuracy", "forward", specs, params, fill=fill)]


SHAPES = {
    "size 1": (1, 1),
    "no batch": (7,),
    "one class": (5, 1),
    "ten classes": (64, 10),
    "primes": (31, 17),
    "sequences": (2, 5, 9),
    "empty batch": (0, 3),
    "many classes": (5, 1009),
}
AWKWARD = [
    case
    for kind in ACCURACIES
    for weighted in (False, True)
    for name, shape in SHAPES.items()
    for case in accuracy_cases(name, kind, shape, weighted=weighted)
]
TIES = [
    case
    for kind in ACCURACIES
    for values in ((-1.0, -0.0, 0.0, 1.0), (0.0, 0.5, np.nan), (np.inf, -np.inf, 2.0, np.nan))
    for case in accuracy_cases(f"{values}", kind, (200, 3), values=values)
]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases([*AWKWARD, *TIES]))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("accuracy", AWKWARD)


@given(
    st.sampled_from(ACCURACIES),
    st.lists(st.integers(0, 9), max_size=2),
    st.integers(1, 40),
    st.booleans(),
)
def test_drawn_shapes(kind: str, rows: list[int], k: int, weighted: bool) -> None:
    for case in accuracy_cases(f"{rows} {k}", kind, (*rows, k), weighted=weighted):
        check_all_rows(case)


@pytest.mark.parametrize(
    ("row", "case", "dtype"), row_cases(accuracy_cases("medium", "sparse", (9001, 5)), native=True)
)
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize("kind", ACCURACIES)
def test_mutants(kind: str) -> None:
    for case in accuracy_cases("small", kind, (9, 4)):
        check_mutants(case)


def test_first_of_equals_and_nan_win() -> None:
    p = np.array([[1, 1, 0], [0, 2, 2], [np.nan, 9, np.nan], [5, np.nan, 6]], np.float32)
    assert ck.ops.accuracy(p, [0, 1, 0, 1], "sparse") == (4.0, 4.0)


def in_the_first_k(p: Array, label: int, k: int) -> bool:
    """Whether fewer than k numbers of a row are larger than the one at the label."""
    own = -np.inf if np.isnan(p[label]) else p[label]
    return sum(bool(v > own) for v in p) < k


@pytest.mark.parametrize("k", [1, 2, 3, 7])
def test_top_k_counts_ties_for_the_target(k: int) -> None:
    rng = np.random.default_rng(k)
    p = rng.choice([0.0, 1.0, 2.0, np.nan, -np.inf], (60, 5)).astype(np.float32)
    labels = rng.integers(0, 5, 60)
    right = sum(in_the_first_k(p[r], labels[r], k) for r in range(60))
    one_hot = np.eye(5, dtype=np.float32)[labels]
    for kind, t in (("sparse_top_k", labels), ("categorical_top_k", one_hot)):
        results = each_row(
            "accuracy",
            "forward",
            lambda row, t=t, kind=kind: ck.ops.accuracy(p, t, kind, top_k=k, kernel=row),
        )
        assert set(results) == {(float(right), 60.0)}


def test_equal_values_are_counted() -> None:
    p = np.array([[1, 2], [3, 4], [0, np.nan]], np.float32)
    t = np.array([[1, 2], [3, 5], [0, np.nan]], np.float32)
    assert ck.ops.accuracy(p, t, "equal", [1, 2, 4]) == (1 + 2 * 0.5 + 4 * 0.5, 7.0)


@pytest.mark.parametrize("threshold", [0.3, 0.1, 0.7])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_threshold_itself_is_not_above_it(threshold: float, dtype: str) -> None:
    p = np.full((3, 1), threshold, dtype)
    t = np.zeros_like(p)
    results = each_row(
        "accuracy",
        "forward",
        lambda k: ck.ops.accuracy(p, t, "binary", threshold=threshold, kernel=k),
    )
    assert set(results) == {(3.0, 3.0)}


def test_targets_in_all_forms_agree() -> None:
    p = np.random.default_rng(0).random((8, 4)).astype(np.float32)
    labels = np.arange(8) % 4
    expected = ck.ops.accuracy(p, labels, "sparse")
    for t in (labels.astype(np.uint8), labels.tolist(), labels[:, None], labels.astype(">i8")):
        assert ck.ops.accuracy(p, t, "sparse") == expected
    one_hot = np.eye(4)[labels]
    for t in (one_hot.astype(np.float32), one_hot.astype(int), one_hot.tolist()):
        assert ck.ops.accuracy(p, t, "categorical") == expected
    column, flat = p[:, :1], (labels > 1).astype(int)
    assert ck.ops.accuracy(column, flat, "binary") == ck.ops.accuracy(
        column, flat[:, None], "binary"
    )


def test_layouts() -> None:
    p, t = np.random.default_rng(0).random((2, 6, 4)).astype(np.float32)
    weight = np.arange(6, dtype=np.float32)
    assert_layouts(lambda p, t, w: ck.ops.accuracy(p, t, "binary", w), p, t, weight)
    assert_layouts(lambda t: ck.ops.accuracy(p, t, "sparse"), np.arange(6) % 4)


P, L = np.full((4, 10), 0.1, np.float32), np.arange(4)
ACC = ck.ops.accuracy


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (
            ValueError,
            r"label 10 at row 1 is outside 0\.\.9",
            lambda: ACC(P, [0, 10, 2, 3], "sparse"),
        ),
        (ValueError, "unknown kind 'sprase'; did you", lambda: ACC(P, L, "sprase")),
        (ValueError, "top_k is 0", lambda: ACC(P, L, "sparse_top_k", top_k=0)),
        (TypeError, "top_k must be an int", lambda: ACC(P, L, "sparse_top_k", top_k=1.5)),
        (ValueError, "binary takes no top_k", lambda: ACC(P, P, "binary", top_k=2)),
        (ValueError, "expected integer labels", lambda: ACC(P, P, "sparse")),
        (ValueError, "expected values of shape", lambda: ACC(P, L, "categorical")),
        (ValueError, "K >= 1", lambda: ACC(P[:, :0], L, "sparse")),
        (ValueError, "weight has shape", lambda: ACC(P, L, "sparse", L[:3])),
        (TypeError, "p has dtype int64", lambda: ACC(P.astype(int), L, "sparse")),
        (TypeError, "t has dtype float64", lambda: ACC(P, P.astype("f8"), "binary")),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()


def test_errors_of_programs() -> None:
    infer = ck.ops.registry.get("accuracy")["forward"].infer
    p = Spec((4, 10))
    for kind, t, message in (
        ("sparse", p, "sparse expects int32 labels"),
        ("binary", Spec((4,), "int32"), "expected values"),
        ("top_k", p, "unknown kind"),
    ):
        with pytest.raises(ValueError, match=message):
            infer({"kind": kind}, [p, t, None])
