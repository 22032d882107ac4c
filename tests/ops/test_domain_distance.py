"""domain_distance: every row against the reference, and both distances from their definitions."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.registry import Array
from convkit.testing.transfer_calls import DISTANCE_SHAPES, domain_distance
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
from ops.numeric import assert_layouts

KINDS = ("coral", "mmd")


def cases(name: str, n: int, m: int, d: int, kind: str, width: float = 0.0) -> list[Case]:
    trivial = n == m == 1  # no covariances; one pair's distance is its own mean
    return [as_case(c, trivial=trivial) for c in domain_distance(name, n, m, d, kind, width)]


AWKWARD = [
    c for k in KINDS for name, shape in DISTANCE_SHAPES.items() for c in cases(name, *shape, k)
]
AWKWARD += cases("of a width", 4, 6, 3, "mmd", 2.0)
MEDIUM = [c for k in KINDS for c in cases("medium", 70, 90, 150, k)]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("domain_distance", AWKWARD)


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 20), st.sampled_from(KINDS))
def test_drawn_shapes(n: int, m: int, d: int, kind: str) -> None:
    for case in cases(f"{n} {m} {d}", n, m, d, kind):
        check_all_rows(case)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)
    check_threads(row, case, dtype)


@pytest.mark.parametrize("case", [c for k in KINDS for c in cases("small", 4, 3, 5, k)])
def test_mutants(case: Case) -> None:
    check_mutants(case)


def data() -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((7, 4)), rng.standard_normal((9, 4)) @ rng.standard_normal((4, 4))


def test_coral_is_the_distance_of_covariances() -> None:
    a, b = data()
    gap = np.cov(a, rowvar=False) - np.cov(b, rowvar=False)
    expected = np.linalg.norm(gap, "fro") ** 2 / (4 * 4**2)
    assert ck.ops.domain_distance(a, b, "coral") == pytest.approx(expected, rel=1e-12)
    assert ck.ops.domain_distance(a, a + 5, "coral") == pytest.approx(
        0, abs=1e-20
    )  # it sees no means


def test_mmd_is_the_distance_of_means_in_feature_space() -> None:
    a, b = data()

    def mean(x: Array, y: Array) -> float:
        squared = ((x[:, None] - y[None]) ** 2).sum(axis=2)
        return float(np.exp(-squared / 3.0).mean())

    expected = mean(a, a) + mean(b, b) - 2 * mean(a, b)
    got = ck.ops.domain_distance(a, b, "mmd", width=3.0, kernels=1)
    assert got == pytest.approx(expected, rel=1e-12)
    assert ck.ops.domain_distance(a, a, "mmd") == pytest.approx(0, abs=1e-15)
    near, far = (ck.ops.domain_distance(a, a + shift, "mmd") for shift in (0.1, 3.0))
    assert 0 < near < far < 2


def test_equal_rows_are_no_distance_apart() -> None:
    ones = np.ones((3, 2), np.float32)
    for kind in KINDS:
        total, da, db = ck.ops.domain_distance_backward(ones, ones, kind)
        assert total == pytest.approx(0, abs=1e-15) and not da.any() and not db.any()


def test_nan_is_passed_on() -> None:
    a, b = data()
    a[2, 1] = np.nan
    for kind in KINDS:
        assert np.isnan(ck.ops.domain_distance(a, b, kind))


@pytest.mark.parametrize(("kind", "width"), [("coral", 0.0), ("mmd", 2.5)])
def test_gradients_are_the_derivatives(kind: str, width: float) -> None:
    a, b = data()
    _, *gradients = ck.ops.domain_distance_backward(a, b, kind, width=width, scale=2.0)
    for x, gradient in zip((a, b), gradients, strict=True):
        for at in np.ndindex(x.shape):
            sides = []
            for step in (1e-5, -1e-5):
                before, x[at] = x[at], x[at] + step
                sides.append(ck.ops.domain_distance(a, b, kind, width=width, scale=2.0))
                x[at] = before
            assert (sides[0] - sides[1]) / 2e-5 == pytest.approx(gradient[at], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_layouts(kind: str) -> None:
    a, b = (x.astype(np.float32) for x in data())
    assert_layouts(lambda x: ck.ops.domain_distance_backward(x, b, kind)[1], a)


@pytest.mark.parametrize(
    ("error", "message", "options", "shapes"),
    [
        (ValueError, "equal D, got (4, 3) and (4, 2)", {}, [(4, 3), (4, 2)]),
        (ValueError, "flatten them first", {}, [(4, 3, 2), (4, 3, 2)]),
        (ValueError, "no rows: a is (0, 3)", {}, [(0, 3), (4, 3)]),
        (ValueError, "unknown kind 'mmmd'; did you mean 'mmd'", {"kind": "mmmd"}, [(4, 3), (4, 3)]),
        (ValueError, "kernels is 2, expected an odd", {"kernels": 2}, [(4, 3), (4, 3)]),
        (TypeError, "kernels must be an int", {"kernels": 1.0}, [(4, 3), (4, 3)]),
        (ValueError, "width is -1", {"width": -1}, [(4, 3), (4, 3)]),
        (ValueError, "scale is inf", {"scale": np.inf}, [(4, 3), (4, 3)]),
    ],
)
def test_errors(error: Any, message: str, options: Any, shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(error, match=re.escape(message)):
        ck.ops.domain_distance(*map(np.ones, shapes), **options)
