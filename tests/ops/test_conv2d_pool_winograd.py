"""conv2d_pool by Winograd's method: tiles that hold whole windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops import registry
from convkit.ops.choosing import choose
from convkit.testing.conv2d_pool_calls import conv2d_pool
from ops.harness import Case, as_case, check_row, check_threads, problem, row_cases, use_isa

NAME = "cpu_winograd"


def cases(*arguments: Any, trivial: bool = False, **options: Any) -> list[Case]:
    """Those of the passes that have the row."""
    found = [as_case(call, trivial=trivial) for call in conv2d_pool(*arguments, **options)]
    return [c for c in found if NAME in names(c)]


def names(case: Case) -> list[str]:
    return [row.name for row in registry.kernels("conv2d_pool", case.pass_name)]


def rows(found: list[Case]) -> list[Any]:
    return [p for p in row_cases(found, ["float32"]) if p.values[0].name == NAME]


def row_of(case: Case) -> Any:
    return registry.kernels("conv2d_pool", case.pass_name)[names(case).index(NAME)]


SHAPES = [
    *cases("primes", (3, 11, 13, 17), (3, 3, 17, 19), padding=1, activation="relu"),
    *cases("primes, 5 x 5", (2, 11, 13, 7), (5, 5, 7, 35), padding=2, activation="relu"),
    *cases("whole tiles", (2, 8, 16, 32), (3, 3, 32, 64), padding=1, activation="relu"),
    *cases("one window", (2, 4, 4, 5), (3, 3, 5, 6)),
    *cases("rest left over", (1, 9, 7, 3), (3, 3, 3, 33), activation="tanh"),
    *cases("uneven padding", (2, 6, 7, 9), (3, 3, 9, 20), padding=((2, 0), (1, 3))),
    *cases("padding over the filter", (1, 3, 4, 2), (3, 3, 2, 3), padding=((5, 4), (3, 6))),
    *cases("groups", (2, 9, 8, 36), (3, 3, 12, 51), groups=3, padding=1, activation="relu"),
    *cases("no bias", (2, 9, 8, 6), (3, 3, 6, 5), bias=False, activation="leaky_relu"),
    *cases("several blocks", (3, 33, 30, 20), (3, 3, 20, 24), padding=1, activation="relu"),
    *cases("chunks of filters", (2, 10, 10, 9), (3, 3, 9, 270), padding=1, activation="elu"),
    *cases("by filters", (5, 12, 14, 144), (3, 3, 144, 144), padding=1, activation="relu"),
    *cases("overlapping", (2, 13, 14, 6), (3, 3, 6, 20), padding=1, size=3, pool_stride=2)[1:],
    *cases("padded windows", (2, 9, 8, 6), (5, 5, 6, 9), padding=2, pool_padding=1)[1:],
    *cases("long row", (1, 4, 470, 2), (3, 3, 2, 3), padding=1, activation="relu"),
]


@pytest.mark.parametrize(("row", "case", "dtype"), rows(SHAPES))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_shape_is_supported() -> None:
    assert len(rows(SHAPES)) == len(SHAPES)


@pytest.mark.parametrize(
    "options",
    [
        {"size": 3, "pool_stride": 2},
        {"size": 2, "pool_stride": 1},
        {"size": (2, 1)},
        {"size": 2, "pool_padding": 1},
        {"stride": 2},
    ],
)
def test_windows_that_leave_their_tile_are_left_to_other_rows(options: dict[str, Any]) -> None:
    found = rows(cases("other", (2, 12, 12, 8), (3, 3, 8, 8), **options))
    assert "forward" not in [p.values[1].pass_name for p in found]


@st.composite
def drawn(draw: st.DrawFn) -> list[Case]:
    groups, r = draw(st.integers(1, 2)), draw(st.sampled_from([3, 5]))
    n, c, k = draw(st.integers(1, 3)), draw(st.integers(1, 20)), draw(st.integers(1, 36))
    h, w = draw(st.integers(1, 13)), draw(st.integers(1, 13))
    pads = [[draw(st.integers(0, r)) for _ in range(2)] for _ in range(2)]
    assume(h + sum(pads[0]) > r and w + sum(pads[1]) > r)
    kind = draw(st.sampled_from(["linear", "relu", "sigmoid"]))
    x, filters = (n, h, w, c * groups), (r, r, c, k * groups)
    options = {"padding": pads, "groups": groups, "activation": kind}
    return cases(f"{x} {filters} {options}", x, filters, trivial=True, **options)


@given(drawn())
def test_drawn_shapes(found: list[Case]) -> None:
    for parameter in rows(found):
        check_row(*parameter.values, isas=_core.available_isas())


@pytest.mark.parametrize(("row", "case", "dtype"), rows(SHAPES[-8:]))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize("kind", ["linear", "relu", "tanh"])
@pytest.mark.parametrize("size", [3, 5])
def test_the_same_bits_as_conv2d_and_pool2d(size: int, kind: str) -> None:
    """Of the same row: winners and all, equal values too."""
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((3, 13, 18, 24)), rng.standard_normal((size, size, 24, 40))
    x, w, b = (a.astype(np.float32) for a in (x, w, rng.standard_normal(40)))
    for isa in _core.available_isas():
        with use_isa(isa):
            options: dict[str, Any] = {"padding": 1, "activation": kind, "kernel": NAME}
            y, winner = ck.ops.conv2d_pool(x, w, b, **options)
            z = ck.ops.conv2d(x, w, b, **options)
            expected = ck.ops.max_pool2d(z)
            assert y.tobytes() == expected[0].tobytes(), isa
            assert winner.tobytes() == expected[1].tobytes(), isa


def test_the_bounds_refuse_wrong_results() -> None:
    for case in cases("wrong", (2, 10, 12, 24), (3, 3, 24, 32), padding=1, activation="relu"):
        p = problem(case, "float32", row_of(case))
        right, tolerance = p.expected[0], p.tolerance[0]
        assert right is not None and tolerance is not None
        for axis in (1, 2, 3):
            wrong = right.copy()
            wrong[(slice(None),) * axis + (-1,)] = 0
            off = np.abs(wrong - right) > tolerance
            assert off.mean() > 0.5 * (wrong != right).mean()
        assert (np.abs(right) > tolerance).mean() > 0.4


@pytest.mark.parametrize("n", [1, 8])
def test_where_it_is_chosen(n: int) -> None:
    for c, k, size in ((64, 64, 112), (256, 256, 28)):
        for case in cases("layer", (n, size, size, c), (3, 3, c, k), padding=1):
            specs = [*case.inputs_at("float32"), *case.out_at("float32")]
            assert choose("conv2d_pool", case.pass_name, specs, case.params).name == NAME
