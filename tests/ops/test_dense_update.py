"""dense_update: every row of every rule against the reference, and against dense and update."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops import registry
from convkit.ops.dense_update import OP, limit_of
from convkit.ops.registry import Array, Spec, Step
from convkit.ops.update import STATE, update_params
from convkit.testing.update_calls import dense_operands
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

# Each rule with every combination of states that it can do without.
WITHOUT: dict[str, tuple[tuple[str, ...], ...]] = {
    "sgd": ((), ("v?",)),
    "rmsprop": ((), ("mean?",), ("v?",), ("mean?", "v?")),
    "adam": ((), ("largest?",)),
}
STEPS = [(rule, without) for rule in STATE for without in WITHOUT.get(rule, ((),))]


def case(
    rule: str,
    without: tuple[str, ...],
    rows: tuple[int, ...],
    c: int,
    k: int,
    *,
    step: int = 3,
    **options: Any,
) -> Case:
    """A step of a rule on a layer from C to K features."""
    if "v?" in STATE[rule] and "v?" not in without:
        options = {"momentum": 0.9, **options}
    params = update_params(**{"epsilon": 1e-3, **options})
    given = [True, True, *(state not in without for state in STATE[rule]), True]

    def fill(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
        return dense_operands(rule, given, rows, c, k, rng, spread=True)

    shapes = ((*rows, k), (*rows, c), *((c, k) for _ in given[2:]))
    specs = tuple(Spec(s, FLOAT) if there else None for s, there in zip(shapes, given, strict=True))
    name = f"{rule} {rows} {c} {k} without {without} {options}"
    block = Step(step=step, learning_rate=0.05)
    return Case(name, "dense_update", rule, specs, params, step=block, fill=fill)


SHAPES: dict[str, tuple[tuple[int, ...], int, int]] = {
    "size 1": ((1,), 1, 1),
    "one sample without a batch": ((), 5, 3),
    "primes": ((13,), 17, 11),
    "one result": ((3,), 97, 1),
    "sequences": ((3, 5), 7, 9),
    "empty batch": ((0,), 6, 4),
    "around 64": ((9,), 3, 65),
    "two chunks of columns": ((17,), 5, 1031),
    "two chunks of columns, few samples": ((2,), 5, 4101),
    "two chunks of rows": ((3,), 101, 23),
    "many rows": ((601,), 5, 3),
}
BEFORE: dict[str, Any] = {"maximize": True, "clip_value": 0.5, "weight_decay": 0.1}
OPTIONS: tuple[dict[str, Any], ...] = (
    BEFORE,
    {"weight_decay": 0.1, "decoupled": False, "lr_scale": 0.3},
)
AWKWARD = [
    *(case(rule, without, *SHAPES["primes"]) for rule, without in STEPS),
    *(case("sgd", ("v?",), *shape) for shape in SHAPES.values()),
    *(case("sgd", (), *shape, nesterov=True) for shape in SHAPES.values()),
    *(case("adam", ("largest?",), *shape) for shape in SHAPES.values()),
    *(case(rule, without, *SHAPES["primes"], **o) for rule, without in STEPS for o in OPTIONS),
]
MEDIUM = [case(rule, without, (70,), 300, 1100) for rule, without in STEPS]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("dense_update", AWKWARD)


@given(
    st.sampled_from(STEPS),
    st.lists(st.integers(0, 5), max_size=2).map(tuple),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 10_000),
    st.sampled_from([{}, *OPTIONS]),
)
def test_drawn_shapes(
    rule: tuple[str, tuple[str, ...]],
    rows: tuple[int, ...],
    c: int,
    k: int,
    step: int,
    options: dict[str, Any],
) -> None:
    check_all_rows(case(*rule, rows, c, k, step=step, **options))


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, ["float32"], native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize("rule", STATE)
def test_mutants(rule: str) -> None:
    check_mutants(case(rule, WITHOUT.get(rule, ((),))[-1], (4,), 5, 3))


def in_two(case: Case, dtype: str, gradient: str, update: str) -> list[Array | None]:
    """The new state and weights, by a row of dense and then one of update."""
    dy, x, *changed = problem(case, dtype).inputs
    assert dy is not None and x is not None
    dw, _ = ck.ops.dense_backward_weight(dy, x, kernel=gradient)
    changed = [None if a is None else a.copy() for a in changed]
    (row,) = (r for r in registry.kernels("update", case.pass_name) if r.name == update)
    registry.run(row, case.params, [dw, *changed], [], case.step)
    return changed


@pytest.mark.parametrize(
    ("name", "gradient", "update"),
    [("cpu_tiled", "cpu_tiled", "cpu_simd"), ("cpu_naive", "cpu_naive", "cpu_naive")],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("rule", "without"), STEPS)
def test_the_bits_are_those_of_gradient_and_update(
    name: str, gradient: str, update: str, dtype: str, rule: str, without: tuple[str, ...]
) -> None:
    """So that a training does not depend on whether its gradients are kept."""
    (row,) = (r for r in registry.kernels("dense_update", rule) if r.name == name)
    few = [((13,), 17, 11), ((3,), 14, 4101)]
    shapes = [*few, ((20,), 50, 1031), ((140,), 101, 70), ((601,), 130, 9)]
    for shape in shapes[: 1 if name == "cpu_naive" else None]:
        one = case(rule, without, *shape, weight_decay=0.01)
        for isa in _core.available_isas():
            with use_isa(isa):
                got = run_row(row, problem(one, dtype))
                for a, b in zip(got, in_two(one, dtype, gradient, update), strict=True):
                    assert a is b or a.tobytes() == b.tobytes(), (shape, isa)  # type: ignore[union-attr]


def test_a_step_by_hand() -> None:
    x, dy = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[1.0], [-1.0]])
    w = np.ones((2, 1))
    for row in ck.ops.kernels("dense_update", "sgd"):
        new, state = ck.ops.dense_update("sgd", dy, x, w, learning_rate=0.5, kernel=row.name)
        np.testing.assert_array_equal(new, [[2.0], [2.0]])  # the gradient is -2
        assert state == {}
        new, state = ck.ops.dense_update(
            "sgd", dy, x, w, {"v": w}, learning_rate=0.5, momentum=0.5, kernel=row.name
        )
        np.testing.assert_array_equal(state["v"], [[1.5], [1.5]])
        np.testing.assert_array_equal(new, [[2.5], [2.5]])
    np.testing.assert_array_equal(w, 1)


def test_the_function_of_a_rule_agrees() -> None:
    rng = np.random.default_rng(0)
    dy, x, w, m, v = (rng.random(s, np.float32) for s in ((6, 5), (6, 4), *[(4, 5)] * 3))
    new, state = ck.ops.dense_update(
        "adam", dy, x, w, {"m": m, "v": v}, learning_rate=0.1, step=7, beta1=0.8
    )
    dw = ck.ops.dense_backward_weight(dy, x)[0]
    expected = ck.ops.adam(dw, w, m, v, learning_rate=0.1, step=7, beta1=0.8)
    for a, b in zip((new, state["m"], state["v"]), expected, strict=True):
        np.testing.assert_array_equal(a, b)


def test_nan_and_infinity_reach_the_weights_that_they_belong_to() -> None:
    x, dy = np.ones((3, 2), np.float32), np.ones((3, 4), np.float32)
    x[1, 0], dy[2, 3] = np.nan, np.inf
    w = np.zeros((2, 4), np.float32)
    for row in ck.ops.kernels("dense_update", "sgd"):
        new, _ = ck.ops.dense_update("sgd", dy, x, w, learning_rate=1.0, kernel=row.name)
        assert np.isnan(new[0]).all() and new[1].tolist() == [-3, -3, -3, -np.inf], row.name


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rows", [1, 3, 1000])
def test_within_the_limit_no_gradient_overflows(dtype: str, rows: int) -> None:
    most = np.dtype(dtype).type(limit_of(dtype, rows))
    x, dy = np.full((rows, 3), most), np.full((rows, 2), most)
    w = np.zeros((3, 2), dtype)
    for row in ck.ops.kernels("dense_update", "sgd"):
        new, _ = ck.ops.dense_update("sgd", dy, x, w, learning_rate=1.0, kernel=row.name)
        assert np.isfinite(new).all() and (new < -np.finfo(dtype).max / 8).all()
        beyond = most * np.dtype(dtype).type(3)
        new, _ = ck.ops.dense_update(
            "sgd", np.full_like(dy, beyond), np.full_like(x, beyond), w, learning_rate=1.0
        )
        assert np.isinf(new).all()


def test_layouts() -> None:
    rng = np.random.default_rng(0)
    dy, x, w = (rng.standard_normal(s).astype(np.float32) for s in ((4, 6), (4, 5), (5, 6)))
    assert_layouts(lambda dy, x, w: ck.ops.dense_update("adam", dy, x, w)[0], dy, x, w)


DY, X, W = np.ones((3, 4), np.float32), np.ones((3, 5), np.float32), np.ones((5, 4), np.float32)
update = ck.ops.dense_update


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, "unknown rule 'adm'.*adam", lambda: update("adm", DY, X, W)),
        (ValueError, "sgd has no state 'm'", lambda: update("sgd", DY, X, W, {"m": W})),
        (ValueError, "same leading axes", lambda: update("sgd", DY[:2], X, W)),
        (ValueError, r"must be of shape \(C, K\) = \(5, 4\)", lambda: update("sgd", DY, X, W.T)),
        (ValueError, "must be of shape", lambda: update("adam", DY, X, W, {"m": W[:2]})),
        (TypeError, "different dtypes", lambda: update("sgd", DY, X, W.astype("f8"))),
        (TypeError, "w has dtype int64", lambda: update("sgd", DY, X, W.astype(int))),
        (ValueError, "momentum is 2", lambda: update("sgd", DY, X, W, momentum=2)),
        (ValueError, "step is -1", lambda: update("sgd", DY, X, W, step=-1)),
        (ValueError, "no kernel 'mine'", lambda: update("sgd", DY, X, W, kernel="mine")),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()


def test_momentum_needs_a_velocity_in_programs() -> None:
    infer = OP["sgd"].infer
    assert infer is not None
    specs = [Spec((3, 4)), Spec((3, 5)), None, Spec((5, 4))]
    with pytest.raises(ValueError, match="needs a velocity"):
        infer(update_params(momentum=0.9), specs)
