"""conv2d by Winograd's method: its matrices, its bound, and the shapes that its tiles trip over."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops import registry, winograd
from convkit.ops.choosing import choose
from convkit.ops.registry import Array, Row
from ops.harness import Case, check_row, check_threads, problem, run_row
from ops.test_conv2d import conv_cases

HEADER = Path(__file__).parents[2] / "csrc/ops/conv2d/conv2d_winograd_matrices.h"
PASSES = ("forward", "backward_input")
SIZES = [(4, 3), (3, 4), (2, 5), (5, 2)]


def row_of(case: Case) -> Row:
    rows = registry.kernels("conv2d", case.pass_name)
    return next(row for row in rows if row.name == "cpu_winograd")


def cases_of(*arguments: Any, **options: Any) -> list[Case]:
    return [c for c in conv_cases(*arguments, **options) if c.pass_name in PASSES]


def supported(case: Case) -> bool:
    specs = [*case.inputs_at("float32"), *case.out_at("float32")]
    return row_of(case).supports(specs, case.params)


def chosen(case: Case, dtype: str = "float32") -> str:
    specs = [*case.inputs_at(dtype), *case.out_at(dtype)]
    return choose("conv2d", case.pass_name, specs, case.params).name


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_the_matrices_make_a_correlation(m: int, r: int) -> None:
    """Exactly, for every pair of a value and a tap: it is bilinear."""
    at, g, bt = winograd.exact_matrices(m, r)
    for i in range(m):
        for tap in range(r):
            for value in range(6):
                found = sum((at[i][k] * g[k][tap] * bt[k][value] for k in range(6)), Fraction(0))
                assert found == (value == i + tap)


def test_the_kernels_have_the_same_points() -> None:
    found = dict(re.findall(r"(kWinograd[AB]) = ([\d.]+)", HEADER.read_text()))
    assert {name: Fraction(value) for name, value in found.items()} == {
        "kWinogradA": winograd.A,
        "kWinogradB": winograd.B,
    }


@pytest.mark.parametrize(("m", "r"), SIZES)
def test_coefficients_are_exact_but_for_the_divisors(m: int, r: int) -> None:
    """As the error bound counts on."""
    at, g, bt = winograd.exact_matrices(m, r)
    divisors = winograd.exact_matrices(6, 1)[1]
    powers = [[a / f[0] for a in row] for row, f in zip(g[:-1], divisors, strict=False)]
    for a in (a for rows in (at, bt, powers) for row in rows for a in row):
        assert Fraction(float(np.float32(float(a)))) == a


@pytest.mark.parametrize(("m", "r"), [(4, 4), (6, 1), (1, 6)])
def test_other_numbers_of_points_are_refused(m: int, r: int) -> None:
    with pytest.raises(ValueError, match=f"got {m} and {r}"):
        winograd.matrices(m, r)


Shapes = dict[str, tuple[tuple[int, int, int, int], tuple[int, int, int, int], dict[str, Any]]]

# Of x and w, and options: what tiles trip over in any pass.
TILES: Shapes = {
    "one pixel": ((1, 3, 3, 1), (3, 3, 1, 1), {}),
    "one pixel, 5 x 5": ((2, 5, 5, 3), (5, 5, 3, 2), {}),
    "smaller than a tile": ((2, 2, 3, 5), (3, 3, 5, 7), {"padding": 1}),
    "primes": ((3, 11, 13, 17), (3, 3, 17, 19), {"padding": 1}),
    "primes, 5 x 5": ((3, 11, 13, 17), (5, 5, 17, 19), {"padding": 2}),
    "whole tiles": ((1, 8, 12, 32), (3, 3, 32, 64), {"padding": 1}),
    "no padding, whole tiles": ((1, 10, 6, 16), (3, 3, 16, 48), {}),
    "uneven padding": ((2, 6, 7, 9), (3, 3, 9, 20), {"padding": ((2, 0), (1, 3))}),
    "padding over the filter": ((1, 3, 4, 2), (3, 3, 2, 3), {"padding": ((5, 4), (3, 6))}),
    "padding over the filter, 5 x 5": ((2, 7, 6, 3), (5, 5, 3, 4), {"padding": ((7, 0), (1, 9))}),
    "groups": ((2, 9, 7, 36), (3, 3, 12, 51), {"groups": 3, "padding": 1}),
    "groups, 5 x 5": ((1, 7, 9, 34), (5, 5, 17, 36), {"groups": 2, "padding": 2}),
    "groups of one": ((1, 9, 6, 5), (3, 3, 1, 5), {"groups": 5, "padding": 1}),
    "long row": ((1, 3, 470, 2), (3, 3, 2, 3), {"padding": 1}),
    "several blocks": ((3, 33, 30, 20), (3, 3, 20, 24), {"padding": 1}),
    "several blocks, groups": ((2, 30, 30, 8), (3, 3, 4, 6), {"groups": 2}),
}
SHAPES: Shapes = {
    **TILES,
    "several chunks of filters": ((2, 9, 9, 9), (3, 3, 9, 270), {"padding": 1}),
    "chunks, groups and blocks": ((2, 21, 23, 48), (3, 3, 24, 288), {"groups": 2, "padding": 1}),
    "empty batch": ((0, 5, 5, 4), (3, 3, 4, 4), {"padding": 1}),
}
AWKWARD = [
    case for name, (x, w, options) in SHAPES.items() for case in cases_of(name, x, w, **options)
]


@pytest.mark.parametrize("case", [c for c in AWKWARD if "empty" not in c.name], ids=str)
def test_shapes(case: Case) -> None:
    check_row(row_of(case), case, isas=_core.available_isas())


@pytest.mark.parametrize(
    ("x", "w", "options"),
    [
        ((0, 5, 5, 4), (3, 3, 4, 4), {}),
        ((1, 9, 9, 4), (3, 5, 4, 4), {}),
        ((1, 9, 9, 4), (4, 4, 4, 4), {}),
        ((1, 9, 9, 4), (3, 3, 4, 4), {"stride": 2}),
        ((1, 9, 9, 4), (3, 3, 4, 4), {"dilation": 2}),
        ((1, 9, 9, 2000), (3, 3, 2000, 2000), {}),
    ],
)
def test_what_is_left_to_other_rows(x: Any, w: Any, options: dict[str, Any]) -> None:
    assert not any(supported(case) for case in cases_of("other", x, w, **options))


@st.composite
def drawn(draw: st.DrawFn) -> list[Case]:
    groups, r = draw(st.integers(1, 3)), draw(st.sampled_from([3, 5]))
    n, c, k = draw(st.integers(1, 3)), draw(st.integers(1, 20)), draw(st.integers(1, 36))
    h, w = draw(st.integers(1, 15)), draw(st.integers(1, 15))
    pads = [[draw(st.integers(0, 6)) for _ in range(2)] for _ in range(2)]
    assume(h + sum(pads[0]) >= r and w + sum(pads[1]) >= r)
    options = {"padding": pads, "groups": groups}
    x, filters = (n, h, w, c * groups), (r, r, c, k * groups)
    return cases_of(f"{x} {filters} {options}", x, filters, **options)


@given(drawn())
def test_drawn_shapes(cases: list[Case]) -> None:
    for case in cases:
        check_row(row_of(case), case, isas=_core.available_isas())


@pytest.mark.parametrize(
    "case",
    [
        *cases_of("blocks", (4, 30, 30, 24), (3, 3, 24, 40), padding=1),
        *cases_of("blocks, 5 x 5", (4, 15, 16, 24), (5, 5, 24, 40), padding=2),
        *cases_of("by filters", (5, 14, 14, 144), (3, 3, 144, 144), padding=1),
        *cases_of("by filters, groups", (2, 21, 23, 48), (3, 3, 24, 288), padding=1, groups=2),
    ],
    ids=str,
)
def test_threads(case: Case) -> None:
    check_threads(row_of(case), case)


@pytest.mark.parametrize("kind", ["relu", "tanh", "leaky_relu"])
def test_activations(kind: str) -> None:
    (case, _) = cases_of("activated", (2, 9, 7, 8), (3, 3, 8, 19), padding=1, activation=kind)
    check_row(row_of(case), case, isas=_core.available_isas())


@pytest.mark.parametrize("kind", ["relu", "tanh"])
def test_through_an_activation(kind: str) -> None:
    rng = np.random.default_rng(0)
    dy, w, x = (
        rng.standard_normal(s).astype(np.float32)
        for s in ((2, 9, 7, 19), (3, 3, 8, 19), (2, 9, 7, 8))
    )
    found, expected = (
        ck.ops.conv2d_backward_input(
            dy, w, x.shape, padding=1, x=np.tanh(x), through=kind, kernel=k
        )
        for k in ("cpu_winograd", "cpu_naive")
    )
    assert np.abs(found - expected).max() < 1e-4 < np.abs(expected).max()


def wrong(case: Case, right: Array) -> dict[str, Array]:
    """Results that the bound has to refuse."""
    last_row, last_column, last_filter = right.copy(), right.copy(), right.copy()
    last_row[:, -1], last_column[:, :, -1], last_filter[..., -1] = 0, 0, 0
    tap = [None if a is None else a.astype(np.float64) for a in case.arrays("float32")]
    assert tap[1] is not None
    tap[1][-1, -1] = 0
    rule = registry.get("conv2d")[case.pass_name]
    missing = rule.reference(registry.Context(case.params, case.out_at("float32")), *tap)[0]
    assert missing is not None
    shifted = np.roll(right, 1, axis=2)
    return {
        "zeros": np.zeros_like(right),
        "last row": last_row,
        "last column": last_column,
        "last filter": last_filter,
        "missing tap": missing,
        "shifted": shifted,
    }


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("channels", [8, 128])
def test_the_bound_refuses_wrong_results(size: int, channels: int) -> None:
    w = (size, size, channels, channels)
    for case in cases_of("wrong", (1, 9, 11, channels), w, padding=size // 2, bias=False):
        p = problem(case, "float32", row_of(case))
        right, tolerance = p.expected[0], p.tolerance[0]
        assert right is not None and tolerance is not None
        for name, result in wrong(case, right).items():
            off = np.abs(result - right) > tolerance
            assert off.mean() > 0.5 * (result != right).mean(), name


def test_the_bound_is_worst_case_but_not_far_from_it() -> None:
    """A result is off by 1 to 50 % of its bound where the signs are those of the worst case."""
    (case, _) = cases_of("few", (4, 21, 21, 1), (3, 3, 1, 16))
    p = problem(case, "float32", row_of(case))
    y = run_row(row_of(case), p)[0]
    assert y is not None and p.expected[0] is not None and p.tolerance[0] is not None
    units = np.abs(y - p.expected[0]) / p.tolerance[0]
    assert 0.005 < units.max() < 0.5


@pytest.mark.parametrize("pass_name", PASSES)
def test_nan_reaches_whole_tiles_and_no_others(pass_name: str) -> None:
    x, w = np.ones((1, 12, 12, 32), np.float32), np.ones((3, 3, 32, 32), np.float32)
    x[0, 6, 6, 5] = np.nan
    run = ck.ops.conv2d if pass_name == "forward" else ck.ops.conv2d_backward_input
    shape = () if pass_name == "forward" else (x.shape,)
    bad = np.isnan(run(x, w, *shape, padding=1, kernel="cpu_winograd")[0, :, :, 0])
    literal = np.isnan(run(x, w, *shape, padding=1, kernel="cpu_naive")[0, :, :, 0])
    assert (bad >= literal).all()
    tiles = bad.reshape(3, 4, 3, 4).transpose(0, 2, 1, 3).reshape(9, 16)
    assert [t.all() for t in tiles] == [t.any() for t in tiles] == [i == 4 for i in range(9)]


@pytest.mark.parametrize(
    ("layer", "x", "w"),
    [
        ("VGG16 conv1_2", (1, 224, 224, 64), (3, 3, 64, 64)),
        ("VGG16 conv4_2", (8, 28, 28, 512), (3, 3, 512, 512)),
        ("VGG16 conv5_2", (8, 14, 14, 512), (3, 3, 512, 512)),
        ("AlexNet conv2", (32, 27, 27, 64), (5, 5, 64, 192)),
        ("AlexNet conv3", (32, 13, 13, 192), (3, 3, 192, 384)),
    ],
)
def test_where_it_is_chosen(layer: str, x: Any, w: Any) -> None:
    for case in cases_of(layer, x, w, padding="same"):
        assert chosen(case) == "cpu_winograd"
        assert chosen(case, "float64") == "cpu_implicit_gemm"


@pytest.mark.parametrize(
    ("layer", "x", "w"),
    [
        ("few channels", (8, 56, 56, 3), (3, 3, 3, 64)),
        ("few filters", (8, 56, 56, 64), (3, 3, 64, 8)),
        ("few tiles, large filters", (1, 7, 7, 512), (3, 3, 512, 512)),
        ("one pixel", (64, 1, 1, 64), (3, 3, 64, 64)),
    ],
)
def test_where_it_is_not_chosen(layer: str, x: Any, w: Any) -> None:
    for case in cases_of(layer, x, w, padding="same"):
        assert supported(case) and chosen(case) == "cpu_implicit_gemm"
