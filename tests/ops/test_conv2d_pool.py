"""conv2d_pool: every row against the reference, and against conv2d and pool2d in a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops import registry
from convkit.ops.activation import FROM_OUTPUT, KINDS
from convkit.ops.conv2d_pool import conv2d_pool_params
from convkit.ops.registry import Array, Spec
from convkit.testing.calls import Shape
from convkit.testing.conv2d_pool_calls import (
    AWKWARD,
    awkward_conv2d_pool,
    conv2d_pool,
    named_conv2d_pool,
)
from ops.harness import (
    Case,
    as_case,
    check_all_rows,
    check_coverage,
    check_mutants,
    check_row,
    check_threads,
    row_cases,
    use_isa,
)
from ops.numeric import assert_gradient, assert_layouts, each_row


def cases(*arguments: Any, **options: Any) -> list[Case]:
    return [as_case(call) for call in conv2d_pool(*arguments, **options)]


def named(flops: int) -> list[Case]:
    return [as_case(call) for call in named_conv2d_pool(True, lambda name: 1, flops)]


NAMED = named(6_000_000)
SHAPES = [as_case(call) for found in awkward_conv2d_pool() for call in found]
CONVOLUTION = ("padding", "stride", "dilation", "groups")
MEDIUM = [
    *cases("medium", (5, 19, 18, 24), (3, 3, 24, 40), padding=1, activation="tanh"),
    *cases("medium, overlapping", (9, 19, 18, 3), (3, 3, 3, 70), size=3, pool_stride=2),
]
SMALL = cases("small", (2, 7, 6, 3), (3, 2, 3, 4), padding=1, activation="relu")


def test_the_pooled_networks_are_there() -> None:
    assert len({case.name for case in NAMED}) == 10


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED, native=True))
def test_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "case", "dtype"),
    [
        p
        for p in row_cases(named(1 << 62), ["float32"], native=True)
        if p.values[0].name != "cpu_naive"
    ],
)
def test_whole_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(SHAPES))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("conv2d_pool", SHAPES)


@st.composite
def drawn(draw: st.DrawFn) -> list[Case]:
    n, c, k = draw(st.integers(0, 3)), draw(st.integers(1, 5)), draw(st.integers(1, 34))
    h, w, kh, kw = (draw(st.integers(1, m)) for m in (10, 10, 3, 3))
    pads = [[draw(st.integers(0, 2)) for _ in range(2)] for _ in range(2)]
    stride = [draw(st.integers(1, 2)) for _ in range(2)]
    dilation = [draw(st.integers(1, 2)), 1]
    size = [draw(st.integers(1, 4)) for _ in range(2)]
    pool_stride = [draw(st.integers(1, 4)) for _ in range(2)]
    pool_padding = [[draw(st.integers(0, s - 1)) for _ in range(2)] for s in size]
    options = {
        "padding": pads, "stride": stride, "dilation": dilation, "size": size,
        "pool_stride": pool_stride, "pool_padding": pool_padding,
        "activation": draw(st.sampled_from(["linear", "relu", "sigmoid"])),
    }  # fmt: skip
    x, filters = (n, h, w, c), (kh, kw, c, k)
    try:
        conv2d_pool_params(x, filters, **options)  # type: ignore[arg-type]
        calls = conv2d_pool(
            f"{x} {filters} {options}", x, filters, bias=draw(st.booleans()), **options
        )
        return [as_case(call, trivial=True) for call in calls]  # relu may leave nothing but 0
    except ValueError as error:
        assert "does not fit" in str(error)
    assume(False)
    return []


@given(drawn())
def test_drawn_shapes(drawn: list[Case]) -> None:
    for case in drawn:
        check_all_rows(case)


def on_integers(case: Case) -> Case:
    """The same case on small integers, y and winner those of a forward pass over integers."""

    def fill(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
        made = case.fill(rng, specs)
        ints = [
            None if s is None or s.dtype == "uint8" else rng.integers(-4, 5, s.shape) for s in specs
        ]
        return [a if i is None else i for a, i in zip(made, ints, strict=True)]

    return Case(
        f"{case.name}, integers", case.op, case.pass_name, case.specs, case.params, case.out,
        case.step, fill,
    )  # fmt: skip


@pytest.mark.parametrize("shape", AWKWARD)
def test_integers_are_exact(shape: str) -> None:
    """Also the winners: equal values abound."""
    x, w, options = AWKWARD[shape]
    for case in cases(shape, x, w, **options):
        check_all_rows(on_integers(case), exact=True)


@pytest.mark.parametrize("kind", ["linear", "relu", "tanh", "gelu", "exponential"])
@pytest.mark.parametrize("shape", AWKWARD)
def test_the_same_bits_as_conv2d_and_pool2d(shape: str, kind: str) -> None:
    x_shape, w_shape, options = AWKWARD[shape]
    if _row(x_shape, w_shape, options) != "cpu_implicit_gemm":
        return
    size = options.get("size", 2)
    pool = size, options.get("pool_stride"), options.get("pool_padding", 0)
    rest = {k: v for k, v in options.items() if k in CONVOLUTION}
    rng = np.random.default_rng(1)
    x, w, b = (rng.standard_normal(s).astype(np.float32) for s in (x_shape, w_shape, w_shape[3:]))
    for isa in _core.available_isas():
        with use_isa(isa):
            z = ck.ops.conv2d(x, w, b, activation=kind, kernel="cpu_implicit_gemm", **rest)
            expected = ck.ops.max_pool2d(z, *pool)
            got = POOLED(x, w, b, *pool, activation=kind, **rest)
        for a, e in zip(got, expected, strict=True):
            assert a.tobytes() == e.tobytes(), isa


def _row(x: Shape, w: Shape, options: dict[str, Any]) -> str:
    """Name of the row that a call would take."""
    params = conv2d_pool_params(x, w, **{k: v for k, v in options.items() if k != "bias"})
    specs = [Spec(x), Spec(w), Spec(w[3:])]
    infer = registry.get("conv2d_pool")["forward"].infer
    assert infer is not None
    rows, specs = registry.kernels("conv2d_pool", "forward"), [*specs, *infer(params, specs)]
    return next(row.name for row in rows if row.supports(specs, params))


@pytest.mark.parametrize("pool", [(2, 2, 0), (3, 1, 1), (3, 2, 2)], ids=str)
@pytest.mark.parametrize(
    "values",
    [[-1.0, -0.0, 0.0, 1.0], [-1.0, 0.0, 2.0, np.nan, np.inf, -np.inf]],
    ids=["ties", "NaN and inf"],
)
def test_ties_nan_and_inf(values: list[float], pool: tuple[int, int, int]) -> None:
    """A filter of 1 x 1 ones makes z a copy of x: winners, NaN and infinities as in pool2d."""
    rng = np.random.default_rng(0)
    x = rng.choice(values, (2, 9, 8, 1)).astype(np.float32)
    w = np.ones((1, 1, 1, 19), np.float32)
    expected = ck.ops.max_pool2d(np.repeat(x, 19, axis=3), *pool)
    for y, winner in each_row(
        "conv2d_pool", "forward", lambda k: POOLED(x, w, None, *pool, kernel=k)
    ):
        np.testing.assert_array_equal(y, expected[0])
        np.testing.assert_array_equal(winner, expected[1])


@pytest.mark.parametrize("pool", [(2, 2, 0), (3, 1, 1), (3, 2, 2)], ids=str)
def test_nan_and_inf_of_a_gradient_go_to_their_winners(pool: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, 9, 8, 1)), np.ones((1, 1, 1, 19))
    y, winner = ck.ops.max_pool2d(np.repeat(x, 19, axis=3), *pool)
    dy = rng.standard_normal(y.shape)
    dy.flat[[3, 40, 77, 200]] = np.nan, np.inf, -np.inf, np.inf
    dz = ck.ops.max_pool2d_backward(dy, winner, (2, 9, 8, 19), *pool)
    with np.errstate(all="ignore"):
        sums = dz.sum(axis=3, keepdims=True)
    for dx in each_row(
        "conv2d_pool",
        "backward_input",
        lambda k: INPUT(dy, w, y, winner, x.shape, *pool, kernel=k),
    ):
        np.testing.assert_allclose(dx, sums, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.pass_name)
def test_mutants(case: Case) -> None:
    check_mutants(case)


@pytest.mark.parametrize("case", SMALL[:1], ids=lambda case: case.pass_name)
def test_without_winners(case: Case) -> None:
    infer = registry.get("conv2d_pool")["forward"].infer
    assert infer is not None
    y = infer(case.params, case.specs)[0]
    alone = Case(case.name, case.op, case.pass_name, case.specs, case.params, (y, None))
    check_all_rows(alone)


@pytest.mark.parametrize("kind", sorted(FROM_OUTPUT - {"step"}))
def test_gradients(kind: str) -> None:
    """By differences of conv2d at the winners; its values stay away from the kinks."""
    rng = np.random.default_rng(2)
    options: Any = {"activation": kind, "padding": ((1, 0), (0, 2)), "stride": (1, 2)}
    pool: Any = (2,) if kind == "relu" else (3, 2, 1)
    x, w = 0.2 * rng.standard_normal((2, 5, 6, 2)), 0.2 * rng.standard_normal((2, 3, 2, 4))
    b = np.array([0.6, -0.5, 1.8, -4.5])
    y, winner = POOLED(x, w, b, *pool, kernel="reference", **options)
    dy = rng.standard_normal(y.shape)

    def image(x: Array, w: Array, b: Array) -> Array:
        return ck.ops.conv2d(x, w, b, kernel="reference", **options)

    dz = ck.ops.max_pool2d_backward(dy, winner, image(x, w, b).shape, *pool)
    for dx in each_row(
        "conv2d_pool",
        "backward_input",
        lambda k: INPUT(dy, w, y, winner, x.shape, *pool, kernel=k, **options),
    ):
        assert_gradient(dx, lambda v: image(v, w, b), x, dz)
    for dw, db in each_row(
        "conv2d_pool",
        "backward_weight",
        lambda k: WEIGHT(dy, x, y, winner, w.shape, *pool, kernel=k, **options),
    ):
        assert_gradient(dw, lambda v: image(x, v, b), w, dz)
        assert_gradient(db, lambda v: image(x, w, v), b, dz)


def test_every_activation_has_a_case() -> None:
    passes = {(case.params["activation"], case.pass_name) for case in SHAPES}
    for kind in KINDS:
        assert (kind, "forward") in passes
        assert ((kind, "backward_input") in passes) == (kind in FROM_OUTPUT)


def test_layouts() -> None:
    rng = np.random.default_rng(0)
    x, w, b, dy = (
        rng.standard_normal(s).astype(np.float32)
        for s in ((2, 6, 6, 4), (3, 3, 4, 5), (5,), (2, 2, 2, 5))
    )
    y, winner = POOLED(x, w, b)
    assert_layouts(POOLED, x, w, b)
    assert_layouts(lambda dy, w, y, at: INPUT(dy, w, y, at, x.shape), dy, w, y, winner)
    assert_layouts(lambda dy, x, y, at: WEIGHT(dy, x, y, at, w.shape), dy, x, y, winner)


X, W = np.ones((2, 6, 5, 4), np.float32), np.ones((3, 3, 4, 8), np.float32)
DY, AT = np.ones((2, 2, 1, 8), np.float32), np.zeros((2, 2, 1, 8), np.uint8)
POOLED = ck.ops.conv2d_pool
INPUT, WEIGHT = ck.ops.conv2d_pool_backward_input, ck.ops.conv2d_pool_backward_weight


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, r"\[conv2d_pool\] x has dtype int64", lambda: POOLED(X.astype(np.int64), W)),
        (TypeError, r"\[conv2d_pool\] .* different dtypes", lambda: POOLED(X, W.astype("f8"))),
        (ValueError, r"\[conv2d_pool\] x must have 4 dimensions", lambda: POOLED(X[0], W)),
        (ValueError, r"\[conv2d_pool\] x has 4 channels", lambda: POOLED(X, W[:, :, :3])),
        (ValueError, r"\[conv2d_pool\] b has shape", lambda: POOLED(X, W, DY[0, 0, 0, :3])),
        (
            ValueError,
            r"\[conv2d_pool\] pooling: a window of 4 x 4 does not fit into an image of 4 x 3",
            lambda: POOLED(X, W, size=4),
        ),
        (ValueError, "smaller than the window", lambda: POOLED(X, W, pool_padding=2)),
        (
            ValueError,
            r"\[conv2d_pool\] a window of 17 x 17 has more than the 256 positions",
            lambda: POOLED(X, W, size=17, pool_padding=8),
        ),
        (ValueError, "unknown activation", lambda: POOLED(X, W, activation="relo")),
        (ValueError, "dy has shape", lambda: INPUT(DY[:1], W, DY, AT, X.shape)),
        (ValueError, "y has shape", lambda: INPUT(DY, W, DY[:1], AT, X.shape)),
        (ValueError, "winner has shape", lambda: WEIGHT(DY, X, DY, AT[:1], W.shape)),
        (TypeError, "winner has dtype float32", lambda: WEIGHT(DY, X, DY, DY, W.shape)),
        (ValueError, "points outside", lambda: INPUT(DY, W, DY, AT + np.uint8(4), X.shape)),
        (
            ValueError,
            "derivative of gelu needs its input",
            lambda: INPUT(DY, W, DY, AT, X.shape, activation="gelu"),
        ),
    ],
)  # fmt: skip
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()


HUGE = (1 << 31) - 1


@pytest.mark.parametrize("pass_name", ["forward", "backward_input", "backward_weight"])
def test_sizes_that_overflow_are_not_supported(pass_name: str) -> None:
    """The scratch memory for these images has 2**64 bytes, or more, and no row may plan 0."""
    one, k, at = Spec((1, 1, 1, 1)), Spec((1,)), Spec((1, 1, 1, 1), "uint8")
    specs: list[Spec | None] = {
        "forward": [one, one, k, one, at],
        "backward_input": [one, one, one, at, None, one],
        "backward_weight": [one, one, one, at, one, k],
    }[pass_name]
    rows = ck.ops.kernels("conv2d_pool", pass_name)
    row = next(row for row in rows if row.name == "cpu_implicit_gemm")
    params = {**conv2d_pool_params(one.shape, one.shape, 1), "stride_h": HUGE, "stride_w": HUGE}
    for before, after in ((1 << 30, (1 << 30) - 1), (HUGE, HUGE)):
        pads = dict.fromkeys(("pad_top", "pad_left"), before)
        pads |= dict.fromkeys(("pad_bottom", "pad_right"), after)
        assert (
            not row.supports(specs, {**params, **pads})
            or row.workspace_bytes(specs, {**params, **pads}) < 1 << 26
        ), (before, after)


def test_bands_of_few_images_are_left_to_conv2d() -> None:
    """Where windows overlap, whole bands are a task: one image has too few of them."""

    def first(n: int) -> str:
        options: dict[str, Any] = {"size": 3, "pool_stride": 2, "padding": 2}
        return _row((n, 27, 27, 16), (5, 5, 16, 16), options)

    assert first(1) == "cpu_naive"
    assert first(32) == "cpu_implicit_gemm"
