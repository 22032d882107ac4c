"""The derivative of the activation that gave an op's input, in the passes that make dx."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops import registry
from convkit.ops.activation import FROM_OUTPUT
from convkit.ops.registry import Array
from convkit.ops.through import goes_through
from convkit.testing import calls
from convkit.testing.awkward_calls import awkward_calls
from convkit.testing.calls import Call
from convkit.testing.conv2d_pool_calls import conv2d_pool
from ops.harness import (
    Case,
    as_case,
    check_all_rows,
    check_inplace,
    check_mutants,
    check_row,
    check_threads,
    row_cases,
)

KINDS = sorted(FROM_OUTPUT - {"linear"})
PASSES = [
    (op, p.name) for op in ck.ops.ops() for p in registry.get(op).passes if goes_through(op, p.name)
]
SMALL: dict[str, list[Call]] = {
    "conv2d": [
        *calls.conv2d("small", (2, 5, 6, 3), (3, 2, 3, 4), padding=1),
        *calls.conv2d("two groups", (1, 5, 4, 6), (2, 2, 3, 4), groups=2, stride=2),
        *calls.conv2d("depthwise", (1, 5, 4, 19), (3, 3, 1, 19), groups=19),
    ],
    "conv2d_pool": [
        *conv2d_pool("small", (2, 5, 6, 3), (3, 2, 3, 4), padding=1, activation="tanh"),
        *conv2d_pool("overlapping", (1, 6, 7, 5), (2, 2, 5, 19), size=3, pool_stride=2),
    ],
    "dense": calls.dense("small", (3,), 21, 5),
    "pool2d": [
        *calls.pool2d("small", "max", (2, 5, 7, 3), size=2),
        *calls.pool2d("small", "average", (2, 5, 7, 3), size=2),
        *calls.pool2d("overlapping", "max", (1, 5, 7, 18), size=3, stride=2, padding=1),
        *calls.pool2d("overlapping", "average", (1, 5, 7, 18), size=3, stride=2, padding=1),
    ],
}
MEDIUM: dict[str, list[Call]] = {
    "conv2d": [
        *calls.conv2d("medium", (5, 20, 19, 17), (3, 3, 17, 33), padding=1),
        *calls.conv2d("medium, depthwise", (3, 20, 19, 33), (3, 3, 1, 33), padding=1, groups=33),
    ],
    "conv2d_pool": conv2d_pool("medium", (4, 16, 13, 17), (3, 3, 17, 18), padding=1),
    "dense": calls.dense("medium", (130,), 200, 150),
    "pool2d": [
        *calls.pool2d("medium", "max", (6, 34, 31, 40), size=3, stride=2, padding=1),
        *calls.pool2d("medium", "average", (20, 28, 28, 6), size=2),
    ],
}


def able(found: dict[str, list[Call]]) -> list[Call]:
    return [c for made in found.values() for c in made if (c.op, c.pass_name) in PASSES]


def trivial(call: Call, kind: str) -> bool:
    """Whether the result may be zeros."""
    return kind == "step" or any(s is not None and 0 in s.shape for s in call.specs)


EVERY_KIND = [
    as_case(calls.through(call, kind), trivial=trivial(call, kind))
    for call in able(SMALL)
    for kind in KINDS
]
AWKWARD = [
    as_case(call, trivial=trivial(call, str(call.params["through"])) or "size 1" in call.name)
    for op in sorted({op for op, _ in PASSES})
    for call in awkward_calls(op)
    if call.params.get("through", "linear") != "linear"
]


def test_every_pass_that_makes_dx_has_it() -> None:
    assert set(SMALL) == set(MEDIUM) == {op for op, _ in PASSES}
    assert {(c.op, c.pass_name) for c in AWKWARD} == set(PASSES)
    assert {("conv2d", "backward_input"), ("dense", "backward_input")} < set(PASSES)
    assert {("pool2d", "max_backward"), ("pool2d", "average_backward")} < set(PASSES)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(EVERY_KIND))
def test_every_activation(row: Any, case: Any, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD, native=True))
def test_shapes(row: Any, case: Any, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


@pytest.mark.parametrize(
    ("row", "case", "dtype"),
    row_cases([as_case(calls.through(call, "tanh")) for call in able(MEDIUM)], native=True),
)
def test_threads(row: Any, case: Any, dtype: str) -> None:
    check_row(row, case, dtype)
    check_threads(row, case, dtype)


def shares_memory(case: Case) -> bool:
    rule = registry.get(case.op)[case.pass_name]
    return ("dx", "x") in rule.inplace and rule.inplace_where(case.params)


@pytest.mark.parametrize(
    ("row", "case", "dtype"), row_cases([c for c in AWKWARD if shares_memory(c)], native=True)
)
def test_in_place_of_the_result_of_the_activation(row: Any, case: Any, dtype: str) -> None:
    check_inplace(row, case, dtype)


@pytest.mark.parametrize("call", able(SMALL), ids=lambda c: f"{c.op} {c.pass_name} {c.name}")
def test_mutants(call: Call) -> None:
    check_mutants(as_case(calls.through(call, "sigmoid")))


@given(st.sampled_from(KINDS), st.integers(0, 5), st.integers(1, 40), st.integers(1, 40))
def test_drawn_dense(kind: str, rows: int, c: int, k: int) -> None:
    for call in calls.dense("drawn", (rows,), c, k)[1:2]:
        check_all_rows(as_case(calls.through(call, kind), trivial=True))


X = np.random.default_rng(3).standard_normal((2, 6, 4, 3)).astype(np.float32)
DY = np.random.default_rng(4).standard_normal((2, 3, 2, 3)).astype(np.float32)
AT = ck.ops.max_pool2d(X)[1]
W = np.random.default_rng(5).standard_normal((3, 4)).astype(np.float32)
TIMES_W = ck.ops.dense(X, W)

F = np.random.default_rng(6).standard_normal((2, 2, 3, 5)).astype(np.float32)
DC = np.random.default_rng(7).standard_normal((2, 5, 3, 5)).astype(np.float32)

POOLED = ck.ops.conv2d_pool(X, F)
DP = np.random.default_rng(8).standard_normal(POOLED[0].shape).astype(np.float32)

FUNCTIONS: dict[str, Callable[..., Array]] = {
    "conv2d_backward_input": lambda **o: ck.ops.conv2d_backward_input(DC, F, X.shape, **o),
    "conv2d_pool_backward_input": lambda **o: ck.ops.conv2d_pool_backward_input(
        DP, F, *POOLED, X.shape, **o
    ),
    "dense_backward_input": lambda **o: ck.ops.dense_backward_input(TIMES_W, W, **o),
    "max_pool2d_backward": lambda **o: ck.ops.max_pool2d_backward(DY, AT, X.shape, **o),
    "avg_pool2d_backward": lambda **o: ck.ops.avg_pool2d_backward(DY, X.shape, **o),
}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_it_is_the_derivative_of_the_activation(function: str) -> None:
    """The same as the pass alone, then the activation's own backward pass."""
    call, z = FUNCTIONS[function], X
    for kind, alpha in (("relu", None), ("tanh", None), ("leaky_relu", 0.3), ("elu", 0.5)):
        y = ck.ops.activation(z, kind, alpha)
        expected = ck.ops.activation_backward(call(), z, kind, alpha)
        found = call(x=y, through=kind, through_alpha=alpha)
        np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)
        assert not np.allclose(found, call())


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize(
    ("error", "message", "options"),
    [
        (ValueError, "needs x, the result of that activation, of shape", {"through": "relu"}),
        (ValueError, "x is given, but not the activation", {"x": X}),
        (ValueError, "x has shape .* expected that of dx", {"x": X[:1], "through": "tanh"}),
        (ValueError, "its derivative needs what it was applied to", {"x": X, "through": "gelu"}),
        (ValueError, "unknown activation 'reul'; did you", {"x": X, "through": "reul"}),
        (ValueError, "relu has no alpha", {"x": X, "through": "relu", "through_alpha": 0.5}),
        (TypeError, "different dtypes", {"x": X.astype("f8"), "through": "relu"}),
    ],
)
def test_errors(
    function: str, error: type[Exception], message: str, options: dict[str, Any]
) -> None:
    with pytest.raises(error, match=message):
        FUNCTIONS[function](**options)
