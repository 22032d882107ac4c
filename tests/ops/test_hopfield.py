"""hopfield: every row of every pass against the reference, and what theory says of the dynamics."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops import registry
from convkit.ops.registry import Array, Context, Spec
from convkit.testing import hopfield_calls
from ops.harness import (
    FLOAT,
    Case,
    as_case,
    check_all_rows,
    check_coverage,
    check_mutants,
    check_row,
    check_threads,
    row_cases,
)
from ops.numeric import assert_layouts, each_row

PASSES = ("asynchronous", "synchronous", "energy")


def real_cases(name: str, n: int, states: int) -> list[Case]:
    """All passes with normal weights, which are rounded in every sum."""

    def fill(rng: np.random.Generator, specs: list[Spec | None]) -> list[Array | None]:
        w = rng.standard_normal((n, n)).astype(np.float32)
        w = w + w.T
        np.fill_diagonal(w, 0)
        s = rng.choice([-1, 1], (states, n))
        order = rng.integers(0, n, 2 * n)
        return [w, rng.standard_normal(n), *([order] if len(specs) == 4 else []), s]

    f, order = Spec((n, n), FLOAT), Spec((2 * n,), "int64")
    b, s = Spec((n,), FLOAT), Spec((states, n), FLOAT)
    params = {"low": -1.0, "high": 1.0}
    return [
        Case(f"{name}, normal", "hopfield", p, (f, b, *([order] if i == 0 else []), s), params,
             fill=fill)
        for i, p in enumerate(PASSES)
    ]  # fmt: skip


AWKWARD = [
    as_case(call, trivial=call.specs[0].shape[0] < 3)
    for calls in hopfield_calls.awkward_hopfield()
    for call in calls
]
NAMED = [as_case(call) for call in hopfield_calls.named_hopfield(small=True)]
REAL = [
    case for n, states in ((7, 5), (33, 20), (150, 12)) for case in real_cases(str(n), n, states)
]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases([*AWKWARD, *NAMED]))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas(), exact=True)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(REAL))
def test_real_weights(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def bounds_of(case: Case) -> tuple[Any, ...]:
    inputs = [
        None if a is None else a.astype(np.float64) if a.dtype.kind == "f" else a
        for a in case.arrays("float32")
    ]
    context = Context(case.params, case.out_at("float32"))
    bound: tuple[Any, ...] = registry.get("hopfield")[case.pass_name].bound(context, *inputs)
    return bound


@pytest.mark.parametrize("case", [c for c in REAL if c.pass_name != "energy"], ids=str)
def test_real_weights_leave_no_decision_to_rounding(case: Case) -> None:
    for bound in bounds_of(case):
        assert (bound == 0).all()


def test_a_field_within_rounding_of_0_has_no_right_answer() -> None:
    w = np.array([[0, 1, -1], [1, 0, 3], [-1, 3, 0]]) * np.float32(1 / 3)
    s = np.ones((1, 3))
    context = Context({"low": -1.0, "high": 1.0}, [])
    for name, operands in (("asynchronous", (w, None, np.array([0]), s)),
                           ("synchronous", (w, None, s))):  # fmt: skip
        bound = registry.get("hopfield")[name].bound(context, *operands)
        assert np.isinf(bound[0][0, 0]) and np.isinf(bound[1]).all()
        whole = registry.get("hopfield")[name].bound(context, np.rint(w * 3), *operands[1:])
        assert (whole[0] == 0).all() and (whole[1] == 0).all()


def test_every_row_has_a_case() -> None:
    check_coverage("hopfield", AWKWARD)


@given(st.integers(1, 40), st.integers(0, 20), st.integers(0, 90), st.booleans(), st.booleans())
def test_drawn_shapes(n: int, states: int, updates: int, bias: bool, binary: bool) -> None:
    for call in hopfield_calls.hopfield(
        "drawn", n, states, updates=updates, bias=bias, binary=binary
    ):
        check_all_rows(as_case(call, trivial=True), exact=True)


@pytest.mark.parametrize(
    ("row", "case", "dtype"),
    row_cases([*map(as_case, hopfield_calls.hopfield("", 530, 70)), *REAL[-3:]], native=True),
)
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize("case", [*map(as_case, hopfield_calls.hopfield("", 24, 9))], ids=str)
def test_mutants(case: Case) -> None:
    check_mutants(case)


# ---- by hand and by theory

W = np.array([[0, 2, -1], [2, 0, 3], [-1, 3, 0]], np.float64)


def test_updates_by_hand() -> None:
    s, b = np.array([1.0, -1.0, 1.0]), np.array([0.0, -1.0, 3.0])
    for name in each_row("hopfield", "asynchronous", lambda k: k):
        # h_0 = -3: -1; then h_1 = -2 + 3 - 1 = 0 keeps -1; h_2 = 1 - 3 + 3 = 1 keeps 1.
        new, flips = ck.ops.hopfield_asynchronous(W, s, b=b, kernel=name)
        assert new.tolist() == [-1, -1, 1] and flips == 1 and flips.shape == ()
        # h_2 = -1 - 3 + 3 = -1: -1; h_0 = -2 + 1 = -1: -1; h_2 = 1 - 3 + 3 = 1: back to 1.
        new, flips = ck.ops.hopfield_asynchronous(W, s[None], [2, 0, 2], b, kernel=name)
        assert new.tolist() == [[-1, -1, 1]] and flips.tolist() == [3]
    for name in each_row("hopfield", "synchronous", lambda k: k):
        new, flips = ck.ops.hopfield_synchronous(W, s, b, kernel=name)
        assert new.tolist() == [-1, 1, -1] and flips == 3
    for name in each_row("hopfield", "energy", lambda k: k):
        # -(2 * -1 - 1 + 3 * -1) - (1 + 3) = 6 - 4
        assert ck.ops.hopfield_energy(W, s, b, kernel=name) == 2.0


def test_binary_neurons_by_hand() -> None:
    s = np.array([0.0, 1.0, 0.0])
    for name in each_row("hopfield", "asynchronous", lambda k: k):
        new, flips = ck.ops.hopfield_asynchronous(W, s, low=0, high=1, kernel=name)
        assert new.tolist() == [1, 1, 1] and flips == 2
    assert ck.ops.hopfield_energy(W, np.ones(3)) == -4.0


@pytest.mark.parametrize("binary", [False, True])
def test_no_single_update_raises_the_energy(binary: bool) -> None:
    """10,000 runs: 100 networks of random whole weights and thresholds, 100 random states each."""
    rng = np.random.default_rng(1)
    low = 0 if binary else -1
    for _ in range(100):
        n = int(rng.integers(2, 13))
        w = np.tril(rng.integers(-5, 6, (n, n)), -1).astype(np.float32)
        w, b = w + w.T, rng.integers(-6, 7, n).astype(np.float32)
        s = rng.choice([low, 1], (100, n)).astype(np.float32)
        e = ck.ops.hopfield_energy(w, s, b)
        for i in [*range(n), *rng.integers(0, n, 2 * n)]:
            new, flips = ck.ops.hopfield_asynchronous(w, s, [i], b, low=low)
            after = ck.ops.hopfield_energy(w, new, b)
            # A flip goes with a field that is not 0, and these are whole numbers.
            assert (after - e <= np.where(flips > 0, -1, 0)).all()
            s, e = new, after


def test_kept_fields_equal_fields_anew_after_many_flips() -> None:
    """Without rounding, the field that the fast row keeps is the sum that the naive row forms."""
    (call, *_) = hopfield_calls.hopfield("", 200, 16, updates=2000)
    w, _, order, s = call.arrays()
    first, last = (
        ck.ops.hopfield_asynchronous(w, -np.sign(s + 0.5).astype(np.float32), order, kernel=name)
        for name in (ck.ops.kernels("hopfield", "asynchronous")[0].name, "cpu_naive")
    )
    assert (first[0] == last[0]).all() and (first[1] == last[1]).all()
    assert first[1].min() > 0


def test_nan_fields_change_nothing() -> None:
    w = np.full((3, 3), np.nan, np.float32)
    s = np.array([[1, -1, 1]], np.float32)
    for name in each_row("hopfield", "asynchronous", lambda k: k):
        new, flips = ck.ops.hopfield_asynchronous(w, s, kernel=name)
        assert (new == s).all() and flips == 0
    for name in each_row("hopfield", "energy", lambda k: k):
        assert np.isnan(ck.ops.hopfield_energy(w, s, kernel=name)).all()


def test_reference_has_the_same_functions() -> None:
    s = [[1, -1, 1], [1, 1, 1]]
    new, flips = ck.reference.hopfield_asynchronous(W.astype("f4"), s, [0, 1, 2])
    assert new.dtype == np.float64
    expected = ck.ops.hopfield_asynchronous(W, np.array(s, "f8"))
    assert (new == expected[0]).all() and (flips == expected[1]).all()


def test_arguments_stay_as_they_are_and_layouts() -> None:
    s = np.array([[1, -1, 1], [-1, -1, -1]], np.float64)
    assert_layouts(lambda w, s: ck.ops.hopfield_asynchronous(w, s, [2, 0, 1]), W, s)
    assert_layouts(ck.ops.hopfield_synchronous, W, s, np.array([1.0, 0.0, -2.0]))
    assert_layouts(ck.ops.hopfield_energy, W, s)
    assert_layouts(lambda order: ck.ops.hopfield_asynchronous(W, s, order), np.array([2, 0, 1]))


S = np.ones((2, 3))
ASYNC, SYNC, ENERGY = (
    ck.ops.hopfield_asynchronous,
    ck.ops.hopfield_synchronous,
    ck.ops.hopfield_energy,
)
SKEW = W + np.triu(W)
NAN_STATE = np.array([[1, 1, 1], [1, 1, np.nan]])


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, r"w has shape \(3, 2\), expected \(N, N\)", lambda: SYNC(W[:, :2], S)),
        (ValueError, r"b has shape \(2,\), w \(3, 3\)", lambda: SYNC(W, S, np.ones(2))),
        (ValueError, r"states have shape \(2, 2\), w \(3, 3\)", lambda: SYNC(W, S[:, :2])),
        (ValueError, r"states have shape \(1, 2, 3\)", lambda: ENERGY(W, S[None])),
        (ValueError, r"not symmetric: w\[0, 1\] is 4, w\[1, 0\] is 2", lambda: ASYNC(SKEW, S)),
        (ValueError, "not symmetric", lambda: ENERGY(SKEW, S)),
        (ValueError, r"state 0 has 0 at neuron 0, expected -1 or 1", lambda: ASYNC(W, 0 * S)),
        (ValueError, "state 1 has nan at neuron 2", lambda: SYNC(W, NAN_STATE)),
        (ValueError, "order has neurons 0 to 3", lambda: ASYNC(W, S, [0, 3])),
        (ValueError, "order has neurons -1 to 0", lambda: ASYNC(W, S, [0, -1])),
        (ValueError, "expected int64 of shape", lambda: ASYNC(W, S, [[0, 1]])),
        (TypeError, "order has dtype float64", lambda: ASYNC(W, S, [0.0])),
        (TypeError, "w has dtype int64", lambda: ASYNC(W.astype(int), S)),
        (TypeError, "different dtypes", lambda: ASYNC(W, S.astype("f4"))),
        (ValueError, "expected low < high", lambda: ASYNC(W, S, low=1, high=-1)),
        (ValueError, "expected low < high", lambda: SYNC(W, S, high=float("nan"))),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()


def test_synchronous_steps_need_no_symmetry() -> None:
    new, _ = SYNC(SKEW, S[0])
    assert new.tolist() == np.sign(SKEW @ S[0]).tolist()
