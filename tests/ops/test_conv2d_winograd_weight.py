"""The weight gradient of conv2d by Winograd's method: its tiles, its bound, its blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops import choosing, registry
from convkit.ops.registry import Array, Row
from ops.harness import Case, check_row, check_threads, problem, run_row
from ops.test_conv2d import conv_cases
from ops.test_conv2d_pool import cases as pool_cases
from ops.test_conv2d_winograd import TILES, Shapes


def case_of(*arguments: Any, **options: Any) -> Case:
    return next(c for c in conv_cases(*arguments, **options) if c.pass_name == "backward_weight")


def row_of(op: str = "conv2d") -> Row:
    return next(r for r in registry.kernels(op, "backward_weight") if r.name == "cpu_winograd")


def supported(case: Case, dtype: str = "float32") -> bool:
    return row_of().supports([*case.inputs_at(dtype), *case.out_at(dtype)], case.params)


def chosen(case: Case, dtype: str = "float32") -> str:
    specs = [*case.inputs_at(dtype), *case.out_at(dtype)]
    return choosing.choose("conv2d", case.pass_name, specs, case.params).name


SHAPES: Shapes = {
    **TILES,
    "blocks of channels": ((2, 9, 9, 131), (3, 3, 131, 20), {"padding": 1}),
    "blocks of filters": ((2, 9, 9, 10), (5, 5, 10, 149), {"padding": 2}),
    "blocks of both, groups": ((2, 9, 9, 140), (3, 3, 70, 150), {"padding": 1, "groups": 2}),
    "17 blocks": ((1, 6, 6, 3), (3, 3, 3, 1080), {"padding": 1}),
}
AWKWARD = [case_of(name, x, w, **options) for name, (x, w, options) in SHAPES.items()]
NO_BIAS = case_of("no bias", (2, 9, 7, 5), (3, 3, 5, 9), bias=False, padding=1)


@pytest.mark.parametrize("case", [*AWKWARD, NO_BIAS], ids=str)
def test_shapes(case: Case) -> None:
    check_row(row_of(), case, isas=_core.available_isas())


@pytest.mark.parametrize(
    ("x", "w", "options"),
    [
        ((0, 9, 9, 4), (3, 3, 4, 4), {}),
        ((1, 9, 9, 4), (3, 5, 4, 4), {}),
        ((1, 9, 9, 4), (4, 4, 4, 4), {}),
        ((1, 9, 9, 4), (7, 7, 4, 4), {}),
        ((1, 9, 9, 4), (3, 3, 4, 4), {"stride": (1, 2)}),
        ((1, 9, 9, 4), (3, 3, 4, 4), {"stride": (2, 1)}),
        ((1, 9, 9, 4), (3, 3, 4, 4), {"dilation": (1, 2)}),
        ((1, 9, 9, 4), (3, 3, 4, 4), {"dilation": (2, 1)}),
    ],
)
def test_what_is_left_to_other_rows(x: Any, w: Any, options: dict[str, Any]) -> None:
    assert not supported(case_of("other", x, w, **options))


def test_float64_is_left_to_other_rows() -> None:
    assert supported(NO_BIAS) and not supported(NO_BIAS, "float64")


@st.composite
def drawn(draw: st.DrawFn) -> Case:
    groups, r = draw(st.integers(1, 3)), draw(st.sampled_from([3, 5]))
    n, c, k = draw(st.integers(1, 3)), draw(st.integers(1, 20)), draw(st.integers(1, 36))
    h, w = draw(st.integers(1, 15)), draw(st.integers(1, 15))
    pads = [[draw(st.integers(0, 6)) for _ in range(2)] for _ in range(2)]
    assume(h + sum(pads[0]) >= r and w + sum(pads[1]) >= r)
    options = {"padding": pads, "groups": groups}
    x, filters = (n, h, w, c * groups), (r, r, c, k * groups)
    return case_of(f"{x} {filters} {options}", x, filters, **options)


@given(drawn())
def test_drawn_shapes(case: Case) -> None:
    check_row(row_of(), case, isas=_core.available_isas())


@pytest.mark.parametrize(
    "case",
    [
        case_of("parts", (4, 30, 30, 24), (3, 3, 24, 40), padding=1),
        case_of("parts, 5 x 5", (4, 15, 16, 24), (5, 5, 24, 40), padding=2),
        case_of("blocks", (5, 14, 14, 160), (3, 3, 160, 288), padding=1),
        case_of("blocks and parts, groups", (3, 9, 9, 200), (3, 3, 100, 120), padding=1, groups=2),
    ],
    ids=str,
)
def test_threads(case: Case) -> None:
    check_threads(row_of(), case)


def pooled(*arguments: Any, **options: Any) -> Case:
    return next(c for c in pool_cases(*arguments, **options) if c.pass_name == "backward_weight")


# Rows of tiles that end with a step and within one; windows that reach over tiles and over each
# other; blocks of filters.
POOLED = [
    pooled("2 x 2", (3, 26, 22, 20), (3, 3, 20, 40), padding=1, activation="relu"),
    pooled("2 x 2, odd", (2, 11, 13, 17), (3, 3, 17, 19), padding=1, activation="tanh"),
    pooled("2 x 2, 5 x 5", (2, 12, 9, 7), (5, 5, 7, 20), padding=2),
    pooled("3 x 3, overlapping", (2, 13, 13, 9), (3, 3, 9, 20), padding=1, size=3, pool_stride=2),
    pooled("blocks, groups", (2, 10, 10, 140), (3, 3, 70, 150), padding=1, groups=2),
    pooled("long row", (1, 4, 300, 3), (3, 3, 3, 5), padding=1, bias=False),
]


@pytest.mark.parametrize("case", POOLED, ids=str)
def test_pooled_shapes(case: Case) -> None:
    check_row(row_of("conv2d_pool"), case, isas=_core.available_isas())


@pytest.mark.parametrize("case", [POOLED[0], POOLED[4]], ids=str)
def test_pooled_threads(case: Case) -> None:
    check_threads(row_of("conv2d_pool"), case)


def wrong(case: Case) -> dict[str, Array]:
    """Values of dw that the bound has to refuse: of kernels that forget a part of their work."""
    rule = registry.get("conv2d")[case.pass_name]
    dy, x = (a.astype(np.float64) for a in case.arrays("float32") if a is not None)

    def of(dy: Array, x: Array) -> Array:
        context = registry.Context(case.params, case.out_at("float32"))
        found = rule.reference(context, dy, x)[0]
        assert found is not None
        return found

    right, results = of(dy, x), {}
    for name, at in (("row", (slice(None), -1)), ("column", (slice(None), slice(None), -1))):
        less = dy.copy()
        less[at] = 0
        results[f"last {name} of dy"] = of(less, x)
        less = x.copy()
        less[at] = 0
        results[f"last {name} of x"] = of(dy, less)
    less = dy.copy()
    less[-1] = 0
    results["last image"] = of(less, x)
    tap, channel, filters = right.copy(), right.copy(), right.copy()
    tap[-1, -1], channel[:, :, -1], filters[..., -1] = 0, 0, 0
    results |= {"last tap": tap, "last channel": channel, "last filter": filters}
    results |= {"zeros": np.zeros_like(right), "flipped": right[::-1, ::-1]}
    return results


@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("images", [2, 16])
def test_the_bound_refuses_wrong_results(size: int, images: int) -> None:
    case = case_of("wrong", (images, 13, 15, 20), (size, size, 20, 24), padding=size // 2)
    p = problem(case, "float32", row_of())
    right, tolerance = p.expected[0], p.tolerance[0]
    assert right is not None and tolerance is not None
    for name, result in wrong(case).items():
        differs = np.abs(result - right) > 1e-9
        assert differs.any(), name
        assert (np.abs(result - right) > tolerance).sum() > 0.9 * differs.sum(), name


def test_the_bound_is_of_the_size_of_the_error() -> None:
    """Of few terms, whose errors can hardly cancel, one is off by more than 1 % of its bound."""
    case = case_of("few", (1, 5, 5, 40), (3, 3, 40, 40), padding=1)
    p = problem(case, "float32", row_of())
    y = run_row(row_of(), p)[0]
    assert y is not None and p.expected[0] is not None and p.tolerance[0] is not None
    assert 0.01 < (np.abs(y - p.expected[0]) / p.tolerance[0]).max() < 0.5


@pytest.mark.parametrize("images", [1, 16])
def test_the_error_is_a_few_times_that_of_the_definition(images: int) -> None:
    """In float32, root of the mean square over dw: whatever the length of the sums, 3 times."""
    rng = np.random.default_rng(3)
    x = np.maximum(rng.standard_normal((images, 32, 32, 16)), 0).astype(np.float32)
    dy, w = rng.standard_normal(x.shape).astype(np.float32), (3, 3, 16, 16)
    exact = ck.ops.conv2d_backward_weight(
        dy.astype(np.float64), x.astype(np.float64), w, padding=1, kernel="reference"
    )[0]

    def error(kernel: str) -> float:
        found = ck.ops.conv2d_backward_weight(dy, x, w, padding=1, kernel=kernel)[0]
        return float(np.sqrt(np.mean((found - exact) ** 2)))

    assert error("cpu_winograd") < 5 * error("cpu_implicit_gemm")


def test_nan_is_not_lost() -> None:
    dy, x = np.ones((1, 12, 12, 32), np.float32), np.ones((1, 12, 12, 32), np.float32)
    dy[0, 6, 6, 5] = np.nan
    dw, db = ck.ops.conv2d_backward_weight(dy, x, (3, 3, 32, 32), padding=1, kernel="cpu_winograd")
    spoilt = np.arange(32) == 5
    assert (np.isnan(dw) == spoilt).all() and (np.isnan(db) == spoilt).all()


@pytest.mark.parametrize(
    ("layer", "x", "w"),
    [
        ("VGG16 conv1_2", (1, 224, 224, 64), (3, 3, 64, 64)),
        ("VGG16 conv4_2", (8, 28, 28, 512), (3, 3, 512, 512)),
        ("VGG16 conv5_2", (8, 14, 14, 512), (3, 3, 512, 512)),
        ("AlexNet conv2", (32, 27, 27, 64), (5, 5, 64, 192)),
        ("AlexNet conv3", (32, 13, 13, 192), (3, 3, 192, 384)),
        ("few tiles", (1, 4, 4, 32), (3, 3, 32, 32)),
    ],
)
def test_where_it_is_chosen(layer: str, x: Any, w: Any) -> None:
    case = case_of(layer, x, w, padding="same")
    assert chosen(case) == "cpu_winograd"
    assert chosen(case, "float64") == "cpu_implicit_gemm"


@pytest.mark.parametrize(
    ("layer", "x", "w", "options"),
    [
        ("few channels", (8, 56, 56, 3), (3, 3, 3, 64), {}),
        ("few filters", (8, 56, 56, 64), (3, 3, 64, 8), {}),
        ("few in a group", (8, 56, 56, 64), (3, 3, 8, 64), {"groups": 8}),
        ("idle pixels in the tiles", (64, 2, 2, 64), (3, 3, 64, 64), {}),
    ],
)
def test_where_it_is_not_chosen(layer: str, x: Any, w: Any, options: dict[str, Any]) -> None:
    case = case_of(layer, x, w, padding="same", **options)
    assert supported(case) and chosen(case) == "cpu_implicit_gemm"
