"""conv2d: every row against the reference, on real layers and on awkward shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops import registry
from convkit.ops.activation import KINDS
from convkit.ops.conv2d import OP, conv2d_params
from convkit.ops.registry import Array, Spec
from ops.cases import CONV_LAYERS, Conv
from ops.harness import (
    FLOAT,
    Case,
    Fill,
    check_all_rows,
    check_coverage,
    check_mutants,
    check_row,
    check_threads,
    integers,
    normal,
    row_cases,
)
from ops.numeric import assert_gradient, assert_layouts, each_row


def conv_cases(
    name: str,
    x: tuple[int, int, int, int],
    w: tuple[int, int, int, int],
    bias: bool = True,
    fill: Fill = normal,
    **arguments: Any,
) -> list[Case]:
    """The three passes of a convolution of x (N, H, W, C) with w (KH, KW, C/groups, K)."""
    params = conv2d_params(x, w, **arguments)
    b = Spec(w[3:], FLOAT) if bias else None
    xs, ws = Spec(x, FLOAT), Spec(w, FLOAT)
    forward = OP["forward"].infer
    assert forward is not None
    (y,) = forward(params, [xs, ws, None])
    return [
        Case(name, "conv2d", "forward", (xs, ws, b), params, fill=fill),
        Case(name, "conv2d", "backward_input", (y, ws, None), params, (xs,), fill=fill),
        Case(name, "conv2d", "backward_weight", (y, xs), params, (ws, b), fill=fill),
    ]


def layer_cases(layer: Conv, n: int = 1) -> list[Case]:
    x = (n, layer.h, layer.w, layer.c)
    options = {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
    return conv_cases(layer.name, x, layer.w_shape, **options)


# Small images of the real layers: their channels, filters and strides are what kernels trip over.
# Layers that become equal are tested once.
SCALED = {layer.scaled(6_000_000)[1:]: layer.scaled(6_000_000) for layer in CONV_LAYERS[::-1]}
NAMED = [case for layer in SCALED.values() for case in layer_cases(layer)]
FULL = [case for layer in CONV_LAYERS for case in layer_cases(layer)]

SHAPES: dict[str, tuple[tuple[int, int, int, int], tuple[int, int, int, int], dict[str, Any]]] = {
    "size 1": ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    "primes": ((3, 11, 13, 7), (3, 5, 7, 5), {"padding": (1, 2)}),
    "large primes": ((2, 23, 7, 17), (7, 3, 17, 19), {"stride": (3, 2), "padding": 3}),
    "stride over filter": ((2, 10, 11, 3), (1, 2, 3, 4), {"stride": (3, 4)}),
    "filter as large as the image": ((2, 5, 6, 3), (5, 6, 3, 8), {}),
    "1 x 1": ((2, 7, 9, 33), (1, 1, 33, 17), {}),
    "1 x 1, stride 2": ((2, 8, 9, 16), (1, 1, 16, 32), {"stride": 2}),
    "row filter": ((1, 6, 20, 5), (1, 7, 5, 9), {}),
    "column filter": ((1, 20, 1, 5), (7, 1, 5, 9), {}),
    "dilation": ((2, 12, 11, 4), (3, 3, 4, 6), {"dilation": 2, "padding": 2}),
    "two dilations, stride": (
        (1, 15, 17, 3),
        (3, 2, 3, 5),
        {"dilation": (2, 3), "stride": (2, 3), "padding": (3, 1)},
    ),
    "groups": ((2, 8, 7, 12), (3, 3, 4, 9), {"groups": 3, "padding": 1}),
    "groups of 16": ((1, 6, 6, 32), (3, 3, 16, 32), {"groups": 2, "padding": 1}),
    "depthwise": ((2, 9, 8, 19), (3, 3, 1, 19), {"groups": 19, "padding": 1}),
    "depthwise, two filters": ((1, 7, 7, 6), (3, 3, 1, 12), {"groups": 6, "stride": 2}),
    "depthwise, strides and dilations": (
        (2, 13, 15, 33),
        (3, 2, 1, 33),
        {"groups": 33, "stride": (2, 3), "dilation": (2, 4), "padding": ((3, 0), (5, 2))},
    ),
    "depthwise, long row, large filter": (
        (1, 9, 70, 16),
        (7, 6, 1, 16),
        {"groups": 16, "padding": "same"},
    ),
    "depthwise, padding over the filter": (
        (1, 3, 2, 5),
        (2, 2, 1, 5),
        {"groups": 5, "padding": ((5, 4), (3, 6)), "stride": (1, 2)},
    ),
    "depthwise, stride over filter": (
        (2, 10, 11, 6),
        (1, 2, 1, 6),
        {"groups": 6, "stride": (3, 4)},
    ),
    "depthwise, empty batch": ((0, 5, 5, 4), (3, 3, 1, 4), {"groups": 4}),
    "uneven padding": ((2, 6, 7, 3), (3, 4, 3, 5), {"padding": ((2, 0), (1, 3))}),
    "padding over the filter": ((1, 3, 4, 2), (2, 2, 2, 3), {"padding": ((5, 4), (3, 6))}),
    "same, stride 2": ((2, 9, 10, 3), (4, 3, 3, 8), {"padding": "same", "stride": 2}),
    "empty batch": ((0, 5, 5, 3), (3, 3, 3, 4), {"padding": 1}),
    "15 to 31 channels": ((1, 9, 10, 15), (3, 3, 15, 31), {"padding": 1}),
    "17 to 33 channels": ((2, 6, 5, 17), (3, 3, 17, 33), {"padding": 1}),
    "16 to 48 channels": ((1, 12, 12, 16), (3, 3, 16, 48), {"padding": 1}),
    "5 x 5, 65 channels": ((1, 8, 8, 4), (5, 5, 4, 65), {"padding": 2}),
    "few pixels": ((1, 2, 5, 40), (3, 3, 40, 64), {"padding": 1}),
    "few pixels, groups": ((1, 2, 3, 32), (3, 3, 16, 64), {"padding": 1, "groups": 2}),
    "one pixel of several images": ((5, 3, 3, 32), (3, 3, 32, 64), {}),
    "few pixels, two panels and a part": ((1, 1, 3, 24), (3, 3, 24, 90), {"padding": 1}),
    "images interleaved": ((5, 6, 7, 64), (3, 3, 64, 40), {"padding": 1}),
    "images interleaved, stride": ((6, 9, 11, 65), (3, 5, 65, 17), {"padding": 2, "stride": 2}),
    "images interleaved, dilation": (
        (4, 11, 9, 6),
        (3, 3, 6, 33),
        {"padding": ((4, 0), (1, 5)), "dilation": (3, 2)},
    ),
    "images interleaved, groups": ((4, 7, 9, 32), (3, 3, 16, 70), {"padding": 1, "groups": 2}),
    "many tiny images": ((37, 3, 2, 5), (3, 2, 5, 18), {"padding": ((2, 1), (3, 0))}),
    "dilation over the image": ((2, 9, 4, 3), (3, 3, 3, 4), {"padding": 5, "dilation": (2, 5)}),
    "64 channels, one image": ((1, 5, 15, 64), (3, 3, 64, 33), {"padding": 1}),
    "many small images": ((11, 3, 4, 20), (3, 3, 20, 18), {"padding": 1}),
    "two images of one pixel, groups": ((2, 2, 4, 2), (2, 4, 1, 4), {"groups": 2}),
    "as many images as blocks of channels": ((2, 1, 1, 128), (3, 3, 128, 16), {"padding": 1}),
    "many images of one pixel": ((130, 2, 2, 5), (2, 2, 5, 7), {}),
    "130 to 70 channels": ((2, 5, 6, 130), (2, 3, 130, 70), {"padding": ((1, 0), (1, 1))}),
    "1 x 1, 230 channels": ((1, 5, 6, 230), (1, 1, 230, 130), {}),
    "dilation, 17 to 33 channels": ((2, 9, 8, 17), (3, 3, 17, 33), {"dilation": 2, "padding": 2}),
    "groups of 9 to 11, dilation": (
        (2, 7, 9, 27),
        (3, 2, 9, 33),
        {"groups": 3, "dilation": (1, 3), "stride": (2, 1), "padding": 1},
    ),
    "1 to 6 channels, 3 x 3": ((3, 8, 9, 1), (3, 3, 1, 6), {"padding": ((0, 1), (2, 0))}),
    "1 to 8 channels, 5 x 5": (
        (2, 15, 12, 1),
        (5, 5, 1, 8),
        {"padding": 2, "stride": (2, 1), "dilation": (2, 1)},
    ),
    "1 to 4 channels, dilation": ((2, 9, 11, 1), (3, 3, 1, 4), {"padding": 2, "dilation": 2}),
    "1 to 3 channels, 7 x 7": ((2, 9, 10, 1), (7, 7, 1, 3), {"padding": 3}),
    "1 to 4 channels, dilation in width": (
        (2, 9, 12, 1),
        (3, 3, 1, 4),
        {"padding": 1, "dilation": (1, 2)},
    ),
    "1 to 4 channels, empty batch": ((0, 8, 9, 1), (3, 3, 1, 4), {}),
    "1 to 5 channels, wide": ((1, 20, 300, 1), (3, 3, 1, 5), {}),
    "long row": ((1, 2, 131, 3), (2, 3, 3, 5), {"padding": ((0, 0), (1, 1))}),
    "6 to 16 channels, 5 x 5": ((3, 14, 14, 6), (5, 5, 6, 16), {}),
    "4 to 13 channels, 5 x 5, long row": ((2, 7, 29, 4), (5, 5, 4, 13), {"padding": (2, 1)}),
    "7 to 5 channels, 3 x 3, uneven": ((2, 8, 12, 7), (3, 3, 7, 5), {"padding": ((2, 0), (0, 3))}),
    "3 to 16 channels, stride and dilation down": (
        (2, 15, 11, 3),
        (4, 3, 3, 16),
        {"stride": (2, 1), "dilation": (2, 1), "padding": (3, 1)},
    ),
    "13 images of 3 channels": ((13, 7, 12, 3), (3, 3, 3, 5), {"padding": ((0, 1), (1, 2))}),
    "16 images of 6 channels": ((16, 9, 14, 6), (5, 5, 6, 16), {}),
    "30 images of 2 channels, stride and dilation down": (
        (30, 15, 24, 2),
        (3, 5, 2, 20),
        {"stride": (2, 1), "dilation": (2, 1), "padding": (3, 1)},
    ),
    "few filters, several sweeps": ((1, 9, 13, 160), (5, 5, 160, 3), {}),
    "one channel, 7 x 7 filters": ((2, 9, 41, 1), (7, 7, 1, 8), {"padding": (3, 2)}),
    "large tiles": ((2, 9, 8, 20), (1, 1, 20, 132), {}),
    "large tiles of dx": ((2, 9, 8, 132), (1, 1, 132, 20), {}),
    "large tiles of dw": ((1, 5, 5, 16), (3, 3, 16, 132), {"padding": 1}),
    "groups in fours, parts": ((2, 9, 10, 16), (3, 3, 8, 24), {"groups": 2, "padding": 1}),
}
AWKWARD = [
    case for name, (x, w, options) in SHAPES.items() for case in conv_cases(name, x, w, **options)
]
NO_BIAS = conv_cases("no bias", (2, 6, 7, 5), (3, 3, 5, 9), bias=False, padding=1)
ACTIVATED = [
    conv_cases(f"with {kind}", (2, 5, 6, 3), (3, 3, 3, 17), padding=1, activation=kind)[0]
    for kind in KINDS
]
ACTIVATED += conv_cases(
    "depthwise with tanh", (2, 5, 6, 19), (3, 3, 1, 19), groups=19, activation="tanh"
)[:1]
NO_BIAS += conv_cases("depthwise, no bias", (2, 6, 7, 5), (3, 3, 1, 5), bias=False, groups=5)
MANY_TAPS = conv_cases("9 x 8 filter", (1, 9, 8, 3), (9, 8, 1, 3), groups=3)
SMALL = conv_cases("small", (2, 5, 4, 3), (3, 2, 3, 4), stride=(1, 2), padding=1)
MEDIUM = conv_cases("medium", (5, 17, 19, 24), (3, 3, 24, 40), padding=1)
DEPTHWISE = conv_cases("medium depthwise", (3, 20, 18, 72), (3, 3, 1, 72), padding=1, groups=72)
INTERLEAVED = conv_cases("medium interleaved", (9, 13, 11, 64), (3, 3, 64, 96), padding=1)
FEW = conv_cases("few pixels", (1, 13, 13, 64), (3, 3, 64, 160), padding=1)
BLOCKS = conv_cases("130 to 140 channels", (4, 9, 9, 130), (3, 3, 130, 140), padding=1)
PAIRS = conv_cases("1 to 6 channels", (20, 28, 27, 1), (5, 5, 1, 6), padding=2)
SLIDING = conv_cases("6 to 16 channels", (40, 14, 14, 6), (5, 5, 6, 16))
GROUPED = conv_cases("medium groups", (3, 20, 18, 32), (3, 3, 8, 64), padding=1, groups=4, stride=2)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED, native=True))
def test_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "case", "dtype"),
    [p for p in row_cases(FULL, ["float32"], native=True) if p.values[0].name != "cpu_naive"],
)
def test_whole_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases([*AWKWARD, *NO_BIAS, *ACTIVATED]))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("conv2d", AWKWARD)


def test_depthwise_leaves_the_rest_to_other_rows() -> None:
    def first(case: Case) -> str:
        specs = [*case.inputs_at("float32"), *case.out_at("float32")]
        rows = registry.kernels("conv2d", "forward")
        return next(row.name for row in rows if row.supports(specs, case.params))

    assert first(DEPTHWISE[0]) == "cpu_depthwise"
    two_filters = conv_cases("two filters", (1, 5, 5, 6), (3, 3, 1, 12), groups=6)[0]
    for case in (GROUPED[0], MANY_TAPS[0], two_filters):
        assert first(case) != "cpu_depthwise"


@st.composite
def drawn(draw: st.DrawFn) -> list[Case]:
    groups = draw(st.integers(1, 3))
    n, c, k = draw(st.integers(0, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 6))
    if draw(st.booleans()):  # depthwise
        groups, c, k = draw(st.integers(2, 20)), 1, 1
    h, w, kh, kw = (draw(st.integers(1, m)) for m in (10, 10, 4, 4))
    pads = [[draw(st.integers(0, 3)) for _ in range(2)] for _ in range(2)]
    stride, dilation = ([draw(st.integers(1, m)) for _ in range(2)] for m in (3, 2))
    assume(h + sum(pads[0]) >= (kh - 1) * dilation[0] + 1)
    assume(w + sum(pads[1]) >= (kw - 1) * dilation[1] + 1)
    options = {"stride": stride, "padding": pads, "dilation": dilation, "groups": groups}
    x, filters = (n, h, w, c * groups), (kh, kw, c, k * groups)
    return conv_cases(f"{x} {filters} {options}", x, filters, **options)


@given(drawn())
def test_drawn_shapes(cases: list[Case]) -> None:
    for case in cases:
        check_all_rows(case)


@pytest.mark.parametrize("shape", SHAPES)
def test_integers_are_exact(shape: str) -> None:
    x, w, options = SHAPES[shape]
    for case in conv_cases(shape, x, w, fill=integers, **options):
        check_all_rows(case, exact=True)


def spoilt(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    """NaN and infinities in the first operand."""
    arrays = normal(rng, specs)
    flat = arrays[0].reshape(-1)  # type: ignore[union-attr]
    flat[1], flat[-3], flat[-2] = np.nan, np.inf, -np.inf
    return arrays


@pytest.mark.parametrize("padding", [0, 1])
@pytest.mark.parametrize("pass_name", ["forward", "backward_input", "backward_weight"])
def test_nan_and_inf(pass_name: str, padding: int) -> None:
    if pass_name == "backward_weight" and padding:
        return  # whether 0 outside the image times NaN counts is left open
    cases = conv_cases("NaN", (2, 9, 8, 5), (3, 3, 5, 6), padding=padding, fill=spoilt)
    check_all_rows(next(case for case in cases if case.pass_name == pass_name), literal=True)


def infinite_edge(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    """Infinities in the last column of x, the second operand."""
    arrays = normal(rng, specs)
    arrays[1][:, :, -1] = np.inf  # type: ignore[index]
    return arrays


@pytest.mark.parametrize("c", [1, 3])
@pytest.mark.parametrize("size", [3, 5, 7])
def test_an_infinite_pixel_reaches_only_the_taps_that_meet_it(size: int, c: int) -> None:
    """Of an odd row, too, whose last pixel has no second one where they come in pairs."""
    case = conv_cases("inf", (2, 9, 11, c), (size, size, c, 4), fill=infinite_edge)[2]
    assert case.specs[0].shape[2] % 2 == 1  # type: ignore[union-attr]
    check_all_rows(case, literal=True)


@pytest.mark.parametrize(
    ("row", "case", "dtype"),
    row_cases(
        [*MEDIUM, *INTERLEAVED, *FEW, *GROUPED, *DEPTHWISE, *PAIRS, *SLIDING, BLOCKS[2]],
        native=True,
    ),
)
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.pass_name)
def test_mutants(case: Case) -> None:
    check_mutants(case)


@pytest.mark.parametrize(
    "options",
    [
        {"padding": ((1, 0), (0, 2)), "stride": (1, 2)},
        {"groups": 2, "dilation": 2, "padding": 2},
        {"groups": 4, "stride": (1, 2), "padding": 1},
    ],
    ids=["plain", "groups", "depthwise"],
)
def test_gradients(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    groups = options.get("groups", 1)
    x, w, b = (rng.standard_normal(s) for s in ((2, 4, 5, 4), (2, 3, 4 // groups, 4), (4,)))
    reference = {"kernel": "reference", **options}
    dy = rng.standard_normal(ck.ops.conv2d(x, w, b, **reference).shape)
    for dx in each_row(
        "conv2d", "backward_input", lambda k: INPUT(dy, w, x.shape, kernel=k, **options)
    ):
        assert_gradient(dx, lambda v: ck.ops.conv2d(v, w, b, **reference), x, dy)
    for dw, db in each_row(
        "conv2d", "backward_weight", lambda k: WEIGHT(dy, x, w.shape, kernel=k, **options)
    ):
        assert_gradient(dw, lambda v: ck.ops.conv2d(x, v, b, **reference), w, dy)
        assert_gradient(db, lambda v: ck.ops.conv2d(x, w, v, **reference), b, dy)


def test_layouts() -> None:
    rng = np.random.default_rng(0)
    x, w, b, dy = (
        rng.standard_normal(s).astype(np.float32)
        for s in ((2, 6, 5, 4), (3, 3, 4, 5), (5,), (2, 4, 3, 5))
    )
    assert_layouts(ck.ops.conv2d, x, w, b)
    assert_layouts(lambda dy, w: ck.ops.conv2d_backward_input(dy, w, x.shape), dy, w)
    assert_layouts(lambda dy, x: ck.ops.conv2d_backward_weight(dy, x, w.shape), dy, x)


HUGE = (1 << 31) - 1
ONE = np.ones((1, 1, 1, 1), np.float32)


@pytest.mark.parametrize("pass_name", ["forward", "backward_input", "backward_weight"])
def test_sizes_that_overflow_are_not_supported(pass_name: str) -> None:
    """The scratch memory for these images has 2**64 bytes, or more, and no row may plan 0."""
    one, k = Spec((1, 1, 1, 1)), Spec((1,))
    specs: list[Spec | None] = {
        "forward": [one, one, k, one],
        "backward_input": [one, one, None, one],
        "backward_weight": [one, one, one, k],
    }[pass_name]
    row = next(
        row for row in ck.ops.kernels("conv2d", pass_name) if row.name == "cpu_implicit_gemm"
    )
    params = {**conv2d_params(one.shape, one.shape), "stride_h": HUGE, "stride_w": HUGE}
    for before, after in ((1 << 30, (1 << 30) - 1), (HUGE, HUGE), (1 << 30, 0), (1 << 29, 1 << 29)):
        pads = dict.fromkeys(("pad_top", "pad_left"), before)
        pads |= dict.fromkeys(("pad_bottom", "pad_right"), after)
        if pass_name != "backward_input" or before == HUGE:
            assert row.workspace_bytes(specs, {**params, **pads}) > 1 << 26, (before, after)
        assert not row.supports(specs, {**params, **pads}), (before, after)


def test_far_reaching_arguments() -> None:
    """Padding, stride and dilation of any size that they are allowed."""
    options: dict[str, Any] = {"stride": HUGE, "dilation": HUGE}
    for y in each_row("conv2d", "forward", lambda k: CONV(ONE, ONE, kernel=k, **options)):
        assert y.tolist() == ONE.tolist()
    options["padding"] = ((0, 1 << 28), (0, 1 << 28))
    for kernel in (None, "cpu_naive"):
        assert CONV(ONE, ONE, kernel=kernel, **options).tolist() == ONE.tolist()
        assert INPUT(ONE, ONE, ONE.shape, kernel=kernel, **options).tolist() == ONE.tolist()
        dw, db = WEIGHT(ONE, ONE, ONE.shape, kernel=kernel, **options)
        assert dw.tolist() == ONE.tolist() and db.tolist() == [1]


X, W = np.ones((2, 6, 5, 4), np.float32), np.ones((3, 3, 4, 8), np.float32)
DY = np.ones((2, 4, 3, 8), np.float32)
CONV, INPUT, WEIGHT = ck.ops.conv2d, ck.ops.conv2d_backward_input, ck.ops.conv2d_backward_weight


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "x has dtype int64", lambda: CONV(X.astype(np.int64), W)),
        (TypeError, "different dtypes", lambda: CONV(X, W.astype(np.float64))),
        (ValueError, "x must have 4 dimensions .* add a batch axis", lambda: CONV(X[0], W)),
        (ValueError, "x must have 4 dimensions .* add the other", lambda: CONV(X[0, 0], W)),
        (ValueError, "x has no pixels", lambda: CONV(X[:, :0], W)),
        (ValueError, "w must have 4 dimensions", lambda: CONV(X, W[0])),
        (ValueError, "w is empty", lambda: CONV(X, W[..., :0])),
        (ValueError, "x has 4 channels, w expects 3", lambda: CONV(X, W[:, :, :3])),
        (ValueError, "channels-first", lambda: CONV(X.transpose(0, 3, 1, 2), W)),
        (ValueError, "must divide the channels", lambda: CONV(X, W, groups=3)),
        (ValueError, "would fit x", lambda: CONV(X, W, groups=2)),
        (ValueError, "must divide the 7 filters", lambda: CONV(X, W[:, :, :2, :7], groups=2)),
        (ValueError, "b has shape", lambda: CONV(X, W, np.ones(3, np.float32))),
        (ValueError, "does not fit into an image", lambda: CONV(X[:, :2], W)),
        (ValueError, "dilated to 5 x 5", lambda: CONV(X[:, :4], W, dilation=2)),
        (ValueError, "stride must be positive", lambda: CONV(X, W, stride=0)),
        (ValueError, "dilation must be positive", lambda: CONV(X, W, dilation=(1, -1))),
        (ValueError, "stride must be an int or a pair", lambda: CONV(X, W, stride=(1, 1, 1))),
        (ValueError, "must be below", lambda: CONV(X, W, stride=1 << 40)),
        (
            ValueError,
            r"\[conv2d\] x of shape \(1, 1, 1, 1\) has shape .* with its padding",
            lambda: CONV(ONE, ONE, stride=HUGE, padding=((1 << 30, (1 << 30) - 1),) * 2),
        ),
        (ValueError, "with its padding", lambda: CONV(ONE, ONE, stride=HUGE, padding=HUGE)),
        (ValueError, "with its padding", lambda: CONV(ONE[:0], ONE, padding=HUGE)),
        (ValueError, "with its padding", lambda: INPUT(ONE, ONE, ONE.shape, HUGE, HUGE)),
        (ValueError, "with its padding", lambda: WEIGHT(ONE, ONE, ONE.shape, HUGE, HUGE)),
        (TypeError, "stride must be an int or a pair", lambda: CONV(X, W, stride=1.5)),
        (TypeError, "stride must be an int or a pair", lambda: CONV(X, W, stride=True)),
        (TypeError, "groups must be an int", lambda: CONV(X, W, groups=(1, 1))),
        (ValueError, "groups must be positive", lambda: CONV(X, W, groups=0)),
        (ValueError, "padding must be non-negative", lambda: CONV(X, W, padding=-1)),
        (ValueError, "'valid' or 'same', got 'full'", lambda: CONV(X, W, padding="full")),
        (ValueError, "unknown activation 'rely'", lambda: CONV(X, W, activation="rely")),
        (ValueError, "no kernel 'cpu_best'", lambda: CONV(X, W, kernel="cpu_best")),
        (ValueError, "dy has shape", lambda: INPUT(DY[:, 1:], W, X.shape)),
        (ValueError, "x must have 4 dimensions", lambda: INPUT(DY, W, (6, 5, 4))),
        (ValueError, "dy has shape", lambda: WEIGHT(DY[1:], X, W.shape)),
        (TypeError, "different dtypes", lambda: WEIGHT(DY.astype(np.float64), X, W.shape)),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
