"""rbf: every row against the reference, on real layers and on awkward shapes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.registry import Array, Spec
from convkit.testing.calls import Call
from convkit.testing.rbf_calls import RBF_SHAPES, awkward_rbf, named_rbf, rbf
from ops.harness import (
    FLOAT,
    Case,
    Fill,
    as_case,
    check_all_rows,
    check_coverage,
    check_inplace,
    check_mutants,
    check_row,
    check_threads,
    integers,
    normal,
    row_cases,
)
from ops.numeric import assert_gradient, assert_layouts, each_row


def cases(calls: list[Call], fill: Fill | None = None) -> list[Case]:
    """Calls as cases; with a `fill`, the passes of the distance alone, on other data."""
    if fill is None:
        return [as_case(call) for call in calls]
    return [replace(as_case(call), fill=fill) for call in calls[:3]]


NAMED = cases(named_rbf(small=True))
FULL = cases(named_rbf(small=False))
AWKWARD = [case for calls in awkward_rbf() for case in cases(calls)]
OTHERS = [
    *cases(rbf("halved", (3, 2), 9, 4, scale=0.5)),
    # No gradient of the widths is wanted.
    replace(as_case(rbf("no ds", (5,), 1, 7)[-1]), out=(Spec((5, 7), FLOAT), None)),
]
MEDIUM = cases(rbf("medium", (130,), 201, 150))


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED, native=True))
def test_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.slow
@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(FULL, ["float32"], native=True))
def test_whole_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases([*AWKWARD, *OTHERS]))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("rbf", AWKWARD)


@given(st.lists(st.integers(0, 6), max_size=2).map(tuple), st.integers(1, 40), st.integers(1, 70))
def test_drawn_shapes(rows: tuple[int, ...], c: int, k: int) -> None:
    for case in cases(rbf(f"{rows} {c} {k}", rows, c, k)):
        check_all_rows(case)


@pytest.mark.parametrize("shape", RBF_SHAPES)
def test_distances_of_integers_are_exact(shape: str) -> None:
    for case in cases(rbf(shape, *RBF_SHAPES[shape]), integers):
        check_all_rows(case, exact=True)


def near(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    """Rows far from 0 and near the centres, where |x|^2 - 2xw + |w|^2 has no digit left."""
    made = normal(rng, specs)
    x, w = made[-2:]
    assert x is not None and w is not None
    x[...] = 1000 + x / 1000
    w[...] = 1000 + w / 1000
    return made


@pytest.mark.parametrize("case", cases(rbf("near", (9,), 21, 19), near), ids=str)
def test_near_centres_cost_no_digits(case: Case) -> None:
    check_all_rows(case)


def spoilt(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    """NaN and infinities in both operands of a distance."""
    made = normal(rng, specs)
    for a, values in zip(made[-2:], ((np.nan, np.inf, -np.inf), (np.inf, np.nan))):
        assert a is not None
        a.reshape(-1)[3 : 3 + 5 * len(values) : 5] = values
    return made


@pytest.mark.parametrize("case", cases(rbf("NaN", (9,), 6, 17), spoilt), ids=str)
def test_nan_and_inf(case: Case) -> None:
    check_all_rows(case)


def extreme(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    """Distances of 0 and far beyond the width; widths from 1e-8 to 1e8."""
    d, s = specs
    assert d is not None and s is not None
    distances = np.array([0.0, 1e-12, 1.0, 1e4, 1e12, np.inf], np.float32)
    return [np.resize(distances, d.shape), np.linspace(-18, 18, s.size, dtype=np.float32)]


def test_gaussians_at_the_ends() -> None:
    call = rbf("extreme", (12,), 1, 37)[3]
    assert call.pass_name == "gaussian"
    check_all_rows(replace(as_case(call), fill=extreme))


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize(
    ("row", "case", "dtype"), row_cases(cases(rbf("in place", (9,), 3, 37)[3:4]), native=True)
)
def test_in_place(row: Any, case: Case, dtype: str) -> None:
    check_inplace(row, case, dtype)


@pytest.mark.parametrize("case", cases(rbf("small", (4,), 5, 3)), ids=str)
def test_mutants(case: Case) -> None:
    check_mutants(case)


def test_a_distance_by_a_product_of_matrices_is_caught() -> None:
    def expanded(ctx: Any, x: Array, w: Array) -> Array:
        d = (x**2).sum(-1, keepdims=True) - 2 * x @ w + (w**2).sum(0)
        return np.asarray(ctx["scale"] * d)

    row = ck.ops.register("rbf", "expanded", expanded, pass_name="distance")
    try:
        with pytest.raises(AssertionError):
            check_row(row, cases(rbf("near", (9,), 21, 19), near)[0])
    finally:
        ck.ops.unregister("rbf", "expanded", pass_name="distance")


def test_gradients() -> None:
    rng = np.random.default_rng(0)
    x, w, s, dy = (rng.standard_normal(n) for n in ((2, 3, 4), (4, 5), (5,), (2, 3, 5)))

    def distance(x: Array, w: Array) -> Array:
        return ck.ops.rbf_distance(x, w, scale=-0.7, kernel="reference")

    def gaussian(d: Array, s: Array) -> Array:
        return ck.ops.rbf_gaussian(d, s, kernel="reference")

    d = ck.ops.rbf_distance(x, w)
    y = gaussian(d, s)
    options = {"scale": -0.7}
    for dx in each_row(
        "rbf", "backward_input",
        lambda k: ck.ops.rbf_distance_backward_input(dy, x, w, kernel=k, **options),
    ):  # fmt: skip
        assert_gradient(dx, lambda v: distance(v, w), x, dy)
    for dw in each_row(
        "rbf", "backward_weight",
        lambda k: ck.ops.rbf_distance_backward_weight(dy, x, w, kernel=k, **options),
    ):  # fmt: skip
        assert_gradient(dw, lambda v: distance(x, v), w, dy)
    for dd, ds in each_row(
        "rbf", "gaussian_backward", lambda k: ck.ops.rbf_gaussian_backward(dy, y, d, s, kernel=k)
    ):
        assert_gradient(dd, lambda v: gaussian(v, s), d, dy)
        assert_gradient(ds, lambda v: gaussian(d, v), s, dy)


def test_values() -> None:
    """By hand: a right triangle, and one standard deviation away."""
    d = ck.ops.rbf_distance([[3.0, 4.0]], [[0.0, 3.0], [0.0, 5.0]])
    np.testing.assert_array_equal(d, [[25.0, 1.0]])
    y = ck.ops.rbf_gaussian(d, np.log(np.array([5.0, 0.5], np.float32)))
    np.testing.assert_allclose(y, np.exp([[-0.5, -2.0]]), rtol=1e-6)
    assert ck.reference.rbf_distance([[3.0, 4.0]], [[0.0], [0.0]]).dtype == np.float64


def test_layouts() -> None:
    rng = np.random.default_rng(0)
    x, w, s, dd = (
        rng.standard_normal(n).astype(np.float32) for n in ((4, 6), (6, 5), (5,), (4, 5))
    )
    assert_layouts(ck.ops.rbf_distance, x, w)
    assert_layouts(ck.ops.rbf_distance_backward_input, dd, x, w)
    assert_layouts(ck.ops.rbf_distance_backward_weight, dd, x, w)
    assert_layouts(ck.ops.rbf_gaussian, dd, s)
    assert_layouts(ck.ops.rbf_gaussian_backward, dd, dd, dd, s)


X, W, D = np.ones((3, 4), np.float32), np.ones((4, 5), np.float32), np.ones((3, 5), np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "w has dtype int32", lambda: ck.ops.rbf_distance(X, W.astype(np.int32))),
        (TypeError, "different dtypes", lambda: ck.ops.rbf_distance(X.astype(np.float64), W)),
        (ValueError, "expected x .* and w", lambda: ck.ops.rbf_distance(X, W[0])),
        (ValueError, "x has 4 features, the centres w have 5", lambda: ck.ops.rbf_distance(X, W.T)),
        (ValueError, "scale must be finite", lambda: ck.ops.rbf_distance(X, W, scale=0.0)),
        (ValueError, "scale must be finite", lambda: ck.ops.rbf_distance(X, W, scale=np.nan)),
        (ValueError, "no kernel 'mine'", lambda: ck.ops.rbf_distance(X, W, kernel="mine")),
        (ValueError, "dd has shape", lambda: ck.ops.rbf_distance_backward_input(X, X, W)),
        (ValueError, "dd has shape", lambda: ck.ops.rbf_distance_backward_weight(D[:2], X, W)),
        (ValueError, "one log-width", lambda: ck.ops.rbf_gaussian(D, X[0])),
        (ValueError, "one shape", lambda: ck.ops.rbf_gaussian_backward(D[:2], D, D, D[0])),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
