"""dense: every row against the reference, on real layers and on awkward shapes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.activation import KINDS
from convkit.ops.dense import dense_params
from convkit.ops.registry import Array, Row, Spec
from ops.cases import DENSE_LAYERS, Dense
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
    use_isa,
)
from ops.numeric import assert_gradient, assert_layouts, each_row


def dense_cases(
    name: str,
    rows: tuple[int, ...],
    c: int,
    k: int,
    bias: bool = True,
    activation: str | None = None,
    fill: Fill = normal,
) -> list[Case]:
    """The passes of a layer from C to K features."""
    params = dense_params(activation)
    x, y, w = Spec((*rows, c), FLOAT), Spec((*rows, k), FLOAT), Spec((c, k), FLOAT)
    b = Spec((k,), FLOAT) if bias else None
    return [
        Case(name, "dense", "forward", (x, w, b), params, fill=fill),
        Case(name, "dense", "backward_input", (y, w, None), params, (x,), fill=fill),
        Case(name, "dense", "backward_weight", (y, x), params, (w, b), fill=fill),
        Case(name, "dense", "backward_bias", (y,), params, fill=fill),
    ]


def scaled(layer: Dense) -> Dense:
    """The layer with an eighth of the features where it is large."""
    return layer._replace(c=layer.c // 8, k=layer.k // 8) if layer.c > 1024 else layer


# Layers that become equal are tested once.
SCALED = {scaled(layer)[1:]: scaled(layer) for layer in DENSE_LAYERS[::-1]}
NAMED = [
    case
    for layer in SCALED.values()
    for n in (1, 7)
    for case in dense_cases(f"{layer.name}, batch {n}", (n,), layer.c, layer.k)
]
# VGG's first one is left out: its weights alone are 400 MB.
FULL = [
    case
    for layer in DENSE_LAYERS
    if layer.c * layer.k < 1 << 26
    for case in dense_cases(layer.name, (2,), layer.c, layer.k)
]
SHAPES: dict[str, tuple[tuple[int, ...], int, int]] = {
    "size 1": ((1,), 1, 1),
    "one sample without a batch": ((), 5, 3),
    "primes": ((13,), 17, 11),
    "one feature": ((9,), 1, 7),
    "one result": ((33,), 65, 1),
    "one row": ((1,), 129, 127),
    "sequences": ((3, 5), 7, 9),
    "four axes": ((2, 3, 2), 4, 5),
    "empty batch": ((0,), 6, 4),
    "multiples of 16": ((32,), 64, 48),
    "around 16": ((15,), 17, 33),
    "many rows": ((301,), 5, 3),
    "large tiles": ((140,), 20, 150),
    "large tiles of dx": ((140,), 150, 20),
    "large tiles of dw": ((20,), 140, 150),
    "large tiles of parts": ((5,), 300, 164),
}
AWKWARD = [case for name, shape in SHAPES.items() for case in dense_cases(name, *shape)]
NO_BIAS = dense_cases("no bias", (5,), 6, 7, bias=False)
ACTIVATED = [dense_cases(f"with {kind}", (7,), 5, 19, activation=kind)[0] for kind in KINDS]
# Around the blocks of the tiled rows: tiles of 6 and 8 rows, panels of 16 to 64 columns, 8 or 16 of
# them in a chunk, 8, 32, 128 or 1024 terms at a time, 128 rows, and 8 rows of dot products. In
# backward_input, w is transposed where that is less than to transpose dy and dx.
BLOCKS: dict[str, tuple[int, int, int]] = {
    "a tile and a row, a panel and a column": (7, 97, 65),
    "nine rows": (9, 130, 33),
    "seventeen rows, many panels": (17, 100, 1030),
    "more rows than a block": (261, 50, 81),
    "more terms than a block in every pass": (137, 261, 195),
    "one row, long": (1, 517, 1100),
    "a tile of rows, long": (5, 261, 1100),
    "w transposed, more rows than a block": (300, 140, 270),
    "eight rows, long": (8, 1100, 130),
    "rows of w a multiple of 8 KB": (33, 70, 2048),
    "rows of x a multiple of 8 KB": (35, 2048, 70),
}
BLOCKED = [
    case
    for name, (n, c, k) in BLOCKS.items()
    for case in dense_cases(name, (n,), c, k, fill=integers)
]
MEDIUM = [
    *dense_cases("many blocks", (140,), 530, 400),
    *dense_cases("medium", (130,), 200, 150),
    *dense_cases("one row, medium", (1,), 700, 500),
]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED, native=True))
def test_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.slow
@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(FULL, ["float32"], native=True))
def test_whole_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases([*AWKWARD, *NO_BIAS, *ACTIVATED]))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


@pytest.mark.parametrize("case", BLOCKED, ids=str)
def test_blocks_are_exact(case: Case) -> None:
    """Sums of small integers leave no room for a column that is lost or added twice."""
    for parameter in row_cases([case], ["float32", "float64"], native=True):
        row = parameter.values[0]
        if isinstance(row, Row) and row.name == "cpu_tiled":
            check_row(*parameter.values, isas=_core.available_isas(), exact=True)


@given(st.integers(1, 70), st.integers(1, 300), st.integers(1, 150), st.integers(0, 2))
def test_drawn_blocks(n: int, c: int, k: int, turn: int) -> None:
    n, c, k = [(n, c, k), (c, k, n), (k, n, c)][turn]
    for case in dense_cases(f"{n} {c} {k}", (n,), c, k, fill=integers):
        for parameter in row_cases([case], ["float32"], native=True):
            row = parameter.values[0]
            if isinstance(row, Row) and row.name == "cpu_tiled":
                check_row(*parameter.values, exact=True)


def test_every_row_has_a_case() -> None:
    check_coverage("dense", AWKWARD)


@given(
    st.lists(st.integers(0, 6), max_size=2).map(tuple),
    st.integers(1, 40),
    st.integers(1, 40),
    st.booleans(),
)
def test_drawn_shapes(rows: tuple[int, ...], c: int, k: int, bias: bool) -> None:
    for case in dense_cases(f"{rows} {c} {k}", rows, c, k, bias):
        check_all_rows(case)


@pytest.mark.parametrize("shape", SHAPES)
def test_integers_are_exact(shape: str) -> None:
    for case in dense_cases(shape, *SHAPES[shape], fill=integers):
        check_all_rows(case, exact=True)


def spoilt(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    """NaN and infinities in both operands."""
    arrays = normal(rng, specs)
    for a, values in zip(arrays, ((np.nan, np.inf, -np.inf), (np.inf, np.nan))):
        if a is not None:
            a.reshape(-1)[3 : 3 + 5 * len(values) : 5] = values
    return arrays


@pytest.mark.parametrize("case", dense_cases("NaN", (9,), 6, 7, fill=spoilt), ids=str)
def test_nan_and_inf(case: Case) -> None:
    check_all_rows(case)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize("case", dense_cases("small", (4,), 5, 3), ids=str)
def test_mutants(case: Case) -> None:
    check_mutants(case)


def test_gradients() -> None:
    rng = np.random.default_rng(0)
    x, w, b, dy = (rng.standard_normal(s) for s in ((2, 3, 4), (4, 5), (5,), (2, 3, 5)))

    def f(x: Array, w: Array, b: Array) -> Array:
        return ck.ops.dense(x, w, b, kernel="reference")

    for dx in each_row(
        "dense", "backward_input", lambda k: ck.ops.dense_backward_input(dy, w, kernel=k)
    ):
        assert_gradient(dx, lambda v: f(v, w, b), x, dy)
    for dw, db in each_row(
        "dense", "backward_weight", lambda k: ck.ops.dense_backward_weight(dy, x, kernel=k)
    ):
        assert_gradient(dw, lambda v: f(x, v, b), w, dy)
        assert_gradient(db, lambda v: f(x, w, v), b, dy)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("k", [1, 10, 64, 70, 1031])
def test_the_bias_has_the_same_bits_without_the_weights(dtype: str, k: int) -> None:
    rng = np.random.default_rng(0)
    for rows in (1, 7, 130):
        dy, x = (rng.standard_normal((rows, n)).astype(dtype) for n in (k, 3))
        for isa in _core.available_isas():
            with use_isa(isa):
                _, db = ck.ops.dense_backward_weight(dy, x, kernel="cpu_tiled")
                assert ck.ops.dense_backward_bias(dy).tobytes() == db.tobytes(), (rows, isa)


def test_layouts() -> None:
    rng = np.random.default_rng(0)
    x, w, b, dy = (
        rng.standard_normal(s).astype(np.float32) for s in ((4, 6), (6, 5), (5,), (4, 5))
    )
    assert_layouts(ck.ops.dense, x, w, b)
    assert_layouts(ck.ops.dense_backward_input, dy, w)
    assert_layouts(ck.ops.dense_backward_weight, dy, x)
    assert_layouts(ck.ops.dense_backward_bias, dy)


X, W, DY = np.ones((3, 4), np.float32), np.ones((4, 5), np.float32), np.ones((3, 5), np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "w has dtype int32", lambda: ck.ops.dense(X, W.astype(np.int32))),
        (TypeError, "different dtypes", lambda: ck.ops.dense(X.astype(np.float64), W)),
        (ValueError, "expected x .* and w", lambda: ck.ops.dense(X, W[0])),
        (ValueError, "expected x .* and w", lambda: ck.ops.dense(X[0, 0], W)),
        (ValueError, "x has 4 features, w expects 3", lambda: ck.ops.dense(X, W[:3])),
        (ValueError, "b has shape", lambda: ck.ops.dense(X, W, X[0])),
        (ValueError, "unknown activation", lambda: ck.ops.dense(X, W, activation="rleu")),
        (ValueError, "no kernel 'mine'", lambda: ck.ops.dense(X, W, kernel="mine")),
        (ValueError, "expected dy", lambda: ck.ops.dense_backward_input(X, W)),
        (ValueError, "expected dy", lambda: ck.ops.dense_backward_bias(X[0, 0])),
        (ValueError, "same leading axes", lambda: ck.ops.dense_backward_weight(DY[:2], X)),
        (TypeError, "different dtypes", lambda: ck.ops.dense_backward_weight(DY, X.astype("f8"))),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
