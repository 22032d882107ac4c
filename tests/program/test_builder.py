"""What layers of one's own may do: several outputs, constants, work after the step, masks."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit.errors import NonFiniteError
from convkit.ops.dense import dense_params
from convkit.ops.registry import Spec
from convkit.program.builder import Builder
from convkit.program.program import Program, Value


class Twins(ck.layers.Layer):
    """Two dense layers on one input."""

    def build(self, input_shape: Any) -> None:
        self.first = self.add_weight("first", (input_shape[-1], 3), "glorot_uniform")
        self.second = self.add_weight("second", (input_shape[-1], 2), "glorot_uniform")

    def compute_output_shape(self, input_shape: Any) -> Any:
        return [(*input_shape[:-1], 3), (*input_shape[:-1], 2)]

    def emit(self, builder: Builder, inputs: list[Value]) -> Any:
        params = dense_params()
        weights = [builder.parameter(p) for p in (self.first, self.second)]
        return [builder.emit("dense", "forward", [inputs[0], w, None], params)[0] for w in weights]


class Shift(ck.layers.Layer):
    """x plus 0, 1, 2, ... in each row."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def emit(self, builder: Builder, inputs: list[Value]) -> Any:
        steps = np.broadcast_to(
            np.arange(inputs[0].spec.shape[-1], dtype="f8"), inputs[0].spec.shape
        )
        return builder.emit("add", "forward", [inputs[0], builder.constant("steps", steps)])[0]


class Counter(ck.layers.Layer):
    """The input as it is; counts the steps in a weight."""

    def build(self, input_shape: Any) -> None:
        self.total = self.add_weight("total", (1,), "zeros", trainable=False)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def emit(self, builder: Builder, inputs: list[Value]) -> Any:
        total = builder.parameter(self.total)
        one = builder.constant("one", np.ones(1, np.float32))
        builder.after_step("add", "forward", [total, one], out=[total])
        return inputs[0]


def twins() -> ck.Model:
    x = ck.Input((4,), name="x")
    a, b = Twins(name="twins")(x)
    y = ck.layers.concatenate([ck.layers.ReLU(name="relu")(a), b], name="joined")
    model = ck.Model(x, ck.layers.Dense(2, name="head")(y), name="twin_model")
    model.compile(ck.optimizers.SGD(0.1), "mse")
    return model


X = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
Y = np.random.default_rng(1).standard_normal((6, 2)).astype(np.float32)


def test_a_layer_has_two_outputs() -> None:
    model = twins()
    first, second, kernel, bias = (w.astype("f8") for w in model.get_weights())
    expected = np.concatenate([np.maximum(X @ first, 0), X @ second], axis=1) @ kernel + bias
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-5, atol=1e-6)
    assert ck.testing.compare(model, X, Y).agrees
    assert ck.testing.check_gradients(model, X, Y).passed
    lines: list[str] = []
    model.summary(print_fn=lines.append)
    (row,) = (line for line in lines if "twins" in line and "Twins" in line)
    assert "(None, 3), (None, 2)" in row and " 20 " in row


def test_one_output_of_two_may_be_left_unread() -> None:
    x = ck.Input((4,))
    _, b = Twins()(x)
    model = ck.Model(x, b)
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    np.testing.assert_allclose(model.predict(X, verbose=0), X @ model.get_weights()[1], rtol=1e-5)


def test_models_with_two_outputs_of_a_layer_are_copied_and_nested() -> None:
    model = twins()
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(other.predict(X, verbose=0), model.predict(X, verbose=0))
        assert len(other.calls[0].outputs) == 2
    x = ck.Input((4,))
    outer = ck.Model(x, model(x))
    np.testing.assert_array_equal(outer.predict(X, verbose=0), model.predict(X, verbose=0))


def test_a_sequential_model_refuses_two_outputs() -> None:
    with pytest.raises(ValueError, match=r"'twins' \(Twins\) has 2 outputs, and a Sequential"):
        ck.Sequential([ck.Input((4,)), Twins(name="twins")])


@pytest.mark.parametrize("kind", ["native", "eager", "reference"])
def test_constants_are_in_every_executor(kind: str) -> None:
    model = ck.Sequential([ck.Input((4,)), Shift(), Shift(), ck.layers.Dense(2)])
    model.compile("sgd", "mse")
    model.executor = kind
    kernel, bias = model.get_weights()
    expected = (X + 2 * np.arange(4)) @ kernel + bias
    np.testing.assert_allclose(model.predict(X, verbose=0), expected, rtol=1e-5, atol=1e-6)
    assert model.count_params() == 10
    assert ck.testing.check_gradients(model, X, Y).passed


def test_constants_lie_apart_and_take_the_dtype_of_the_program() -> None:
    program = Program("", "predict", 1, "float64")
    builder = Builder(program, training=False)
    table = builder.constant("table", np.arange(3, dtype=np.int32))
    numbers = builder.constant("numbers", np.ones((2, 2), np.float32))
    assert table.spec == Spec((3,), "int32") and numbers.spec == Spec((2, 2), "float64")
    assert (table.offset, numbers.offset) == (0, 64)
    assert program.constants[numbers].dtype == np.float64


@pytest.mark.parametrize("kind", ["native", "eager", "reference"])
def test_what_runs_after_the_step_runs_once_a_step(kind: str) -> None:
    counter = Counter(name="counter")
    model = ck.Sequential([ck.Input((4,)), counter, ck.layers.Dense(2)])
    model.compile(ck.optimizers.SGD(0.1), "mse")
    model.executor = kind
    model.fit(X, Y, batch_size=2, epochs=2, verbose=0)
    assert counter.get_weights()[0] == 6
    model.evaluate(X, Y, batch_size=3, verbose=0)
    assert counter.get_weights()[0] == 8
    model.predict(X, batch_size=6, verbose=0)
    assert counter.get_weights()[0] == 9
    assert model.optimizer.iterations == 6


def test_nothing_runs_after_a_step_that_does_not_count() -> None:
    counter = Counter()
    model = ck.Sequential([ck.Input((4,)), counter, ck.layers.Dense(2)])
    model.compile("sgd", "mse")
    bad = X.copy()
    bad[3, 1] = np.nan
    with pytest.raises(NonFiniteError, match=r"x\[3\]"):
        model.fit(bad, Y, batch_size=2, shuffle=False, verbose=0)
    assert counter.get_weights()[0] == 1
    assert np.isnan(model.evaluate(bad, Y, verbose=0))  # evaluation says what it finds


class Marked(ck.layers.Layer):
    """A sequence whose last step does not count."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def emit(self, builder: Builder, inputs: list[Value]) -> Any:
        mask = np.ones(inputs[0].spec.shape[:2], np.uint8)
        mask[:, -1] = 0
        out = builder.view(inputs[0], (*inputs[0].spec.shape, 1))
        out = builder.view(out, inputs[0].spec.shape)
        builder.set_mask(out, builder.constant("mask", mask))
        return out


class Reader(ck.layers.Layer):
    """Remembers the mask of its input."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)

    def emit(self, builder: Builder, inputs: list[Value]) -> Any:
        self._seen = builder.mask(inputs[0])
        return inputs[0]


def test_masks_pass_through_layers_that_work_step_by_step() -> None:
    first, second = Reader(), Reader()
    model = ck.Sequential(
        [ck.Input((5, 3)), Marked(), ck.layers.Dense(4, "relu"), ck.layers.Dropout(0.5),
         ck.layers.Activation("tanh"), first, ck.layers.Reshape((4, 5)), second]
    )  # fmt: skip
    model.predict(np.zeros((2, 5, 3), np.float32), verbose=0)
    assert first._seen is not None and first._seen.spec == Spec((2, 5), "uint8")
    assert second._seen is None
