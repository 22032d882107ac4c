"""rnn: every row of every cell against the reference; what users may get wrong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import convkit as ck
from convkit import _core
from convkit.ops import registry
from convkit.ops.apply import apply
from convkit.ops.registry import Array
from convkit.ops.rnn import rnn_params
from convkit.testing.awkward_calls import awkward_calls
from convkit.testing.named_calls import calls_of
from convkit.testing.rnn_calls import Layer
from ops.harness import (
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

CELLS = {
    "simple": {},
    "lstm": {},
    "gru": {"reset_after": 0},
    "gru, reset after": {"reset_after": 1},
}


NAMED = [as_case(call) for call in calls_of("rnn", small=True)]
AWKWARD = [as_case(call) for call in awkward_calls("rnn")]


def of_every_cell(name: str, n: int, t: int, c: int, h: int, **options: Any) -> list[Case]:
    """Both passes of every cell."""
    found = []
    for title, params in CELLS.items():
        cell = title.partition(",")[0]
        given = {**params, **options.get("params", {})}
        bias = 2 if params.get("reset_after") else 1
        layer = Layer(f"{title}, {name}", cell, n, t, c, h, **{"bias": bias, **options})
        found += replace(layer, params=given).calls()
    return [as_case(call) for call in found]


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(NAMED, native=True))
def test_layers(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype)


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(AWKWARD))
def test_shapes(row: Any, case: Case, dtype: str) -> None:
    check_row(row, case, dtype, isas=_core.available_isas())


def test_every_row_has_a_case() -> None:
    check_coverage("rnn", AWKWARD)


@given(
    st.sampled_from(list(CELLS)),
    st.tuples(st.integers(0, 19), st.integers(1, 9), st.integers(0, 20), st.integers(1, 36)),
    st.sampled_from(["", "ragged", "holes"]),
    st.booleans(),
    st.sampled_from(["y", "h", "yhc", ""]),
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 4)),
)
def test_drawn_shapes(
    title: str,
    shape: tuple[int, int, int, int],
    mask: str,
    states: bool,
    grads: str,
    order: tuple[int, int, int],
) -> None:
    names = ("go_backwards", "processing_order", "truncate")
    params = {**CELLS[title], **dict(zip(names, order))}
    bias = 2 if params.get("reset_after") else 1
    layer = Layer("drawn", title.partition(",")[0], *shape, bias, states, mask, grads, params)
    for call in layer.calls():
        check_all_rows(as_case(call, trivial=True))


def test_long_sequences_within_their_bound() -> None:
    for case in of_every_cell("long", 2, 200, 2, 4, mask="ragged"):
        check_all_rows(case)


@pytest.mark.parametrize("which", [0, 1])
def test_integers_are_exact(which: int) -> None:
    """A simple layer without an activation is sums of products."""
    layer = Layer("integers", "simple", 5, 3, 4, 5, params={"activation": "linear"})
    call = layer.calls()[which]

    def fill(rng: np.random.Generator, specs: Any) -> list[Array | None]:
        return [None if s is None else rng.integers(-1, 2, s.shape) for s in specs]

    check_all_rows(replace(as_case(call), fill=fill), exact=True)


MEDIUM = of_every_cell("medium", 50, 5, 33, 40, mask="ragged", grads="yhc")


@pytest.mark.parametrize(("row", "case", "dtype"), row_cases(MEDIUM, ["float32"], native=True))
def test_threads(row: Any, case: Case, dtype: str) -> None:
    check_threads(row, case, dtype)


@pytest.mark.parametrize(
    "case", of_every_cell("mutants", 4, 3, 5, 6, states=True, grads="yhc"), ids=str
)
def test_mutants(case: Case) -> None:
    check_mutants(case)


def test_dx_is_0_where_masked() -> None:
    for case in of_every_cell("masked", 7, 6, 3, 17, mask="holes")[1::2]:
        arrays = dict(zip(registry.get("rnn")[case.pass_name].inputs, case.arrays("float32")))
        masked = arrays["mask?"] == 0
        given = list(arrays.values())
        for dx in each_row(
            "rnn",
            case.pass_name,
            lambda k, case=case, given=given: apply(
                "rnn", case.pass_name, given, case.params, kernel=k
            )[0],
        ):
            assert (dx[masked] == 0).all() and (dx[~masked] != 0).any()


def test_layouts() -> None:
    rng = np.random.default_rng(0)
    x, w, u, b = (
        rng.standard_normal(s).astype(np.float32) for s in ((3, 4, 5), (5, 24), (6, 24), (24,))
    )
    assert_layouts(ck.ops.lstm, x, w, u, b)
    y, _, _, saved = ck.ops.lstm(x, w, u, b)
    assert_layouts(lambda *a: ck.ops.lstm_backward(*a, dy=y), x, w, u, y, saved)


# ---- the gradient rule


class Recurrent(ck.layers.Layer):
    """A cell with its weights, which gives all that its op does but what it saved."""

    def __init__(self, title: str, frozen: str = "", **params: Any) -> None:
        super().__init__(name="recurrent")
        self.cell, self.frozen = title.partition(",")[0], frozen
        self.params = rnn_params(**{**CELLS[title], **params})
        self.states = ["h0", "c0"] if title == "lstm" else ["h0"]

    def build(self, input_shape: Any) -> None:
        gates, h = {"simple": 1, "lstm": 4, "gru": 3}[self.cell], 3
        bias = (2, gates * h) if self.params["reset_after"] else (gates * h,)
        shapes = {"w": (input_shape[-1], gates * h), "u": (h, gates * h), "b": bias}
        self.weights_by_name = {
            k: self.add_weight(k, s, ck.initializers.RandomNormal(0, 0.5), k != self.frozen)
            for k, s in shapes.items()
        }

    def compute_output_shape(self, input_shape: Any) -> list[tuple[Any, ...]]:
        sequence = (*input_shape[:-1], 3)
        return [sequence, *((input_shape[0], 3) for _ in self.states)]

    def emit(self, builder: Any, inputs: list[Any]) -> list[Any]:
        weights = [builder.parameter(p) for p in self.weights_by_name.values()]
        states = [None for _ in self.states]
        operands = [inputs[0], *weights, *states, None]
        outputs = builder.emit("rnn", f"{self.cell}_forward", operands, self.params)
        return list(outputs[: 1 + len(self.states)])


@pytest.mark.parametrize("title", CELLS)
@pytest.mark.parametrize("used", [[0], [1], [0, 1]])
@pytest.mark.parametrize("frozen", ["", "w", "u"])
def test_gradient_rule(title: str, used: list[int], frozen: str) -> None:
    inputs = ck.Input((4, 2))
    outputs = Recurrent(title, frozen)(ck.layers.Dense(2)(inputs))
    heads = [ck.layers.Flatten()(outputs[k]) for k in used]
    joined = heads[0] if len(heads) == 1 else ck.layers.Concatenate()(heads)
    model = ck.Model(inputs, ck.layers.Dense(2)(joined))
    model.compile("sgd", "mse")
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((3, 4, 2)), rng.standard_normal((3, 2))
    report = ck.testing.check_gradients(model, x, y)
    assert report.passed, report
    difference = ck.testing.compare(model, x.astype("f4"), y.astype("f4"))
    assert difference.agrees, difference


X, W, U = np.ones((2, 3, 4), "f4"), np.ones((4, 5), "f4"), np.ones((5, 5), "f4")
W3, U3 = np.ones((4, 15), "f4"), np.ones((5, 15), "f4")
Y = np.ones((2, 3, 5), "f4")


@pytest.mark.parametrize(
    ("error", "message", "call"),
    [
        (ValueError, r"x must be \(N, T, C\), or", lambda: ck.ops.simple_rnn(X[None], W, U)),
        (ValueError, r"x\[None\]", lambda: ck.ops.simple_rnn(X[0] / 2, W, U)),
        (ValueError, "x of shape .* must hold whole numbers", lambda: ck.ops.gru(X[0] / 2, W3, U3)),
        (ValueError, "sequences of length 0", lambda: ck.ops.simple_rnn(X[:, :0], W, U)),
        (ValueError, r"expected w \(C, 4H\)", lambda: ck.ops.lstm(X, W, U)),
        (ValueError, r"w has shape \(3, 5\)", lambda: ck.ops.simple_rnn(X, W[:3], U)),
        (ValueError, r"b has shape \(3,\)", lambda: ck.ops.simple_rnn(X, W, U, np.ones(3, "f4"))),
        (ValueError, r"\(2, 15\) with reset_after=True", lambda: ck.ops.gru(X, W3, U3, U3[0])),
        (
            ValueError,
            r"\(15,\) with reset_after=False",
            lambda: ck.ops.gru(X, W3, U3, U3[:2], reset_after=False),
        ),
        (ValueError, "h0 has shape", lambda: ck.ops.simple_rnn(X, W, U, None, U)),
        (ValueError, "mask has shape", lambda: ck.ops.simple_rnn(X, W, U, mask=[1, 0])),
        (TypeError, "mask has dtype", lambda: ck.ops.simple_rnn(X, W, U, mask=X[..., 0])),
        (TypeError, "different dtypes", lambda: ck.ops.simple_rnn(X, W.astype("f8"), U)),
        (ValueError, "activation must be", lambda: ck.ops.simple_rnn(X, W, U, activation="tahn")),
        (
            ValueError,
            "truncate must be at least 0",
            lambda: ck.ops.simple_rnn_backward(X, W, U, Y, truncate=-1),
        ),
        (
            TypeError,
            "truncate must be an int",
            lambda: ck.ops.simple_rnn_backward(X, W, U, Y, truncate=1.5),
        ),
        (ValueError, "dy has shape", lambda: ck.ops.simple_rnn_backward(X, W, U, Y, dy=Y[:1])),
        (ValueError, "saved has shape", lambda: ck.ops.gru_backward(X, W3, U3, Y, Y)),
        (ValueError, "no kernel 'mine'", lambda: ck.ops.simple_rnn(X, W, U, kernel="mine")),
    ],
)
def test_errors(error: type[Exception], message: str, call: Any) -> None:
    with pytest.raises(error, match=message):
        call()
