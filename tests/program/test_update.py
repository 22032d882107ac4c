"""Which gradients are used up as they are made, and that nothing else changes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers, losses, optimizers
from convkit.ops.registry import Array
from convkit.program import update
from convkit.program.program import Program
from program.graphs import compiled


@pytest.fixture(autouse=True)
def small_weights_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(update, "pays", lambda dw, dy, x: True)


def chain(*between: Any, units: int = 7) -> ck.Sequential:
    return ck.Sequential(
        [ck.Input((5,)), layers.Dense(units, "tanh", name="a"), *between, layers.Dense(3, name="b")]
    )


def program_of(model: Any, optimizer: Any = "sgd", **options: Any) -> Program:
    model.compile(optimizer, losses.SparseCategoricalCrossentropy(from_logits=True), **options)
    program: Program = model.program("train", 4)
    return program


def unkept(model: Any, optimizer: Any = "sgd", **options: Any) -> list[str]:
    return [p.path for p in program_of(model, optimizer, **options).unkept]


def passes(program: Program) -> list[str]:
    return [f"{i.op}.{i.pass_name}" for i in program.instructions]


def test_a_gradient_is_made_and_used_up_behind_the_commit() -> None:
    program = program_of(chain(), optimizers.Adam())
    ops = passes(program)
    assert "dense.backward_weight" not in ops
    assert ops.count("dense.backward_bias") == 2
    assert ops[program.commit :] == ["dense_update.adam"] * 2 + ["update.adam"] * 2
    assert [i.layer for i in program.instructions[program.commit :]] == ["b", "a", "adam", "adam"]
    assert program.unkept == tuple(
        v.parameter for i in program.instructions for v in i.inputs[-1:]
        if v is not None and i.op == "dense_update"
    )  # fmt: skip


def test_the_old_weights_are_read_before_they_change() -> None:
    program = program_of(chain())
    ops = passes(program)
    assert max(n for n, op in enumerate(ops) if op == "dense.backward_input") < program.commit


def test_guards_are_what_the_gradient_is_made_of() -> None:
    program = program_of(chain())
    limits = {guard.value.name: guard.limit for guard in program.guards}
    (total,) = (guard for guard in program.guards if guard.value is program.total)
    assert total.limit == np.inf
    finite = [guard for guard in program.guards if guard.limit < np.inf]
    assert len(finite) == 4 and "x" in limits  # dy and x of both layers
    largest = float(np.finfo(np.float32).max)
    assert {guard.limit for guard in finite} == {math.sqrt(largest / 4) / 2}
    assert len([g for g in program.guards if g.value.buffer == "gradients"]) == 2  # the biases


@pytest.mark.parametrize(
    ("model", "optimizer", "options", "expected"),
    [
        (chain, "sgd", {}, ["b.kernel", "a.kernel"]),
        (chain, "sgd", {"keep_grads": True}, []),
        (chain, lambda: optimizers.SGD(0.1, clipnorm=1.0), {}, []),
        (chain, lambda: optimizers.SGD(0.1, global_clipnorm=1.0), {}, []),
        (chain, lambda: optimizers.SGD(0.1, clipvalue=1.0), {}, ["b.kernel", "a.kernel"]),
        (chain, lambda: optimizers.AdamW(weight_decay=0.1), {}, ["b.kernel", "a.kernel"]),
        (chain, "lbfgs", {}, []),
        (chain, "sgd", {"regularizer": "l2"}, []),
    ],
)
def test_what_is_not_kept(
    model: Callable[[], Any], optimizer: Any, options: dict[str, Any], expected: list[str]
) -> None:
    made = optimizer() if callable(optimizer) else optimizer
    assert unkept(model(), made, **options) == expected


def test_frozen_weights_and_weights_of_rate_0_have_no_update() -> None:
    model = chain()
    model.get_layer("a").trainable = False
    assert unkept(model) == ["b.kernel"]
    model = chain()
    model.get_layer("b").weights[0].lr_multiplier = 0.0
    assert unkept(model) == ["a.kernel"]


def test_a_layer_used_twice_needs_the_sum_of_its_gradients() -> None:
    twice = layers.Dense(5, "tanh", name="twice")
    model = ck.Sequential([ck.Input((5,)), twice, twice, layers.Dense(3, name="b")])
    assert unkept(model) == ["b.kernel"]


def test_a_penalty_of_the_layers_own_is_added_to_the_gradient() -> None:
    model = ck.Sequential(
        [ck.Input((5,)), layers.Dense(4, kernel_regularizer="l2"), layers.Dense(3, name="b")]
    )
    assert unkept(model) == ["b.kernel"]


def test_an_optimizer_with_an_emit_of_its_own_gets_the_gradient() -> None:
    class Own(optimizers.SGD):
        def emit(self, *operands: Any) -> None:
            super().emit(*operands)

    assert unkept(chain(), Own(0.1)) == []


@pytest.mark.parametrize(("op", "pass_name"), [("dense", "backward_weight"), ("update", "sgd")])
def test_a_registered_row_is_not_passed_by(op: str, pass_name: str) -> None:
    ck.ops.register(op, "own", lambda ctx, *arrays: arrays[-1], pass_name=pass_name)
    try:
        assert unkept(chain()) == []
    finally:
        ck.ops.unregister(op, "own", pass_name=pass_name)
    assert unkept(chain()) == ["b.kernel", "a.kernel"]


@pytest.mark.parametrize(
    ("batch", "expected"), [(1, ["a.kernel"]), (16, ["a.kernel"]), (17, []), (4096, [])]
)
def test_gradients_are_kept_that_are_hardly_larger_than_what_they_are_made_of(
    monkeypatch: pytest.MonkeyPatch, batch: int, expected: list[str]
) -> None:
    monkeypatch.undo()
    model = ck.Sequential([ck.Input((64,)), layers.Dense(64, name="a"), layers.Dense(63)])
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    assert [p.path for p in model.program("train", batch).unkept] == expected


def test_what_changes_on_the_way_is_no_input() -> None:
    """A layer whose input is a state that the step carries on would read the new one."""

    class OfState(layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.state = self.add_weight("state", (4, 5), "ones", trainable=False)
            self.kernel = self.add_weight("kernel", (5, 5), "glorot_uniform")

        def compute_output_shape(self, input_shape: Any) -> Any:
            return input_shape

        def emit(self, builder: Any, inputs: Any) -> Any:
            from convkit.ops.dense import dense_params

            state, kernel = builder.parameter(self.state), builder.parameter(self.kernel)
            (y,) = builder.emit("dense", "forward", [state, kernel, None], dense_params())
            (total,) = builder.emit("add", "forward", [y, inputs[0]])
            return total

    model = ck.Sequential([ck.Input((5,)), OfState(name="of"), layers.Dense(3, name="b")])
    assert unkept(model) == ["b.kernel"]


NETWORKS: dict[str, Callable[[], Any]] = {
    "chain": chain,
    "dropout": lambda: chain(layers.Dropout(0.3)),
    "no bias": lambda: chain(layers.Dense(6, use_bias=False)),
    "batch norm": lambda: chain(layers.BatchNormalization()),
    "wide": lambda: chain(units=80),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_float64_programs_have_no_other_rules(network: str) -> None:
    model = NETWORKS[network]()
    model.compile("adam", losses.SparseCategoricalCrossentropy(from_logits=True))
    x = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    y: Array = np.array([0, 1, 2, 0])
    assert ck.testing.compare(model, x, y).agrees
    assert ck.testing.compare(model, x, y, "eager", "native").agrees
    report = ck.testing.check_gradients(model, x, y)
    assert report.passed, report


def test_without_an_optimizer_all_gradients_are_kept() -> None:
    program = compiled(chain(), optimizer=None)
    assert program.unkept == () and "dense.backward_weight" in passes(program)
