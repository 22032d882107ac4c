"""upsample2d: every row against the reference, on real layers and on awkward shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.upsample2d import INTERPOLATIONS
from convkit.testing.awkward_calls import awkward_calls
from convkit.testing.named_calls import calls_of
from convkit.testing.upsample2d_calls import upsample2d
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

AWKWARD = [as_case(call) for call in awkward_calls("upsample2d")]
NAMED = [as_case(call) for call in calls_of("upsample2d", small=True)]
MEDIUM = [
    as_case(call)
    for kind in INTERPOLATIONS
    for call in upsample2d(f"medium, {kind}", (5, 17, 15, 40), (2, 3), kind)
]
kinds = pytest.mark.parametrize("kind", INTERPOLATIONS)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED, native=True))
def test_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


def test_every_row_has_a_case() -> None:
    check_coverage("upsample2d", AWKWARD)


@given(st.data())
def test_drawn_shapes(data: st.DataObject) -> None:
    x = (*(data.draw(st.integers(m, 6)) for m in (0, 1, 1)), data.draw(st.integers(0, 20)))
    size = [data.draw(st.integers(1, 5)) for _ in range(2)]
    for call in upsample2d(f"{x} {size}", x, size, data.draw(st.sampled_from(INTERPOLATIONS))):
        check_all_rows(as_case(call))


@pytest.mark.parametrize("size", [1, 2, 4, (2, 8)], ids=str)
def test_integers_are_exact(size: Any) -> None:
    """Powers of two have weights that are such, and small integers no roundings then."""
    for kind in INTERPOLATIONS:
        for call in upsample2d("integers", (2, 5, 4, 19), size, kind):
            check_all_rows(as_case(call.on_integers()), exact=True)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@kinds
def test_mutants(kind: str) -> None:
    for call in upsample2d("small", (2, 3, 4, 2), (2, 3), kind):
        check_mutants(as_case(call))


def test_nearest_repeats_pixels() -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 4, 5))
    expected = np.repeat(np.repeat(x, 2, axis=1), 3, axis=2)
    for y in each_row("upsample2d", "forward", lambda k: ck.ops.upsample2d(x, (2, 3), kernel=k)):
        np.testing.assert_array_equal(y, expected)
    dy = np.random.default_rng(1).standard_normal(expected.shape)
    sums = dy.reshape(2, 3, 2, 4, 3, 5).sum(axis=(2, 4))
    np.testing.assert_allclose(ck.ops.upsample2d_backward(dy, (2, 3)), sums, rtol=1e-13)


def test_bilinear_by_hand() -> None:
    """Half-pixel centres: the new pixels lie at -1/4, 1/4, 3/4 and 5/4."""
    x = np.array([0.0, 4.0]).reshape(1, 1, 2, 1)
    for y in each_row(
        "upsample2d", "forward", lambda k: ck.ops.upsample2d(x, (1, 2), "bilinear", kernel=k)
    ):
        np.testing.assert_array_equal(y.ravel(), [0, 1, 3, 4])
    # An odd factor puts a new pixel on each old one.
    np.testing.assert_allclose(
        ck.ops.upsample2d(x, (1, 3), "bilinear").ravel(), [0, 0, 4 / 3, 8 / 3, 4, 4], rtol=1e-15
    )


def test_bilinear_is_exact_on_planes_and_keeps_constants() -> None:
    h, w = np.mgrid[:5, :6].astype(float)
    plane = (2 * h - 3 * w + 1)[None, :, :, None]
    y = ck.ops.upsample2d(plane, (4, 2), "bilinear")[0, :, :, 0]
    p, q = (np.arange(20) + 0.5) / 4 - 0.5, (np.arange(12) + 0.5) / 2 - 0.5
    expected = 2 * np.clip(p, 0, 4)[:, None] - 3 * np.clip(q, 0, 5)[None, :] + 1
    np.testing.assert_allclose(y, expected, atol=1e-13)
    ones = np.ones((1, 3, 3, 2), np.float32)
    assert (ck.ops.upsample2d(ones, 4, "bilinear") == 1).all()


@kinds
def test_gradient(kind: str) -> None:
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 2, 3, 2)), rng.standard_normal((2, 6, 6, 2))
    for dx in each_row(
        "upsample2d",
        "backward",
        lambda k: ck.ops.upsample2d_backward(dy, (3, 2), kind, kernel=k),
    ):
        assert_gradient(dx, lambda v: ck.ops.upsample2d(v, (3, 2), kind), x, dy)


def test_nan_stays_where_it_is() -> None:
    x = np.zeros((1, 3, 3, 1))
    x[0, 0, 0] = np.nan
    for kind, spoilt in (("nearest", 2), ("bilinear", 3)):
        y = ck.ops.upsample2d(x, 2, kind)[0, :, :, 0]
        assert np.isnan(y[:spoilt, :spoilt]).all()
        assert np.isnan(y).sum() == spoilt**2


@kinds
def test_layouts(kind: str) -> None:
    x = np.random.default_rng(0).standard_normal((2, 6, 4, 4)).astype(np.float32)
    assert_layouts(lambda v: ck.ops.upsample2d(v, 2, kind), x)
    assert_layouts(lambda v: ck.ops.upsample2d_backward(v, 2, kind), x)


X = np.ones((2, 6, 4, 3), np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "x has dtype int64", lambda: ck.ops.upsample2d(X.astype(int))),
        (ValueError, "x must have 4 dimensions", lambda: ck.ops.upsample2d(X[0])),
        (ValueError, "x has no pixels", lambda: ck.ops.upsample2d(X[:, :0])),
        (ValueError, "size must be positive", lambda: ck.ops.upsample2d(X, 0)),
        (TypeError, "size must be an int or a pair", lambda: ck.ops.upsample2d(X, 1.5)),
        (MemoryError, "needs .* bytes", lambda: ck.ops.upsample2d(X, (1 << 30, 1 << 29))),
        (
            ValueError,
            "one of 'nearest', 'bilinear', got 'bilinar'.*did you mean 'bilinear'",
            lambda: ck.ops.upsample2d(X, 2, "bilinar"),
        ),
        (
            ValueError,
            r"dy has shape \(2, 6, 4, 3\), expected a multiple of 4 rows and of 2 columns",
            lambda: ck.ops.upsample2d_backward(X, (4, 2)),
        ),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
