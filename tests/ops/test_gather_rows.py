"""gather_rows: every row against the reference, for every pair of dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.gather_rows import SOURCES
from convkit.ops.registry import Array, Spec, Step
from ops.harness import (
    Case,
    check_all_rows,
    check_mutants,
    check_row,
    check_threads,
    row_cases,
)
from ops.numeric import assert_layouts

FLOAT_TARGETS = ("float32", "float64")


def gather_cases(
    name: str,
    shape: tuple[int, ...],
    count: int,
    *,
    source: str = "float32",
    target: str = "float32",
    length: int | None = None,
    sample: int = 0,
    scale: float = 1.0,
    offset: float = 0.0,
) -> list[Case]:
    """Rows of a source of that shape, by an index of `length`, or in order."""

    def fill(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
        if source.startswith("float"):
            data: Array = rng.standard_normal(shape)
        else:
            data = rng.integers(0, 256, shape)
            if source == "int32":  # more bits than float32 holds
                data = data * 60_013 - 7_000_000
            if source == "int64" and target != "int32":
                data = data * 10_000_000_019 - 7
        index = None if length is None else rng.integers(0, shape[0], length)
        return [data, index]

    specs = (Spec(shape, source), None if length is None else Spec((length,), "int64"))
    params = {"scale": scale, "offset": offset}
    out = (Spec((count, *shape[1:]), target),)
    name = f"{name} {source} to {target}"
    return [
        Case(name, "gather_rows", "forward", specs, params, out, Step(sample=sample), fill=fill)
    ]


DTYPES = [
    case
    for source in SOURCES
    for target in FLOAT_TARGETS
    for scale, offset in ((1.0, 0.0), (1 / 255, -0.5), (1.0, 0.1), (3.0, 0.0))
    for case in gather_cases(
        f"{scale:.3f} {offset}",
        (11, 5, 3),
        7,
        source=source,
        target=target,
        length=20,
        sample=4,
        scale=scale,
        offset=offset,
    )
]
LABELS = [
    case
    for source in ("uint8", "int32", "int64")
    for case in gather_cases("labels", (19,), 8, source=source, target="int32", length=30)
]
SHAPES: dict[str, tuple[tuple[int, ...], int, dict[str, Any]]] = {
    "one value": ((1,), 1, {}),
    "one row of one": ((1, 1), 1, {"length": 1}),
    "in order": ((13, 7), 13, {}),
    "in order from the middle": ((13, 7), 4, {"sample": 9}),
    "last of the index": ((13, 7), 3, {"length": 10, "sample": 7}),
    "more rows than the source has": ((3, 5), 40, {"length": 40}),
    "nothing": ((5, 3), 0, {"length": 4}),
    "empty source": ((0, 3), 0, {}),
    "empty rows": ((5, 0), 5, {}),
    "images": ((6, 28, 28, 1), 4, {"length": 6}),
    "long rows": ((3, 40_000), 2, {"length": 3}),
}
AWKWARD = [
    case
    for name, (shape, count, options) in SHAPES.items()
    for source in ("float32", "uint8")
    for case in gather_cases(name, shape, count, source=source, **options)
]
# The dtypes of a case are its own: the working dtype, whose roundings count, is that of y.
FLOAT32 = [c for c in [*DTYPES, *LABELS, *AWKWARD] if c.out and c.out[0].dtype != "float64"]
FLOAT64 = [c for c in DTYPES if c.out and c.out[0].dtype == "float64"]
ALL = [*row_cases(FLOAT32, ["float32"]), *row_cases(FLOAT64, ["float64"])]
MEDIUM = gather_cases("medium", (50, 28, 28), 128, source="uint8", length=300, scale=1 / 255)


@pytest.mark.parametrize(("row", "case", "dtype"), ALL)
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    covered = {(p.values[0], p.values[1].specs[0].dtype) for p in ALL}
    for row in ck.ops.kernels("gather_rows"):
        assert {(row, dtype) for dtype in row.dtypes} <= covered
        assert set(row.dtypes) == set(SOURCES)


@given(
    st.sampled_from(SOURCES),
    st.sampled_from(FLOAT_TARGETS),
    st.tuples(st.integers(1, 9), st.integers(0, 40)),
    st.integers(0, 20),
    st.integers(0, 5),
    st.sampled_from([(1.0, 0.0), (0.1, 0.0), (1.0, -3.0), (1 / 127.5, -1.0)]),
)
def test_drawn_shapes(
    source: str,
    target: str,
    shape: tuple[int, int],
    count: int,
    sample: int,
    factors: tuple[float, float],
) -> None:
    scale, offset = factors
    numbers = {"length": count + sample + 2, "sample": sample, "scale": scale, "offset": offset}
    for case in gather_cases("drawn", shape, count, source=source, target=target, **numbers):
        check_all_rows(case, [target])


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, ["float32"], native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


def test_mutants() -> None:
    for case in gather_cases("small", (5, 3), 4, length=6, scale=2.0):
        check_mutants(case)


def test_copies_are_exact_and_nan_stays() -> None:
    source = np.array([[1.5, np.nan], [np.inf, -0.0], [1e-30, 3.4e38]], np.float32)
    for row in ck.ops.kernels("gather_rows"):
        y = ck.ops.gather_rows(source, [2, 0, 1], kernel=row.name)
        np.testing.assert_array_equal(y, source[[2, 0, 1]])


def test_defaults() -> None:
    source = np.arange(12, dtype=np.uint8).reshape(6, 2)
    np.testing.assert_array_equal(ck.ops.gather_rows(source), source)
    np.testing.assert_array_equal(ck.ops.gather_rows(source, sample=4), source[4:])
    np.testing.assert_array_equal(ck.ops.gather_rows(source, [3, 1, 2], sample=1), source[[1, 2]])
    np.testing.assert_array_equal(ck.ops.gather_rows(source, [], count=0), source[:0])
    labels = ck.ops.gather_rows(np.array([7, 8, 9]), [2, 0], dtype="int32")
    assert labels.dtype == np.int32 and labels.tolist() == [9, 7]


def test_layouts() -> None:
    source = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    assert_layouts(lambda s, i: ck.ops.gather_rows(s, i), source, np.array([4, 0, 2]))


S = np.ones((5, 3), np.float32)
G = ck.ops.gather_rows


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (IndexError, r"index\[1\] is 5, expected 0 <= index < 5", lambda: G(S, [0, 5])),
        (IndexError, r"index\[2\] is -1", lambda: G(S, [0, 1, -1])),
        (IndexError, "rows 3 to 6 are outside the 5", lambda: G(S, sample=3, count=3)),
        (IndexError, "rows 6 to 6 are outside", lambda: G(S, sample=6)),
        (IndexError, "rows -1 to", lambda: G(S, sample=-1)),
        (TypeError, "index has dtype float64", lambda: G(S, [0.0])),
        (TypeError, r"\[gather_rows\] sample must be an int, got 1.5", lambda: G(S, sample=1.5)),
        (TypeError, "count must be an int, got 2.0", lambda: G(S, count=2.0)),
        (TypeError, "count must be an int, got True", lambda: G(S, count=True)),
        (ValueError, "expected one axis", lambda: G(S, [[0]])),
        (ValueError, "source has no axes", lambda: G(S[0, 0])),
        (TypeError, "source has dtype int16", lambda: G(S.astype(np.int16))),
        (TypeError, "dtype is int64", lambda: G(S, dtype="int64")),
        (TypeError, "int32 rows need an integer source", lambda: G(S, dtype="int32")),
        (ValueError, "are not scaled", lambda: G([1, 2], dtype="int32", scale=2.0)),
        (ValueError, "do not fit into int32", lambda: G([1, 1 << 31], dtype="int32")),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
