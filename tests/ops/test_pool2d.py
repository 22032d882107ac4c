"""pool2d: every row against the reference, on real layers and on awkward shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.pool2d import OP, pool2d_params
from convkit.ops.registry import Array, Context, Spec
from ops.cases import POOL_LAYERS, Pool
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

Shape = tuple[int, int, int, int]


def winners(params: dict[str, Any], x: Spec, y: Spec, argmax: Spec, dy: Fill) -> Fill:
    """Fill dy, and argmax as the forward pass would."""

    def fill(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
        image = rng.standard_normal(x.shape)
        context = Context(params, [y, argmax])
        return [*dy(rng, specs[:1]), OP["max_forward"].reference(context, image)[1], None]

    return fill


def pool_cases(name: str, shape: Shape, fill: Fill = normal, **arguments: Any) -> list[Case]:
    """The passes of both poolings of an image (N, H, W, C)."""
    average = pool2d_params(shape, **arguments)
    largest = {**average, "count_include_pad": 0}
    x = Spec(shape, FLOAT)
    infer = OP["max_forward"].infer
    assert infer is not None
    y, argmax = infer(largest, [x])
    assert y is not None and argmax is not None
    positions = winners(largest, x, y, argmax, fill)
    return [
        Case(name, "pool2d", "max_forward", (x,), largest, (y, argmax), fill=fill),
        Case(name, "pool2d", "max_backward", (y, argmax, None), largest, (x,), fill=positions),
        Case(name, "pool2d", "average_forward", (x,), average, fill=fill),
        Case(name, "pool2d", "average_backward", (y, None), average, (x,), fill=fill),
    ]


def layer_cases(layer: Pool, largest: int) -> list[Case]:
    n = 2
    while max(layer.h, layer.w) > largest:
        n, layer = 1, layer._replace(h=(layer.h + 1) // 2, w=(layer.w + 1) // 2)
    x = (n, layer.h, layer.w, layer.c)
    cases = pool_cases(layer.name, x, size=layer.size, stride=layer.stride)
    return cases[:2] if layer.kind == "max" else cases[2:]


NAMED = [case for layer in POOL_LAYERS for case in layer_cases(layer, 28)]
FULL = [case for layer in POOL_LAYERS for case in layer_cases(layer, 224)]
SHAPES: dict[str, tuple[Shape, dict[str, Any]]] = {
    "size 1": ((1, 1, 1, 1), {"size": 1}),
    "primes": ((3, 11, 13, 7), {"size": (3, 5), "stride": (2, 3), "padding": (1, 2)}),
    "overlapping": ((2, 9, 10, 5), {"size": 3, "stride": 1, "padding": 1}),
    "stride over window": ((2, 11, 13, 3), {"size": 2, "stride": (3, 4)}),
    "stride over window, as many rows as in windows": (
        (2, 6, 9, 3),
        {"size": 3, "stride": (4, 3), "padding": ((0, 1), (0, 0))},
    ),
    "rest left over": ((1, 7, 9, 19), {"size": 2}),
    "uneven padding": ((2, 6, 7, 3), {"size": 3, "stride": 2, "padding": ((2, 0), (0, 1))}),
    "padding counts": ((2, 6, 7, 3), {"size": 3, "padding": 1, "count_include_pad": True}),
    "same": ((1, 7, 10, 4), {"size": 3, "stride": 2, "padding": "same"}),
    "global": ((3, 5, 7, 33), {"size": "global"}),
    "256 positions": ((1, 16, 33, 2), {"size": 16, "stride": (1, 5)}),
    "more than 256 positions": ((1, 20, 18, 3), {"size": 17, "stride": 1}),
    "row window": ((1, 3, 20, 16), {"size": (1, 4), "stride": (1, 2)}),
    "empty batch": ((0, 4, 4, 3), {"size": 2}),
    "no channels": ((2, 4, 4, 0), {"size": 2}),
    "one channel": ((2, 9, 71, 1), {"size": 2}),
    "two channels, padding": ((1, 9, 41, 2), {"size": 2, "padding": 1}),
    "three channels, gaps": ((2, 7, 40, 3), {"size": 2, "stride": 3}),
    "five channels, 3 x 3": ((2, 9, 30, 5), {"size": 3, "stride": 2}),
    "six channels": ((3, 10, 28, 6), {"size": 2}),
    "eight channels": ((2, 4, 14, 8), {"size": 2}),
    "channels around 16": ((2, 4, 4, 17), {"size": 2}),
    "many channels": ((1, 4, 5, 131), {"size": 2, "stride": 1}),
}
AWKWARD = [case for name, (x, kw) in SHAPES.items() for case in pool_cases(name, x, **kw)]
MEDIUM = pool_cases("medium", (5, 34, 31, 40), size=3, stride=2, padding=1)
WITHOUT_ARGMAX = [
    Case(c.name + ", no argmax", c.op, c.pass_name, c.specs, c.params, (c.out[0], None))
    for c in AWKWARD
    if c.pass_name == "max_forward" and c.out is not None
]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED, native=True))
def test_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.slow
@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(FULL, ["float32"], native=True))
def test_whole_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases([*AWKWARD, *WITHOUT_ARGMAX]))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("pool2d", AWKWARD)


@st.composite
def drawn(draw: st.DrawFn) -> list[Case]:
    x = (*(draw(st.integers(m, 9)) for m in (0, 1, 1)), draw(st.integers(1, 20)))
    size = [draw(st.integers(1, 4)) for _ in range(2)]
    stride = [draw(st.integers(1, 4)) for _ in range(2)]
    pads = [[draw(st.integers(0, s - 1)) for _ in range(2)] for s in size]
    assume(all(n + sum(p) >= s for n, p, s in zip(x[1:3], pads, size)))
    options = {"size": size, "stride": stride, "padding": pads}
    options["count_include_pad"] = draw(st.booleans())
    return pool_cases(f"{x} {options}", x, **options)


@given(drawn())
def test_drawn_shapes(cases: list[Case]) -> None:
    for case in cases:
        check_all_rows(case)


@pytest.mark.parametrize("size", [1, 2, 4, (2, 4)], ids=str)
def test_integers_are_exact(size: Any) -> None:
    """Sums of small integers over a power of two are exact, also where windows overlap."""
    for stride in (1, 2, 5):
        options = {"size": size, "stride": stride}
        for case in pool_cases("integers", (2, 9, 8, 19), fill=integers, **options):
            check_all_rows(case, exact=True)


def ties(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    """Many equal values, zeros of both signs among them: the first of a window must win."""
    return [None if s is None else rng.choice([-1.0, -0.0, 0.0, 1.0], s.shape) for s in specs]


def spoilt(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    """NaN and infinities, several in a window."""
    values = [-1.0, 0.0, 1.0, 2.0, np.nan, np.inf, -np.inf]
    weights = [0.3, 0.2, 0.2, 0.1, 0.05, 0.05, 0.1]
    return [None if s is None else rng.choice(values, s.shape, p=weights) for s in specs]


@pytest.mark.parametrize("fill", [ties, spoilt])
def test_ties_nan_and_inf(fill: Fill) -> None:
    for size, stride, padding in ((2, 2, 0), (3, 1, 1), (3, 2, 2)):
        options = {"size": size, "stride": stride, "padding": padding}
        for shape in ((2, 9, 8, 19), (1, 9, 40, 3)):
            for case in pool_cases(fill.__name__, shape, fill=fill, **options):
                check_all_rows(case)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize("case", pool_cases("small", (2, 4, 5, 3), size=2), ids=str)
def test_mutants(case: Case) -> None:
    check_mutants(case)


WINDOWS = pytest.mark.parametrize(
    "options",
    [{"size": 2}, {"size": (3, 2), "stride": 1, "padding": ((1, 2), (0, 1))}],
    ids=["plain", "overlapping"],
)


@WINDOWS
def test_gradient_of_the_maximum(options: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x = rng.permutation(2 * 5 * 4 * 3).reshape(2, 5, 4, 3) * 0.1  # no ties within a difference
    y, argmax = ck.ops.max_pool2d(x, kernel="reference", **options)
    dy = rng.standard_normal(y.shape)
    for dx in each_row(
        "pool2d", "max_backward", lambda k: BACK(dy, argmax, x.shape, kernel=k, **options)
    ):
        assert_gradient(dx, lambda v: MAX(v, kernel="reference", **options)[0], x, dy)


@pytest.mark.parametrize("count", [False, True])
@WINDOWS
def test_gradient_of_the_average(options: dict[str, Any], count: bool) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 5, 4, 3))
    options = {**options, "count_include_pad": count}
    dy = rng.standard_normal(AVG(x, **options).shape)
    for dx in each_row(
        "pool2d",
        "average_backward",
        lambda k: ck.ops.avg_pool2d_backward(dy, x.shape, kernel=k, **options),
    ):
        assert_gradient(dx, lambda v: AVG(v, kernel="reference", **options), x, dy)


def test_layouts() -> None:
    rng = np.random.default_rng(0)
    x, dy = (rng.standard_normal(s).astype(np.float32) for s in ((2, 6, 4, 4), (2, 3, 2, 4)))
    argmax = ck.ops.max_pool2d(x)[1]
    assert_layouts(ck.ops.max_pool2d, x)
    assert_layouts(ck.ops.avg_pool2d, x)
    assert_layouts(lambda dy, a: ck.ops.max_pool2d_backward(dy, a, x.shape), dy, argmax)
    assert_layouts(lambda dy: ck.ops.avg_pool2d_backward(dy, x.shape), dy)


ONE = np.ones((1, 1, 1, 1), np.float32)


def test_huge_windows() -> None:
    largest, larger = 46340, 70_000  # 46340**2 positions are the most that an int32 can number
    corner = {"size": largest, "padding": ((largest - 1, 0),) * 2}
    for kernel in ("cpu_simd", "cpu_naive"):
        y, argmax = MAX(ONE, kernel=kernel, **corner)
        assert y.item() == 1 and argmax.item() == largest**2 - 1
        assert BACK(y, argmax, ONE.shape, kernel=kernel, **corner).item() == 1
        corners = {"size": larger, "padding": ((larger - 1, 0),) * 2}
        assert AVG(ONE, kernel=kernel, **corners).item() == 1
        # Q * window_h * window_w is beyond 64 bits.
        high, wide = 1 << 30, 1 << 28
        options = {"size": (high, wide), "stride": 1, "kernel": kernel}
        y = AVG(ONE, padding=((high - 1, 0), (wide - 1, 1024)), **options)
        assert y.shape == (1, 1, 1025, 1) and (y == 1).all()


X, DY = np.ones((2, 6, 4, 3), np.float32), np.ones((2, 3, 2, 3), np.float32)
AT = np.zeros(DY.shape, np.uint8)
MAX, AVG, BACK = ck.ops.max_pool2d, ck.ops.avg_pool2d, ck.ops.max_pool2d_backward


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "x has dtype uint8", lambda: MAX(X.astype(np.uint8))),
        (ValueError, "x must have 4 dimensions", lambda: AVG(X[0])),
        (ValueError, "x has no pixels", lambda: AVG(X[:, :0])),
        (ValueError, "or 'global', got 'all'", lambda: MAX(X, "all")),
        (ValueError, "size must be positive", lambda: MAX(X, 0)),
        (TypeError, "size must be an int or a pair", lambda: MAX(X, 2.0)),
        (ValueError, "stride must be positive", lambda: MAX(X, 2, 0)),
        (ValueError, "padding .* must be smaller than the window", lambda: MAX(X, 2, padding=2)),
        (ValueError, "does not fit into an image", lambda: AVG(X, 7)),
        (
            ValueError,
            r"\[pool2d\] a window of 70000 x 70000 has 4900000000 positions",
            lambda: MAX(ONE, 70_000, padding=((69_999, 0), (69_999, 0))),
        ),
        (ValueError, "positions", lambda: MAX(ONE, 46_341, padding=((46_340, 0), (46_340, 0)))),
        (
            ValueError,
            r"\[pool2d\] x of shape .* with its padding",
            lambda: AVG(ONE, 1 << 30, padding=(1 << 30) - 1),
        ),
        (ValueError, "dy has shape", lambda: BACK(DY[:1], AT, X.shape)),
        (ValueError, "argmax has shape", lambda: BACK(DY, AT[:1], X.shape)),
        (TypeError, "argmax has dtype int64", lambda: BACK(DY, AT.astype(np.int64), X.shape)),
        (ValueError, "argmax", lambda: BACK(DY, AT + np.uint8(4), X.shape)),
        (ValueError, "dy has shape", lambda: ck.ops.avg_pool2d_backward(DY[:1], X.shape)),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
