"""concatenate: every row against the reference, exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.concatenate import OP
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
from ops.numeric import assert_layouts


def concatenate_cases(
    name: str, shape: tuple[int, ...], axis: int, sizes: tuple[int, ...]
) -> list[Case]:
    """Both passes, for arrays of that shape with those lengths along the axis."""
    parts = tuple(Spec((*shape[:axis], n, *shape[axis + 1 :]), FLOAT) for n in sizes)
    infer = OP["forward"].infer
    assert infer is not None
    whole = tuple(infer({"axis": axis}, parts))
    return [
        Case(name, "concatenate", "forward", parts, {"axis": axis}),
        Case(name, "concatenate", "backward", whole, {"axis": axis}, parts),
    ]


SHAPES: dict[str, tuple[tuple[int, ...], int, tuple[int, ...]]] = {
    "size 1": ((1,), 0, (1,)),
    "one array": ((3, 4), 1, (4,)),
    "two vectors": ((1,), 0, (3, 5)),
    "channels": ((2, 5, 4, 1), 3, (3, 17, 1)),
    "rows": ((1, 7), 0, (2, 1, 4)),
    "middle": ((3, 1, 5), 1, (2, 3)),
    "an empty one": ((3, 1), 1, (2, 0, 4)),
    "all empty": ((3, 1), 1, (0, 0)),
    "empty batch": ((0, 1), 1, (2, 3)),
    "many": ((5, 1), 1, tuple(range(1, 20))),
    "8 and 16": ((3, 1, 4), 1, (2, 4)),
    "more than a launch takes": ((3, 1), 1, tuple(range(40))),
    "six axes": ((2, 1, 3, 1, 2, 1), 3, (4, 5)),
}
AWKWARD = [case for name, shape in SHAPES.items() for case in concatenate_cases(name, *shape)]
MEDIUM = concatenate_cases("medium", (64, 14, 14, 1), 3, (32, 17, 64))


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas(), exact=True)


def test_every_row_has_a_case() -> None:
    check_coverage("concatenate", AWKWARD)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=4).map(tuple),
    st.integers(0, 3),
    st.lists(st.integers(0, 6), min_size=1, max_size=5).map(tuple),
)
def test_drawn_shapes(shape: tuple[int, ...], axis: int, sizes: tuple[int, ...]) -> None:
    for case in concatenate_cases(f"{shape} {sizes}", shape, axis % len(shape), sizes):
        check_all_rows(case, exact=True)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize(
    "case", concatenate_cases("small", (4, 1), 1, (2, 3)), ids=lambda case: case.pass_name
)
def test_mutants(case: Case) -> None:
    check_mutants(case)


@pytest.mark.parametrize("axis", [0, 1, -1, -3])
def test_backward_undoes_forward(axis: int) -> None:
    rng = np.random.default_rng(0)
    arrays: list[Array] = [rng.standard_normal((3, 4, 5)) for _ in range(3)]
    y = ck.ops.concatenate(arrays, axis)
    np.testing.assert_array_equal(y, np.concatenate(arrays, axis))
    sizes = [a.shape[axis] for a in arrays]
    for a, b in zip(arrays, ck.ops.concatenate_backward(y, sizes, axis), strict=True):
        np.testing.assert_array_equal(a, b)


def test_numpy_integers() -> None:
    x = np.arange(10.0).reshape(2, 5)
    y = ck.ops.concatenate([x, x], np.int8(1))
    assert y.shape == (2, 10)
    for part in ck.ops.concatenate_backward(y, np.array([5, 5]), np.int64(1)):
        np.testing.assert_array_equal(part, x)


def test_nan_and_inf_are_copied() -> None:
    a, b = np.array([[np.nan, np.inf]]), np.array([[-np.inf, -0.0]])
    y = ck.ops.concatenate([a, b], axis=0)
    assert y.tobytes() == np.concatenate([a, b]).tobytes()


def test_layouts() -> None:
    a, b = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32)
    assert_layouts(lambda a, b: ck.ops.concatenate([a, b]), a, b)
    assert_layouts(lambda dy: ck.ops.concatenate_backward(dy, [3, 5]), a)


A = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "got no arrays", lambda: ck.ops.concatenate([])),
        (ValueError, "x2 has shape .* equal outside axis 1", lambda: ck.ops.concatenate([A, A.T])),
        (ValueError, "x2 has shape", lambda: ck.ops.concatenate([A, A[0]])),
        (ValueError, r"axis 2 is outside -2\.\.1", lambda: ck.ops.concatenate([A, A], 2)),
        (ValueError, "axis 0 is outside", lambda: ck.ops.concatenate([A[0, 0]], 0)),
        (TypeError, "x2 has dtype int64", lambda: ck.ops.concatenate([A, A.astype(int)])),
        (TypeError, "different dtypes", lambda: ck.ops.concatenate([A, A.astype("f8")])),
        (ValueError, "do not add up to 3", lambda: ck.ops.concatenate_backward(A, [1, 1])),
        (ValueError, "do not add up", lambda: ck.ops.concatenate_backward(A, [4, -1])),
        (ValueError, "do not add up", lambda: ck.ops.concatenate_backward(A, [])),
        (ValueError, "axis 5 is outside", lambda: ck.ops.concatenate_backward(A, [3], 5)),
        (TypeError, "axis must be an int, got 1.0", lambda: ck.ops.concatenate([A, A], 1.0)),
        (TypeError, "axis must be an int, got True", lambda: ck.ops.concatenate([A, A], True)),
        (
            TypeError,
            r"\[concatenate\] sizes must be a sequence of ints, got 1.5",
            lambda: ck.ops.concatenate_backward(A, [1.5, 1.5]),
        ),
        (
            ValueError,
            r"\[concatenate\] x2 has 7 dimensions, at most 6 are supported; reshape it",
            lambda: ck.ops.concatenate([A, np.ones((1,) * 7)]),
        ),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()


def test_errors_of_programs() -> None:
    infer = OP["forward"].infer
    assert infer is not None
    with pytest.raises(ValueError, match="got no arrays"):
        infer({"axis": 0}, [])
    with pytest.raises(ValueError, match="axis 3 is outside"):
        infer({"axis": 3}, [Spec((2, 2))])
