"""channel_scale: a factor and an offset for each channel, and their gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops import registry
from convkit.testing.awkward_calls import awkward_calls
from convkit.testing.named_calls import calls_of
from convkit.testing.normalization_calls import channel_scale
from ops.harness import (
    Case,
    as_case,
    check_all_rows,
    check_coverage,
    check_inplace,
    check_mutants,
    check_row,
    check_threads,
    row_cases,
)
from ops.numeric import assert_gradient, assert_layouts, each_row

FORWARD = ck.ops.channel_scale
BACK, WEIGHT = ck.ops.channel_scale_backward_input, ck.ops.channel_scale_backward_weight

NAMED = [as_case(call) for call in calls_of("channel_scale", small=True)]
AWKWARD = [as_case(call) for call in awkward_calls("channel_scale")]
MEDIUM = [as_case(call) for call in channel_scale("medium", (11, 13, 17, 40))]
PARTS = [
    Case(f"only {name}", c.op, c.pass_name, c.specs, c.params, out)
    for c in map(as_case, channel_scale("medium", (5, 7, 3))[-1:])
    for name, out in (("dw", (c.out_at("float")[0], None)), ("db", (None, c.out_at("float")[1])))
]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED, native=True))
def test_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases([*AWKWARD, *PARTS]))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("channel_scale", AWKWARD)


@given(
    st.lists(st.integers(0, 9), min_size=0, max_size=3),
    st.integers(0, 70),
    st.sampled_from([(True, True), (True, False), (False, True)]),
)
def test_drawn_shapes(axes: list[int], c: int, which: tuple[bool, bool]) -> None:
    for call in channel_scale("drawn", (*axes, c), w=which[0], b=which[1]):
        check_all_rows(as_case(call))


@pytest.mark.parametrize("shape", [(131, 1), (9, 4, 6), (70, 33), (3000, 5)])
def test_integers_are_exact(shape: tuple[int, ...]) -> None:
    for call in channel_scale("integers", shape):
        check_all_rows(as_case(call.on_integers()), exact=True)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


INPLACE = [c for c in MEDIUM if registry.get("channel_scale")[c.pass_name].inplace]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(INPLACE, native=True))
def test_inplace(row: Any, case: Case, dtype: str) -> None:
    check_inplace(row, case, dtype)


@pytest.mark.parametrize(
    "case", [as_case(c) for c in channel_scale("small", (4, 3, 5))], ids=lambda case: case.pass_name
)
def test_mutants(case: Case) -> None:
    check_mutants(case)


def test_gradients() -> None:
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 4, 2, 3))
    w, b = rng.standard_normal((2, 3))
    for dx in each_row("channel_scale", "backward_input", lambda k: BACK(dy, w, kernel=k)):
        assert_gradient(dx, lambda v: FORWARD(v, w, b, kernel="reference"), x, dy)
    for dw, db in each_row("channel_scale", "backward_weight", lambda k: WEIGHT(dy, x, kernel=k)):
        assert_gradient(dw, lambda v: FORWARD(x, v, b, kernel="reference"), w, dy)
        assert_gradient(db, lambda v: FORWARD(x, w, v, kernel="reference"), b, dy)


def test_layouts() -> None:
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 6, 4, 5)).astype(np.float32)
    w, b = rng.standard_normal((2, 5)).astype(np.float32)
    assert_layouts(FORWARD, x, w, b)
    assert_layouts(BACK, dy, w)
    assert_layouts(WEIGHT, dy, x)


X, C = np.ones((4, 3), np.float32), np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "x has dtype int64", lambda: FORWARD(np.ones((2, 3), int), C)),
        (TypeError, "different dtypes", lambda: FORWARD(X, C.astype(np.float64))),
        (ValueError, "at least one axis", lambda: FORWARD(np.float32(1), C)),
        (ValueError, "needs w or b", lambda: FORWARD(X)),
        (
            ValueError,
            r"\[channel_scale\] w has shape \(2,\), expected \(3,\).*x, which is \(4, 3\)",
            lambda: FORWARD(X, C[:2]),
        ),
        (ValueError, "b has shape", lambda: FORWARD(X, None, X)),
        (ValueError, "w has shape", lambda: BACK(X, C[:2])),
        (ValueError, r"dy has shape \(3, 3\), expected \(4, 3\)", lambda: WEIGHT(X[1:], X)),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
