"""update: every row of every rule against the reference; plain SGD bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops.registry import Array, Spec, Step
from convkit.ops.update import OP, STATE, update_params
from convkit.testing.update_calls import operands
from ops.harness import (
    FLOAT,
    Case,
    check_all_rows,
    check_coverage,
    check_mutants,
    check_row,
    check_threads,
    problem,
    row_cases,
    run_row,
    use_isa,
)
from ops.numeric import assert_layouts


def step_case(
    rule: str,
    name: str,
    n: int,
    *,
    without: tuple[str, ...] = (),
    step: int = 0,
    learning_rate: float = 0.05,
    **options: Any,
) -> Case:
    """A step of a rule; `without` are the states that it does without."""
    params = update_params(**options)
    given = [state not in without for state in ("g", *STATE[rule], "w")]

    def fill(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
        return operands(rule, given, n, rng, spread=True)

    specs = tuple(Spec((n,), FLOAT) if there else None for there in given)
    block = Step(step=step, learning_rate=learning_rate)
    return Case(f"{rule} {name} {options}", "update", rule, specs, params, step=block, fill=fill)


def sgd_case(name: str, n: int, learning_rate: float = 0.05, **options: Any) -> Case:
    without = () if options.get("momentum") else ("v?",)
    return step_case("sgd", name, n, without=without, learning_rate=learning_rate, **options)


def adam_case(name: str, n: int, step: int = 0, **options: Any) -> Case:
    options = {"without": ("largest?",), "learning_rate": 0.01, **options}
    return step_case("adam", name, n, step=step, **options)


def norm_case(name: str, *lengths: int) -> Case:
    specs = tuple(Spec((n,), FLOAT) for n in lengths)
    return Case(f"norm {name}", "update", "global_norm", specs, update_params())


def clip_case(name: str, n: int, norm: float, max_norm: float) -> Case:
    def fill(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
        return [np.array([norm]), rng.standard_normal(n)]

    specs, params = (Spec((1,), FLOAT), Spec((n,), FLOAT)), update_params(max_norm=max_norm)
    return Case(
        f"clip {name}", "update", "clip_norm", specs, params, fill=fill, trivial=norm < max_norm
    )


RULES: tuple[dict[str, Any], ...] = (
    {},
    {"lr_scale": 0.3},
    {"weight_decay": 0.1},
    {"weight_decay": 0.1, "decoupled": False},
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"momentum": 0.5, "nesterov": True, "weight_decay": 0.01, "lr_scale": 2.0},
    {"momentum": 0.99, "weight_decay": 0.01, "decoupled": False},
    {"momentum": 1e-50},  # 0 in float32, and yet there is a velocity
    {"maximize": True},
    {"clip_value": 0.05},
    {"maximize": True, "clip_value": 0.5, "weight_decay": 0.1, "decoupled": False},
    {"momentum": 0.9, "clip_value": 0.05, "weight_decay": 0.1},
    {"momentum": 1.0, "maximize": True},
)
ADAMS: tuple[dict[str, Any], ...] = (
    {},
    {"step": 1},
    {"step": 999_999},
    {"step": (1 << 62) - 1},
    {"beta1": 0.0},
    {"beta1": 0.5, "beta2": 0.9, "epsilon": 1e-3, "step": 3},
    {"weight_decay": 0.1, "lr_scale": 0.5},
    {"weight_decay": 0.1, "decoupled": False, "step": 10},
    {"maximize": True, "clip_value": 0.5},
    {"without": (), "step": 5},
)
BEFORE: dict[str, Any] = {"maximize": True, "clip_value": 0.5, "weight_decay": 0.1}
OTHERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("adagrad", {}),
    ("adagrad", {"epsilon": 1e-3, "lr_scale": 0.3, **BEFORE}),
    ("adadelta", {"rho": 0.95}),
    ("adadelta", {"rho": 0.5, "epsilon": 1e-2, "decoupled": False, **BEFORE}),
    ("rmsprop", {"without": ("mean?", "v?")}),
    ("rmsprop", {"without": ("mean?", "v?"), "rho": 0.99, "epsilon": 1e-3, **BEFORE}),
    ("rmsprop", {"without": ("mean?",), "momentum": 0.9}),
    ("rmsprop", {"without": ("v?",), "epsilon": 1e-2}),
    ("rmsprop", {"momentum": 0.5, "epsilon": 1e-2, "decoupled": False, **BEFORE}),
    ("nadam", {}),
    ("nadam", {"step": 1_000_000}),
    ("nadam", {"step": (1 << 62) - 1}),
    ("nadam", {"step": 3, "beta1": 0.999, "beta2": 0.9, "epsilon": 1e-3, **BEFORE}),
    ("adamax", {}),
    ("adamax", {"step": 7, "beta1": 0.0, "beta2": 0.5, "epsilon": 1e-3, **BEFORE}),
    ("lion", {"beta2": 0.99}),
    ("lion", {"beta1": 0.5, "decoupled": False, **BEFORE}),
)
LENGTHS = (1, 7, 16, 63, 64, 65, 1009)
AWKWARD = [
    sgd_case("of blocks", 9001, momentum=0.9),
    *(sgd_case(str(n), n, **rule) for rule in RULES for n in (0, *LENGTHS)),
    *(adam_case(str(n), n, **rule) for rule in ADAMS for n in (0, *LENGTHS)),
    *(step_case(rule, str(n), n, **options) for rule, options in OTHERS for n in (0, *LENGTHS)),
    *(norm_case(str(n), n) for n in (0, *LENGTHS)),
    norm_case("of three", 7, 0, 65),
    norm_case("of many", *range(70)),
    norm_case("of chunks", 40_003, 20_011),
    *(clip_case(str(n), n, 7.5, 5.0) for n in (0, *LENGTHS)),
    clip_case("below", 65, 4.9, 5.0),
]
MEDIUM = [
    sgd_case("medium", 100_003),
    sgd_case("medium", 100_003, momentum=0.9, nesterov=True),
    adam_case("medium", 100_003, weight_decay=0.1),
    *(step_case(rule, "medium", 100_003, **options) for rule, options in OTHERS),
    norm_case("medium", 100_003, 20_011),
    clip_case("medium", 100_003, 7.5, 5.0),
]
PLAIN = [
    sgd_case(f"plain {n} {rate}", n, rate) for n in (*LENGTHS, 20_011) for rate in (0.05, 1.0, 3e-5)
]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("update", AWKWARD)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(PLAIN, native=True))
def test_plain_sgd_has_the_bits_of_numpy(row: Any, case: Case, dtype: str) -> None:
    """``w - lr * g`` in the working dtype: two roundings, no fused multiply-add."""
    p = problem(case, dtype)
    g, _, w = p.inputs
    assert g is not None and w is not None
    expected = w - g.dtype.type(case.step.learning_rate) * g
    on_cpu = row.device == "cpu"
    for isa in _core.available_isas() if on_cpu else [_core.isa()]:
        with use_isa(isa):
            for end in (True, False) if on_cpu else (None,):
                got = run_row(row, p, end=end)[1]
                assert got is not None and got.tobytes() == expected.tobytes(), isa


@given(
    st.integers(0, 200),
    st.just(0.0) | st.floats(0.01, 0.99),
    st.booleans(),
    st.sampled_from([0.0, 0.1]),
    st.booleans(),
)
def test_drawn_sgd(n: int, momentum: float, nesterov: bool, decay: float, decoupled: bool) -> None:
    options = {"momentum": momentum, "nesterov": nesterov, "weight_decay": decay}
    check_all_rows(sgd_case("drawn", n, decoupled=decoupled, **options))


@given(
    st.integers(0, 200),
    st.integers(0, 10_000),
    st.floats(0, 0.99),
    st.floats(0.5, 0.9999),
    st.sampled_from([0.0, 0.1]),
    st.booleans(),
)
def test_drawn_adam(
    n: int, step: int, beta1: float, beta2: float, decay: float, decoupled: bool
) -> None:
    options = {"beta1": beta1, "beta2": beta2, "weight_decay": decay, "decoupled": decoupled}
    check_all_rows(adam_case("drawn", n, step, **options))


@given(
    st.sampled_from([rule for rule in STATE if rule not in ("sgd", "adam")]),
    st.integers(0, 200),
    st.integers(0, 10_000),
    st.floats(0, 0.99),
    st.sampled_from([{}, {"maximize": True}, {"clip_value": 0.3}, {"weight_decay": 0.1}]),
    st.booleans(),
)
def test_drawn_steps(
    rule: str, n: int, step: int, average: float, options: dict[str, Any], decoupled: bool
) -> None:
    averages = {"momentum": average, "beta1": average, "beta2": average, "rho": average}
    options = {**averages, "epsilon": 1e-2, "decoupled": decoupled, **options}
    check_all_rows(step_case(rule, "drawn", n, step=step, **options))


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize(
    "case",
    [
        sgd_case("", 9, momentum=0.9),
        adam_case("", 9),
        *(step_case(rule, "", 9) for rule in STATE if rule not in ("sgd", "adam")),
        norm_case("", 9),
        clip_case("", 9, 7.5, 5.0),
    ],
    ids=str,
)
def test_mutants(case: Case) -> None:
    check_mutants(case)


def test_steps_against_formulas_by_hand() -> None:
    g, w = np.array([0.5, -2.0]), np.array([1.0, 1.0])
    for row in ck.ops.kernels("update", "sgd"):
        new, velocity = ck.ops.sgd(g, w, learning_rate=0.1, kernel=row.name)
        assert velocity is None
        np.testing.assert_allclose(new, [0.95, 1.2], rtol=1e-15)
        new, velocity = ck.ops.sgd(
            g, w, np.array([1.0, 1.0]), learning_rate=0.1, momentum=0.5, kernel=row.name
        )
        np.testing.assert_allclose(velocity, [0.45, 0.7], rtol=1e-15)
        np.testing.assert_allclose(new, [1.45, 1.7], rtol=1e-15)
    for row in ck.ops.kernels("update", "adam"):
        new, m, v = ck.ops.adam(g, w, learning_rate=0.1, epsilon=0.0, kernel=row.name)
        # In the first step the corrections cancel the averages: a step of the learning rate.
        np.testing.assert_allclose(new, [0.9, 1.1], rtol=1e-13)
        np.testing.assert_allclose(m, 0.1 * g, rtol=1e-13)
        np.testing.assert_allclose(v, 0.001 * g * g, rtol=1e-13)


@pytest.mark.parametrize("row", ["cpu_simd", "cpu_naive", "reference"])
def test_clipping_by_hand(row: str) -> None:
    g = [np.array([3.0, 0.0], np.float32), np.array([[4.0]], np.float32)]
    clipped, norm = ck.ops.clip_by_global_norm(g, 2.5, kernel=row)
    assert norm == 5.0
    np.testing.assert_array_equal(clipped[0], [1.5, 0.0])
    np.testing.assert_array_equal(clipped[1], [[2.0]])
    assert g[0][0] == 3.0 and clipped[0].dtype == np.float32
    same, norm = ck.ops.clip_by_global_norm(g, 5.0, kernel=row)
    np.testing.assert_array_equal(same[0], g[0])
    # Squares beyond the range of float32 do no harm.
    clipped, norm = ck.ops.clip_by_global_norm([np.array([3e30, 4e30], np.float32)], 5, kernel=row)
    np.testing.assert_allclose(clipped[0], [3, 4], rtol=1e-6)


def test_nan_and_inf_stay_where_they_are() -> None:
    g = np.array([1.0, np.nan, np.inf, 1.0, 1.0], np.float32)
    w = np.array([1.0, 1.0, 1.0, np.nan, -np.inf], np.float32)
    for row in ck.ops.kernels("update", "sgd"):
        for momentum in (0.0, 0.9):
            new, _ = ck.ops.sgd(g, w, learning_rate=0.5, momentum=momentum, kernel=row.name)
            np.testing.assert_array_equal(new, [0.5, np.nan, -np.inf, np.nan, -np.inf])
    for row in ck.ops.kernels("update", "adam"):
        new, _, _ = ck.ops.adam(g, w, kernel=row.name)
        assert np.isnan(new).tolist() == [False, True, True, True, False], row.name


def test_arguments_stay_as_they_are() -> None:
    g, w, m, v = (np.full((3, 4), x, np.float32) for x in (0.1, 1.0, 0.2, 0.3))
    before = [a.tobytes() for a in (g, w, m, v)]
    new, _ = ck.ops.sgd(g, w, m, learning_rate=0.1, momentum=0.9)
    assert new.shape == w.shape and not np.shares_memory(new, w)
    for result, given_array in zip(ck.ops.adam(g, w, m, v), (w, m, v), strict=True):
        assert not np.shares_memory(result, given_array) and (result != given_array).all()
    assert [a.tobytes() for a in (g, w, m, v)] == before


def test_layouts() -> None:
    g, w, m, v = np.random.default_rng(0).random((4, 5, 8)).astype(np.float32)
    assert_layouts(lambda g, w, v: ck.ops.sgd(g, w, v, learning_rate=0.1, momentum=0.9)[0], g, w, v)
    assert_layouts(ck.ops.adam, g, w, m, v)


G = np.ones(4, np.float32)
SGD, ADAM = ck.ops.sgd, ck.ops.adam


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "differ: .* must be alike", lambda: SGD(G, G[:3], learning_rate=0.1)),
        (TypeError, "different dtypes", lambda: SGD(G, G.astype("f8"), learning_rate=0.1)),
        (TypeError, "g has dtype int64", lambda: SGD(G.astype(int), G, learning_rate=0.1)),
        (ValueError, "momentum is 2", lambda: SGD(G, G, learning_rate=0.1, momentum=2)),
        (ValueError, "weight_decay is -1", lambda: SGD(G, G, learning_rate=0.1, weight_decay=-1)),
        (ValueError, "beta1 is 1.5", lambda: ADAM(G, G, beta1=1.5)),
        (ValueError, "beta2 is nan", lambda: ADAM(G, G, beta2=float("nan"))),
        (ValueError, "epsilon is -1", lambda: ADAM(G, G, epsilon=-1)),
        (ValueError, "step is -1", lambda: ADAM(G, G, step=-1)),
        (ValueError, r"expected 0 to 2\*\*62 - 1", lambda: ADAM(G, G, step=1 << 62)),
        (ValueError, r"expected 0 to 2\*\*62 - 1", lambda: ADAM(G, G, step=1 << 64)),
        (TypeError, r"\[update\] step must be an int, got 1.7", lambda: ADAM(G, G, step=1.7)),
        (TypeError, "step must be an int, got True", lambda: ADAM(G, G, step=True)),
        (ValueError, "must be alike", lambda: ADAM(G, G, G[:2], G)),
        (ValueError, "max_norm is 0", lambda: ck.ops.clip_by_global_norm([G], 0)),
        (ValueError, "at least one gradient", lambda: ck.ops.clip_by_global_norm([], 1)),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()


def test_numpy_integers_are_steps() -> None:
    for a, b in zip(ADAM(G, G, step=np.uint8(3)), ADAM(G, G, step=3), strict=True):
        assert a.tobytes() == b.tobytes()


def test_momentum_needs_a_velocity_in_programs() -> None:
    infer = OP["sgd"].infer
    assert infer is not None
    with pytest.raises(ValueError, match="needs a velocity"):
        infer(update_params(momentum=0.9), [Spec((4,)), None, Spec((4,))])
