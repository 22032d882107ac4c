"""batch_norm: every row against the reference, on data whose mean is far from 0 too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops import registry
from convkit.ops.registry import Array
from convkit.testing.awkward_calls import awkward_calls
from convkit.testing.named_calls import calls_of
from convkit.testing.normalization_calls import batch_norm
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
from ops.numeric import assert_gradient, assert_layouts, each_row

FORWARD, BACKWARD = ck.ops.batch_norm, ck.ops.batch_norm_backward
INFERENCE, UPDATE = ck.ops.batch_norm_inference, ck.ops.batch_norm_update

NAMED = [as_case(call) for call in calls_of("batch_norm", small=True)]
# The gradients of one row, or of the mean of 1, are 0.
AWKWARD = [
    as_case(call, trivial=call.specs[0].shape[0] == 1) for call in awkward_calls("batch_norm")
]
MEDIUM = [as_case(call) for call in batch_norm("medium", (11, 13, 17, 40))]
# Two chunks for a GPU, and small enough for its emulator.
TWO_CHUNKS = [as_case(call) for call in batch_norm("two chunks", (1100, 24))]
WITHOUT_SOME = [
    Case(
        f"{c.name}, {absent} absent", c.op, c.pass_name, c.specs, c.params, tuple(out), fill=c.fill
    )
    for c in [*map(as_case, batch_norm("medium", (5, 7, 3))), *TWO_CHUNKS]
    if c.pass_name.startswith("backward")
    for i, absent in enumerate(("dx", "dgamma", "dbeta"))
    for out in [[s if j != i else None for j, s in enumerate(c.out_at("float"))]]
]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED, native=True))
def test_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.parametrize(
    ("row", "case", "dtype"), row_cases([*AWKWARD, *TWO_CHUNKS, *WITHOUT_SOME])
)
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("batch_norm", AWKWARD)


@given(
    st.lists(st.integers(0, 9), min_size=0, max_size=3),
    st.integers(0, 70),
    st.booleans(),
    st.sampled_from([0.0, 1.0, 300.0]),
)
def test_drawn_shapes(axes: list[int], c: int, affine: bool, mean: float) -> None:
    for call in batch_norm("drawn", (*axes, c), affine=affine, mean=mean):
        check_all_rows(as_case(call, trivial=True))


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


INPLACE = [c for c in [*MEDIUM, *TWO_CHUNKS] if registry.get("batch_norm")[c.pass_name].inplace]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(INPLACE, native=True))
def test_inplace(row: Any, case: Case, dtype: str) -> None:
    check_inplace(row, case, dtype)


@pytest.mark.parametrize(
    "case", [as_case(c) for c in batch_norm("small", (4, 3, 5))], ids=lambda case: case.pass_name
)
def test_mutants(case: Case) -> None:
    check_mutants(case)


@pytest.mark.parametrize("pass_name", ["forward", "backward", "inference"])
def test_scratch_memory(pass_name: str) -> None:
    """A long row of odd C has 16 C values, and threads do not have more of them than fit."""
    row = ck.ops.kernels("batch_norm", pass_name)[0]

    def workspace(rows: int, c: int) -> int:
        call = next(k for k in batch_norm("x", (rows, c)) if k.pass_name == pass_name)
        return row.workspace_bytes([*call.specs, *call.outputs()], call.params)

    assert 0 < workspace(4096, 9215) < 64 << 20
    assert workspace(0, (1 << 59) + 1) == 1 << 62


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(40_000, 3), (7, 31, 30, 20), (300, 200)])
def test_a_mean_far_from_zero_costs_no_accuracy(shape: tuple[int, ...], dtype: str) -> None:
    """Squares of x have 8 digits more than their difference from the mean's: none is lost."""
    rng = np.random.default_rng(0)
    x = (1e4 + rng.standard_normal(shape)).astype(np.float32)
    rows = x.reshape(-1, shape[-1]).astype(np.longdouble)
    for row in ck.ops.kernels("batch_norm", "forward"):
        _, mean, variance = FORWARD(x.astype(dtype), kernel=row.name)
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(mean, rows.mean(axis=0), rtol=2 * eps)
        # A sum of squares of up to 320 terms in the dtype, of all in double.
        np.testing.assert_allclose(variance, rows.var(axis=0), rtol=1e-6 if eps > 1e-9 else 1e-13)


@pytest.mark.parametrize("value", [0.1, 1e4, -3e30])
def test_equal_values_have_no_variance(value: float) -> None:
    x = np.full((5000, 7), value, np.float32)
    gamma, beta = np.full(7, 2, np.float32), np.arange(7, dtype=np.float32)
    for row in ck.ops.kernels("batch_norm", "forward"):
        y, mean, variance = FORWARD(x, gamma, beta, kernel=row.name)
        if row.native:
            assert (mean == x[0]).all() and (variance == 0).all(), row.name
            assert (y == beta).all(), row.name


def test_one_row_gives_beta_and_no_gradient() -> None:
    x, beta = np.array([[3.0, -5.0, 1e6]]), np.array([1.0, 2.0, 3.0])
    for row in ck.ops.kernels("batch_norm", "forward"):
        y, mean, variance = FORWARD(x, None, beta, kernel=row.name)
        assert (y == beta).all() and (mean == x[0]).all() and (variance == 0).all()
        dx, dgamma, dbeta = BACKWARD(np.ones_like(x), x, mean, variance, kernel=row.name)
        assert (dx == 0).all() and (dgamma == 0).all() and (dbeta == 1).all()


def test_a_channel_with_nan_spoils_itself_only() -> None:
    x = np.random.default_rng(0).standard_normal((500, 19)).astype(np.float32)
    x[123, 4] = np.nan
    for row in ck.ops.kernels("batch_norm", "forward"):
        for result in FORWARD(x, kernel=row.name):
            bad = np.isnan(result).reshape(-1, 19).all(axis=0)
            assert bad[4] and np.isfinite(np.delete(result, 4, axis=-1)).all(), row.name


def test_by_hand() -> None:
    """(1, 3) has mean 2 and variance 1; with epsilon 3 the deviation counts as 2."""
    x = np.array([[1.0], [3.0]])
    gamma, beta = np.array([4.0]), np.array([0.5])
    y, mean, variance = FORWARD(x, gamma, beta, epsilon=3)
    assert y.tolist() == [[-1.5], [2.5]] and mean.tolist() == [2] and variance.tolist() == [1]
    # h = (-1/2, 1/2), dgamma = 1/2, dbeta = 1: dx = 2 (dy - 1/2 - h/4).
    dx, dgamma, dbeta = BACKWARD(np.array([[0.0], [1.0]]), x, mean, variance, gamma, epsilon=3)
    assert dx.tolist() == [[-0.75], [0.75]] and dgamma.tolist() == [0.5] and dbeta.tolist() == [1]
    assert INFERENCE(x, np.array([1.0]), np.array([1.0]), gamma, epsilon=3).tolist() == [[0], [4]]
    moved = UPDATE(mean, variance, np.array([4.0]), np.array([9.0]), momentum=0.75)
    assert [m.tolist() for m in moved] == [[3.5], [7]]


@pytest.mark.parametrize("shape", [(6, 3), (2, 3, 2, 2)])
def test_gradients(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    x, dy = 2 + rng.standard_normal((2, *shape))
    gamma, beta = rng.standard_normal((2, shape[-1]))
    options: dict[str, Any] = {"epsilon": 0.1}

    def forward(x: Array, gamma: Array, beta: Array) -> Array:
        return FORWARD(x, gamma, beta, kernel="reference", **options)[0]

    _, mean, variance = FORWARD(x, gamma, beta, kernel="reference", **options)
    for dx, dgamma, dbeta in each_row(
        "batch_norm",
        "backward",
        lambda k: BACKWARD(dy, x, mean, variance, gamma, kernel=k, **options),
    ):
        assert_gradient(dx, lambda v: forward(v, gamma, beta), x, dy)
        assert_gradient(dgamma, lambda v: forward(x, v, beta), gamma, dy)
        assert_gradient(dbeta, lambda v: forward(x, gamma, v), beta, dy)


def test_gradients_of_inference() -> None:
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 6, 3))
    gamma, beta, mean = rng.standard_normal((3, 3))
    variance = rng.random(3)

    def inference(x: Array, gamma: Array, beta: Array) -> Array:
        return INFERENCE(x, mean, variance, gamma, beta, kernel="reference")

    for dx, dgamma, dbeta in each_row(
        "batch_norm",
        "backward_inference",
        lambda k: BACKWARD(dy, x, mean, variance, gamma, training=False, kernel=k),
    ):
        assert_gradient(dx, lambda v: inference(v, gamma, beta), x, dy)
        assert_gradient(dgamma, lambda v: inference(x, v, beta), gamma, dy)
        assert_gradient(dbeta, lambda v: inference(x, gamma, v), beta, dy)


def test_layouts() -> None:
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, 6, 4, 5)).astype(np.float32)
    gamma, beta, mean, variance = rng.random((4, 5)).astype(np.float32)
    assert_layouts(FORWARD, x, gamma, beta)
    assert_layouts(INFERENCE, x, mean, variance, gamma, beta)
    assert_layouts(BACKWARD, dy, x, mean, variance, gamma)
    assert_layouts(UPDATE, mean, variance, gamma, beta)


X, C = np.ones((4, 3), np.float32), np.ones(3, np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "x has dtype int64", lambda: FORWARD(np.ones((2, 3), int))),
        (TypeError, "different dtypes", lambda: FORWARD(X, C.astype(np.float64))),
        (ValueError, "at least one axis", lambda: FORWARD(np.float32(1))),
        (
            ValueError,
            r"\[batch_norm\] gamma has shape \(4,\), expected \(3,\).*x, which is \(4, 3\)",
            lambda: FORWARD(X, np.ones(4, np.float32)),
        ),
        (ValueError, "beta has shape", lambda: FORWARD(X, None, np.ones(2, np.float32))),
        (ValueError, "epsilon is 0", lambda: FORWARD(X, epsilon=0)),
        (ValueError, "epsilon is nan", lambda: FORWARD(X, epsilon=float("nan"))),
        (ValueError, "mean has shape", lambda: INFERENCE(X, C[:2], C)),
        (ValueError, "variance has shape", lambda: INFERENCE(X, C, X)),
        (ValueError, r"dy has shape \(3, 3\), expected \(4, 3\)", lambda: BACKWARD(X[1:], X, C, C)),
        (ValueError, "four vectors", lambda: UPDATE(C, C, C, C[:2])),
        (ValueError, "momentum is 1.5", lambda: UPDATE(C, C, C, C, momentum=1.5)),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
