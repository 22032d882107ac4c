"""gradient_scale: every row against the reference; a value as it is, its gradient scaled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.testing.transfer_calls import SCALE_SHAPES, gradient_scale
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
from ops.numeric import assert_layouts


def cases(name: str, shape: tuple[int, ...], factor: float = -0.3) -> list[Case]:
    trivial = not np.prod(shape) or not factor
    return [as_case(call, trivial=trivial) for call in gradient_scale(name, shape, factor)]


AWKWARD = [case for name, shape in SCALE_SHAPES.items() for case in cases(name, shape)]
AWKWARD += cases("no gradient", (5,), 0.0)[1:]
MEDIUM = cases("medium", (100_003,))


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("gradient_scale", AWKWARD)


@given(st.lists(st.integers(0, 9), max_size=4).map(tuple), st.floats(-2, 2, width=32))
def test_drawn_shapes(shape: tuple[int, ...], factor: float) -> None:
    for case in cases(str(shape), shape, 1.0 if abs(factor) < 1e-3 else factor):
        check_all_rows(case)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads_and_in_place(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)
    check_inplace(row, case, dtype)


@pytest.mark.parametrize("which", range(2))
def test_mutants(which: int) -> None:
    check_mutants(cases("small", (4, 3))[which])


@pytest.mark.parametrize("step", [0, 1, 50, 100, 10**9])
def test_the_factor_rises_with_the_steps(step: int) -> None:
    """Ganin et al. 2016, section 5.2.2; after the ramp it stays."""
    dy = np.array([1.0, -2.0, 3.0], np.float32)
    rise = 2 / (1 + np.exp(-10 * min(step / 100, 1))) - 1
    for kernel in ("cpu_simd", "cpu_naive", "reference"):
        dx = ck.ops.gradient_scale_backward(dy, -0.5, ramp=100, step=step, kernel=kernel)
        np.testing.assert_allclose(dx, -0.5 * rise * dy, rtol=1e-6)


def test_in_numbers() -> None:
    dy = np.array([1.0, -2.0, 0.0])
    np.testing.assert_array_equal(ck.ops.gradient_scale_backward(dy, -0.5), [-0.5, 1.0, 0.0])
    assert_layouts(lambda a: ck.ops.gradient_scale_backward(a, 3.0), np.ones((5, 8), np.float32))


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "factor is nan", lambda: ck.ops.gradient_scale_backward(np.ones(3), np.nan)),
        (ValueError, "ramp is -1", lambda: ck.ops.gradient_scale_backward(np.ones(3), 1, ramp=-1)),
        (
            TypeError,
            "dy has dtype int64",
            lambda: ck.ops.gradient_scale_backward(np.ones(3, int), 1),
        ),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
