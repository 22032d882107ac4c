"""activation: every row of every kind against the reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.activation import FROM_OUTPUT, KINDS, OP, activate, activation_params
from convkit.ops.registry import Array, Spec
from ops.cases import ACTIVATION_LAYERS
from ops.harness import (
    FLOAT,
    Case,
    Fill,
    check_all_rows,
    check_coverage,
    check_inplace,
    check_mutants,
    check_row,
    check_threads,
    row_cases,
)
from ops.numeric import assert_gradient, assert_layouts, each_row


def wide(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    """Values of all magnitudes, most of them where the functions bend."""
    arrays: list[Array | None] = []
    for s in specs:
        assert s is not None
        scale = rng.choice([0.001, 0.1, 1.0, 1.0, 3.0, 10.0], s.shape)
        arrays.append((scale * rng.standard_normal(s.shape)).astype(np.float32))
    return arrays


def every_magnitude(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    """Zeros, kinks, and powers of two up to where exp overflows."""
    powers = 2.0 ** np.arange(-30, 8)
    kinks = np.array([0.0, -0.0, 1.0, -1.0, 3.0, -3.0, 87.0, -87.0, 88.7, 104.0, -104.0, 700.0])
    values = np.concatenate([powers, -powers, kinks]).astype(np.float32)
    return [None if s is None else np.resize(values, s.shape) for s in specs]


def spoilt(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
    """NaN and infinities in x (or y), and finite gradients."""
    arrays = wide(rng, specs)
    x = arrays[-1]
    assert x is not None
    x.reshape(-1)[[1, 4, 7, 17]] = [np.nan, np.inf, -np.inf, np.nan]
    return arrays


def activation_cases(
    name: str, kind: str, shape: tuple[int, ...], alpha: float | None = None, fill: Fill = wide
) -> list[Case]:
    """The passes of one kind."""
    params, s = activation_params(kind, alpha), Spec(shape, FLOAT)

    def outputs(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
        dy, x = fill(rng, specs)
        assert x is not None
        y = np.asarray(activate(x.astype(np.float64), kind, params["alpha"]), np.float32)
        return [dy, y]

    name = f"{kind} {name}"
    cases = [
        Case(name, "activation", "forward", (s,), params, fill=fill),
        Case(name, "activation", "backward", (s, s), params, fill=fill),
    ]
    if kind in FROM_OUTPUT:
        back = Case(name, "activation", "backward_from_output", (s, s), params, fill=outputs)
        cases.append(back)
    # The derivative of a step is 0 everywhere: nothing is what it must do.
    return cases


NAMED = [
    case
    for layer in ACTIVATION_LAYERS
    for case in activation_cases(layer.name, layer.kind, (1, min(layer.h, 28), layer.w, layer.c))
]
SHAPES = {
    "size 1": (1,),
    "no axes": (),
    "prime": (257,),
    "around a vector": (3, 17),
    "empty": (0, 5),
    "six axes": (2, 1, 3, 2, 1, 5),
}
AWKWARD = [
    case
    for kind in KINDS
    for name in ("prime", "around a vector")
    for case in activation_cases(name, kind, SHAPES[name])
] + [
    case
    for kind in ("relu", "tanh", "silu")
    for name, shape in SHAPES.items()
    for case in activation_cases(name, kind, shape)
]
ALPHAS = [
    case
    for kind, alpha in (("leaky_relu", 0.0), ("leaky_relu", 1.5), ("elu", 0.3), ("elu", 0.0))
    for case in activation_cases(f"alpha {alpha}", kind, (3, 37), alpha)
]
# Where exp overflows float32 but not float64, the bound of the derivative of the exponential is
# infinite; the forward pass covers these values for every kind.
MAGNITUDES = [
    activation_cases("magnitudes", kind, (88,), fill=every_magnitude)[0] for kind in KINDS
]
NAN = [case for kind in KINDS for case in activation_cases("NaN", kind, (5, 7), fill=spoilt)]
MEDIUM = [c for k in ("relu", "tanh", "gelu") for c in activation_cases("medium", k, (300_001,))]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED, native=True))
def test_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases([*AWKWARD, *ALPHAS]))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("activation", AWKWARD)


@given(st.sampled_from(KINDS), st.lists(st.integers(0, 20), max_size=3).map(tuple))
def test_drawn_shapes(kind: str, shape: tuple[int, ...]) -> None:
    for case in activation_cases(str(shape), kind, shape):
        check_all_rows(case)


@pytest.mark.parametrize("case", MAGNITUDES, ids=lambda case: case.name)
def test_magnitudes(case: Case) -> None:
    check_all_rows(case)


@pytest.mark.parametrize("case", NAN, ids=lambda case: f"{case.pass_name} {case.name}")
def test_nan_and_inf(case: Case) -> None:
    check_all_rows(case)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize(
    ("row", "case", "dtype"),
    row_cases([c for kind in KINDS for c in activation_cases("in place", kind, (67,))]),
)
def test_inplace(row: Any, case: Case, dtype: str) -> None:
    if row.native:
        check_inplace(row, case, dtype)


@pytest.mark.parametrize("kind", ["relu", "tanh", "elu"])
def test_mutants(kind: str) -> None:
    for case in activation_cases("small", kind, (5, 40)):
        check_mutants(case)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients(kind: str) -> None:
    rng = np.random.default_rng(0)
    # Kinks lie at 0, at +-1 and at +-3: differences stay on one side of them.
    x = rng.uniform(-4, 4, 60)
    x = x[np.abs(x - np.round(x)) > 0.02].reshape(-1)
    dy = rng.standard_normal(x.shape)

    def f(v: Array) -> Array:
        return ck.ops.activation(v, kind, kernel="reference")

    for dx in each_row(
        "activation", "backward", lambda k: ck.ops.activation_backward(dy, x, kind, kernel=k)
    ):
        if kind == "step":
            assert not dx.any()
        else:
            assert_gradient(dx, f, x, dy)


def test_scaled_tanh_is_the_papers() -> None:
    """f(1) = 1 and f(-1) = -1 to the digits of its constants; the slope at 0 is 1.7159 * 2/3."""
    y = ck.ops.scaled_tanh(np.array([-1e3, -1.0, 0.0, 1.0, 1e3]))
    np.testing.assert_allclose(y, [-1.7159, -1.0, 0.0, 1.0, 1.7159], atol=4e-5)
    slope = ck.ops.activation_backward(np.ones(1), np.zeros(1), "scaled_tanh")
    np.testing.assert_allclose(slope, 1.7159 * 2 / 3, rtol=1e-15)
    assert ck.activations.get("scaled_tanh") is ck.activations.scaled_tanh is ck.nn.scaled_tanh


@pytest.mark.parametrize(
    ("kind", "slope"), [("relu", 0.0), ("leaky_relu", 0.2), ("elu", 1.0), ("hardtanh", 1.0)]
)
def test_derivative_at_the_kink_is_that_of_the_side_below(kind: str, slope: float) -> None:
    zero, one = np.zeros(1), np.ones(1)
    for dx in each_row(
        "activation", "backward", lambda k: ck.ops.activation_backward(one, zero, kind, kernel=k)
    ):
        assert dx[0] == slope


@pytest.mark.parametrize(("kind", "end"), [("hardtanh", 1.0), ("hard_sigmoid", 3.0)])
def test_derivative_at_the_ends_is_zero(kind: str, end: float) -> None:
    x, one = np.array([-end, 0.0, end]), np.ones(3)
    slope = 1.0 if kind == "hardtanh" else 1 / 6
    for dx in each_row(
        "activation", "backward", lambda k: ck.ops.activation_backward(one, x, kind, kernel=k)
    ):
        np.testing.assert_allclose(dx, [0, slope, 0], rtol=1e-15)


def test_layouts() -> None:
    x, dy = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32)
    assert_layouts(ck.ops.tanh, x)
    assert_layouts(lambda dy, x: ck.ops.activation_backward(dy, x, "gelu"), dy, x)


def test_each_kind_has_its_function() -> None:
    x = np.linspace(-2, 2, 9)
    for kind in KINDS:
        np.testing.assert_array_equal(getattr(ck.ops, kind)(x), ck.ops.activation(x, kind))
    assert set(FROM_OUTPUT) < set(KINDS) and len(OP.passes) == 3


X = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (TypeError, "x has dtype int8", lambda: ck.ops.relu(X.astype(np.int8))),
        (
            TypeError,
            "different dtypes",
            lambda: ck.ops.activation_backward(X, X.astype("f8"), "relu"),
        ),
        (ValueError, "dy has shape", lambda: ck.ops.activation_backward(X[0], X, "relu")),
        (ValueError, "unknown activation 'reul'; did you", lambda: ck.ops.activation(X, "reul")),
        (ValueError, "finite and at least 0", lambda: ck.ops.leaky_relu(X, -0.1)),
        (ValueError, "relu has no alpha", lambda: ck.ops.activation(X, "relu", 0.5)),
        (ValueError, "no kernel", lambda: ck.ops.relu(X, kernel="nothing")),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
