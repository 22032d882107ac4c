"""dropout: every row draws exactly the reference's mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.dropout import dropout_params
from convkit.ops.registry import Array, Spec, Step
from convkit.random import uniform24
from ops.harness import (
    FLOAT,
    Case,
    check_all_rows,
    check_coverage,
    check_inplace,
    check_mutants,
    check_row,
    check_threads,
    row_cases,
)
from ops.numeric import assert_gradient, assert_layouts


def dropout_cases(
    name: str,
    shape: tuple[int, ...],
    rate: float = 0.5,
    *,
    seed: int = 1,
    step: int = 0,
    stream: int = 0,
) -> list[Case]:
    """Both passes."""
    params, block = dropout_params(rate, stream), Step(step=step, seed=seed)
    specs = (Spec(shape, FLOAT),)
    return [
        Case(f"{name} {rate}", "dropout", pass_name, specs, params, step=block)
        for pass_name in ("forward", "backward")
    ]


SHAPES = {
    "size 1": (1,),
    "no axes": (),
    "three": (3,),
    "prime": (1031,),
    "around a block": (3, 257),
    "one block": (256,),
    "empty": (0, 5),
    "image": (2, 5, 7, 3),
}
AWKWARD = [
    case
    for rate in (0.0, 0.1, 0.5, 0.9)
    for name, shape in SHAPES.items()
    for case in dropout_cases(name, shape, rate)
]
# All parts of the counter and of the key count, up to the highest bits.
COUNTERS = [
    case
    for name, numbers in {
        "seed": {"seed": 0xDEADBEEF},
        "long seed": {"seed": (1 << 64) - 2},
        "step": {"step": 7},
        "long step": {"step": (3 << 32) + 1},
        "stream": {"stream": (1 << 32) - 1},
    }.items()
    for case in dropout_cases(name, (300,), **numbers)
]
MEDIUM = dropout_cases("medium", (100_003,), 0.3)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases([*AWKWARD, *COUNTERS]))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("dropout", AWKWARD)


@given(
    st.integers(0, 600),
    st.floats(0, 0.999),
    st.integers(0, (1 << 64) - 1),
    st.integers(0, (1 << 63) - 1),
    st.integers(0, (1 << 32) - 1),
)
def test_drawn_numbers(n: int, rate: float, seed: int, step: int, stream: int) -> None:
    for case in dropout_cases("drawn", (n,), rate, seed=seed, step=step, stream=stream):
        check_all_rows(case)


@pytest.mark.parametrize("just_above", [0.0, 1e-12])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_mask_at_the_rate_itself(dtype: str, just_above: float) -> None:
    """An element is kept where its uniform number equals the rate, not where it is just below."""
    u = uniform24(3, 0, 0, 64)
    x = np.ones(64, dtype)
    for row in ck.ops.kernels("dropout", "forward"):
        for i in range(0, 64, 5):
            rate = float(u[i]) + just_above
            y = ck.ops.dropout(x, rate, seed=3, kernel=row.name)
            assert (y[i] != 0) == (just_above == 0), row.name
            assert ((y != 0) == (u.astype(np.float64) >= rate)).all(), row.name


def test_the_mask_depends_on_every_number() -> None:
    x = np.ones(256, np.float32)
    numbers = {"seed": 5, "step": 6, "stream": 7}
    first = ck.ops.dropout(x, 0.5, **numbers)
    assert (first == ck.ops.dropout_backward(x, 0.5, **numbers)).all()
    for name in numbers:
        assert (first != ck.ops.dropout(x, 0.5, **{**numbers, name: 8})).any(), name


def test_the_mean_stays() -> None:
    y = ck.ops.dropout(np.ones(1 << 20, np.float32), 0.3, seed=0)
    share = np.count_nonzero(y) / y.size
    assert abs(share - 0.7) < 5 * np.sqrt(0.7 * 0.3 / y.size)
    assert abs(y.mean(dtype=np.float64) - 1) < 5 * np.sqrt(0.3 / 0.7 / y.size)


def test_what_is_dropped_is_zero_even_if_it_was_nan() -> None:
    x = np.full(64, np.nan, np.float32)
    kept = uniform24(0, 0, 0, 64) >= 0.5
    for row in ck.ops.kernels("dropout", "forward"):
        y = ck.ops.dropout(x, 0.5, seed=0, kernel=row.name)
        assert np.isnan(y[kept]).all() and (y[~kept] == 0).all(), row.name


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize(
    ("row", "case", "dtype"), row_cases(dropout_cases("in place", (777,)), native=True)
)
def test_inplace(row: Any, case: Case, dtype: str) -> None:
    check_inplace(row, case, dtype)


@pytest.mark.parametrize("case", dropout_cases("small", (9, 8)), ids=lambda case: case.pass_name)
def test_mutants(case: Case) -> None:
    check_mutants(case)


def test_gradients() -> None:
    x, dy = np.random.default_rng(0).standard_normal((2, 5, 7))

    def f(v: Array) -> Array:
        return ck.ops.dropout(v, 0.4, seed=9, step=2, kernel="reference")

    for row in ck.ops.kernels("dropout", "backward"):
        dx = ck.ops.dropout_backward(dy, 0.4, seed=9, step=2, kernel=row.name)
        assert_gradient(dx, f, x, dy)


def test_layouts() -> None:
    x = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    assert_layouts(lambda x: ck.ops.dropout(x, 0.5, seed=1), x)
    assert_layouts(lambda x: ck.ops.dropout_backward(x, 0.5, seed=1), x)


X = np.ones(4, np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "rate is 1", lambda: ck.ops.dropout(X, 1, seed=0)),
        (ValueError, "rate is -0.1", lambda: ck.ops.dropout(X, -0.1, seed=0)),
        (ValueError, "rate is nan", lambda: ck.ops.dropout_backward(X, float("nan"), seed=0)),
        (ValueError, "seed is -1", lambda: ck.ops.dropout(X, 0.5, seed=-1)),
        (ValueError, "seed is", lambda: ck.ops.dropout(X, 0.5, seed=1 << 64)),
        (ValueError, "step is -1", lambda: ck.ops.dropout(X, 0.5, seed=0, step=-1)),
        (
            TypeError,
            r"\[dropout\] seed must be an int, got 1.9",
            lambda: ck.ops.dropout(X, 0.5, seed=1.9),
        ),
        (TypeError, "step must be an int", lambda: ck.ops.dropout(X, 0.5, seed=0, step=0.5)),
        (TypeError, "stream must be an int", lambda: ck.ops.dropout(X, 0.5, seed=0, stream=True)),
        (ValueError, "stream is", lambda: ck.ops.dropout(X, 0.5, seed=0, stream=1 << 32)),
        (TypeError, "x has dtype int64", lambda: ck.ops.dropout(np.ones(4, int), 0.5, seed=0)),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
