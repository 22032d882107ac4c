"""The time of a kernel on a GPU: operands stay there, and all launches that are divided by run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from convkit.cuda import native
from convkit.ops import registry
from convkit.ops.registry import Row
from convkit.run.timing import timer
from convkit.testing import calls
from convkit.testing.calls import Call


@pytest.fixture
def call() -> Call:
    return calls.activation("some", "tanh", (3, 5, 2, 7))[0]


def row_of(call: Call) -> Row:
    return registry.kernels(call.op, call.pass_name, device="cuda")[0]


def runs(row: Row) -> int:
    return int(native.module().call_count(row.op, row.pass_name, row.name))


def test_launches_are_a_graph_that_runs_once_before_it_is_timed(call: Call) -> None:
    row, (x,) = row_of(call), call.arrays()
    assert x is not None
    y, before = np.full_like(x, 7), x.copy()
    run = timer(row, call.params, [x], [y], call.step)
    for launches, expected in ((3, 6), (3, 3), (1, 2), (3, 6)):
        count = runs(row)
        assert 0 < run(launches) < 60
        assert runs(row) == count + expected
    # Copies were filled when the timer was made; nothing came back.
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(y, np.full_like(x, 7))


def test_an_update_and_a_workspace_are_timed_too() -> None:
    for call in (
        *calls.dense("some", (5,), 7, 3),
        *calls.conv2d("some", (2, 5, 6, 3), (3, 3, 3, 4)),
    ):
        for row in registry.kernels(call.op, call.pass_name, device="cuda")[:-1]:
            out = call.outputs()
            if row.supports([*call.specs, *out], call.params):
                outputs = [None if s is None else np.empty(s.shape, s.dtype) for s in out]
                assert timer(row, call.params, call.arrays(), outputs, call.step)(2) > 0


def test_what_cannot_be_timed_is_refused(call: Call) -> None:
    row, (x,) = row_of(call), call.arrays()
    assert x is not None
    run: Any = timer(row, call.params, [x], [np.empty_like(x)])
    with pytest.raises(native.module().Error, match="one launch at least"):
        run(0)
    gaps = np.empty((*x.shape, 2), x.dtype)[..., 0]
    with pytest.raises(ValueError, match="not contiguous"):
        timer(row, call.params, [gaps], [np.empty_like(x)])
    with pytest.raises(ValueError, match="no CUDA kernel"):
        native.module().PlacedCall("activation", "forward", "nobody", [], b"", (0, 0, 0.0, 0))
