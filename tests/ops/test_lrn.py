"""lrn: both regions and both readings of alpha, against the reference and loops."""

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
from convkit.testing.normalization_calls import lrn
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

LRN, BACK = ck.ops.local_response_normalization, ck.ops.local_response_normalization_backward
REGIONS = pytest.mark.parametrize("region", ["across_channels", "within_channel"])

NAMED = [as_case(call) for call in calls_of("lrn", small=True)]
AWKWARD = [as_case(call) for call in awkward_calls("lrn")]
MEDIUM = [
    as_case(call)
    for region in ("across_channels", "within_channel")
    for call in lrn(f"medium {region}", (9, 13, 11, 40), alpha=1.0, norm_region=region)
]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED, native=True))
def test_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD, native=True))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


@pytest.mark.parametrize("pass_name", ["forward", "backward"])
def test_scratch_memory_of_any_shape_is_no_small_number(pass_name: str) -> None:
    row = ck.ops.kernels("lrn", pass_name)[0]
    shape = (1, 1 << 20, 1 << 20, 1 << 20)
    (call,) = (
        call
        for call in lrn("large", shape, size=1 << 21, norm_region="within_channel")
        if call.pass_name == pass_name
    )
    assert row.workspace_bytes([*call.specs, *call.outputs()], call.params) == 1 << 62


def test_every_row_has_a_case() -> None:
    check_coverage("lrn", AWKWARD)


@given(
    st.tuples(st.integers(0, 3), st.integers(0, 7), st.integers(0, 7), st.integers(0, 40)),
    st.integers(1, 12),
    st.sampled_from([0.0, 0.5, 0.75, 1.0, 2.0]),
    st.sampled_from(["sum", "size"]),
    st.sampled_from(["across_channels", "within_channel"]),
)
def test_drawn_shapes(shape: Any, size: int, beta: float, per: str, region: str) -> None:
    options = {"size": size, "alpha": 0.5, "beta": beta, "alpha_per": per, "norm_region": region}
    for call in lrn("drawn", shape, **options):
        check_all_rows(as_case(call))


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize(
    "case",
    [
        as_case(call)
        for region in ("across_channels", "within_channel")
        for call in lrn(region, (3, 4, 5, 6), alpha=1.0, norm_region=region)
    ],
    ids=str,
)
def test_mutants(case: Case) -> None:
    check_mutants(case)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("per", ["sum", "size"])
@REGIONS
def test_against_loops(region: str, per: str, size: int) -> None:
    x = np.random.default_rng(0).standard_normal((2, 4, 3, 5))
    alpha, beta, k = 0.7, 0.6, 1.3
    expected = np.empty_like(x)
    before, behind = size // 2, (size - 1) // 2
    for n, h, w, c in np.ndindex(x.shape):
        if region == "across_channels":
            window = [(h, w, j) for j in range(c - before, c + behind + 1) if 0 <= j < 5]
            count = size
        else:
            pixels = itertools.product(
                range(h - before, h + behind + 1), range(w - before, w + behind + 1)
            )
            window = [(i, j, c) for i, j in pixels if 0 <= i < 4 and 0 <= j < 3]
            count = size**2
        total = sum(x[(n, *at)] ** 2 for at in window)
        d = k + (alpha if per == "sum" else alpha / count) * total
        expected[n, h, w, c] = x[n, h, w, c] / d**beta
    for row in ck.ops.kernels("lrn", "forward"):
        y = LRN(x, size, alpha, beta, k, alpha_per=per, norm_region=region, kernel=row.name)
        np.testing.assert_allclose(y, expected, rtol=1e-13)


def test_the_constants_of_the_paper() -> None:
    """They are n = 5, alpha = 1e-4, beta = 0.75, k = 2: of equal values in the middle 5 count."""
    y = LRN(np.full((1, 1, 1, 9), 100.0))
    assert y[0, 0, 0, 4] == pytest.approx(100 / (2 + 1e-4 * 5 * 100**2) ** 0.75)
    assert y[0, 0, 0, 0] == pytest.approx(100 / (2 + 1e-4 * 3 * 100**2) ** 0.75)


@pytest.mark.parametrize("beta", [0.75, 0.4])
@pytest.mark.parametrize("size", [3, 4])
@REGIONS
def test_gradients(region: str, size: int, beta: float) -> None:
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 2, 3, 4, 3))
    options: dict[str, Any] = {"alpha": 0.8, "beta": beta, "k": 1.5, "norm_region": region}
    for dx in each_row("lrn", "backward", lambda name: BACK(dy, x, size, kernel=name, **options)):
        assert_gradient(dx, lambda v: LRN(v, size, kernel="reference", **options), x, dy)


@REGIONS
def test_nan_and_infinity_stay_in_their_windows(region: str) -> None:
    """They must not leak to another pixel or image by way of what lies between them in memory."""
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 3, 6, 7, 5)).astype(np.float32)
    functions = {"forward": lambda k: LRN(x, 3, norm_region=region, kernel=k)}
    functions["backward"] = lambda k: BACK(dy, x, 3, norm_region=region, kernel=k)
    for bad in (np.nan, np.inf):
        x[1, 2, 3, 4] = x[0, 5, 6, 0] = bad
        for pass_name, function in functions.items():
            with np.errstate(invalid="ignore"):
                expected = np.isnan(function("reference"))
            for row in ck.ops.kernels("lrn", pass_name)[:-1]:
                assert (np.isnan(function(row.name)) == expected).all(), row.name


def test_layouts() -> None:
    x, dy = np.random.default_rng(0).standard_normal((2, 2, 4, 3, 5)).astype(np.float32)
    assert_layouts(LRN, x)
    assert_layouts(BACK, dy, x)


X = np.ones((2, 4, 4, 3), np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "x has dtype uint8", lambda: LRN(X.astype(np.uint8))),
        (TypeError, "size must be an int", lambda: LRN(X, 2.5)),
        (ValueError, "size is 0", lambda: LRN(X, 0)),
        (ValueError, "size is", lambda: LRN(X, 1 << 31)),
        (ValueError, "alpha is -1", lambda: LRN(X, alpha=-1)),
        (ValueError, "beta is nan", lambda: LRN(X, beta=float("nan"))),
        (ValueError, "k is 0", lambda: LRN(X, k=0)),
        (
            ValueError,
            "unknown alpha_per 'sums'; did you mean 'sum'",
            lambda: LRN(X, alpha_per="sums"),
        ),
        (ValueError, "unknown norm_region 'both'", lambda: LRN(X, norm_region="both")),
        (ValueError, r"expected x \(\.\.\., C\), got \(\)", lambda: LRN(np.float32(1))),
        (
            ValueError,
            r"expected x \(N, H, W, C\) to normalize within a channel, got \(4, 4, 3\)",
            lambda: LRN(X[0], norm_region="within_channel"),
        ),
        (ValueError, r"dy has shape \(1, 4, 4, 3\), expected", lambda: BACK(X[:1], X)),
        (TypeError, "different dtypes", lambda: BACK(X.astype(np.float64), X)),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
