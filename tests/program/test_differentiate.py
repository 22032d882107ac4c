"""Differentiate: every gradient against central differences, and which instructions there are."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import convkit as ck
from convkit.ops import registry
from convkit.ops.registry import Spec
from convkit.program.builder import Builder
from convkit.program.differentiate import differentiate
from convkit.program.program import GRADIENTS, Program
from convkit.testing import check_gradients
from program.graphs import calls, cases, compiled, named, randomise

EXECUTORS = ["native", "reference"]
SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


def assert_right(model, x, y, executor, entries=None):
    report = check_gradients(model, x, y, executor=executor)
    assert report.passed, str(report)
    total = sum(int(np.prod(p.shape)) for p in model.store.members if p.trainable)
    assert report.entries + report.skipped == (total if entries is None else entries)
    return report


@settings(max_examples=150, deadline=None, suppress_health_check=SLOW)
@given(cases())
def test_every_gradient_of_random_graphs(case):
    assert_right(*case, "native")


@settings(max_examples=20, deadline=None, suppress_health_check=SLOW)
@given(cases(3))
def test_every_gradient_of_random_graphs_by_the_references(case):
    assert_right(*case, "reference")


def checked(x, y, executor, loss="mse", batch=3, skipped=0):
    model = ck.Model(x, y)
    randomise(model)
    model.compile("sgd", loss)
    rng = np.random.default_rng(1)
    data = rng.standard_normal((batch, *x.shape[1:])).astype(np.float32)
    target = rng.standard_normal((batch, *y.shape[1:])).astype(np.float32)
    report = assert_right(model, data, target, executor)
    assert report.skipped == skipped
    return model


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_residual_block(executor):
    x = ck.Input((5, 5, 2))
    h = ck.layers.Conv2D(3, 3, padding="same", activation="tanh")(x)
    r = ck.layers.Conv2D(3, 3, padding="same", activation="gelu")(h)
    r = ck.layers.Conv2D(3, 3, padding="same")(r)
    y = ck.layers.Activation("tanh")(ck.layers.Add()([h, r]))
    checked(x, ck.layers.Dense(2)(ck.layers.GlobalAveragePooling2D()(y)), executor)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_branches_that_are_concatenated(executor):
    x = ck.Input((6, 6, 1))
    a = ck.layers.Conv2D(2, 3, padding="same", activation="sigmoid")(x)
    b = ck.layers.Conv2D(3, 1, activation="tanh")(x)
    c = ck.layers.AveragePooling2D(3, 1, "same")(a)
    y = ck.layers.Concatenate()([a, b, c, a])
    checked(x, ck.layers.Dense(2)(ck.layers.Flatten()(y)), executor)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_value_that_three_read(executor):
    x = ck.Input((4,))
    h = ck.layers.Dense(4, "tanh")(x)
    parts = [ck.layers.Dense(4, a)(h) for a in ("sigmoid", "gelu")]
    model = checked(x, ck.layers.Add()([h, *parts]), executor)
    assert len(named(compiled(model), "add", "forward")) >= 2  # one forward, two sums backward


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("times", [2, 3])
def test_shared_weights_accumulate_in_the_flat_gradient(executor, times):
    x = ck.Input((4,))
    layer, y = ck.layers.Dense(4, "tanh"), x
    for _ in range(times):
        y = layer(y)
    model = checked(x, y, executor)
    program = compiled(model)
    sums = named(program, "add")
    assert len(sums) == 2 * (times - 1)  # weights and bias
    for i in sums:
        assert i.outputs[0].buffer == GRADIENTS
        assert i.outputs[0] is i.inputs[0]
    assert sum(i.pass_name == "backward_weight" for i in named(program, "dense")) == times


@pytest.mark.parametrize("executor", EXECUTORS)
def test_the_same_value_twice_in_one_instruction(executor):
    x = ck.Input((3,))
    h = ck.layers.Dense(3, "tanh")(x)
    y = ck.layers.Concatenate()([h, ck.layers.Add()([h, h])])
    checked(x, ck.layers.Dense(2)(y), executor)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_a_residual_around_a_shared_layer(executor):
    x = ck.Input((4, 4, 2))
    layer = ck.layers.Conv2D(2, 3, padding="same", activation="softplus")
    h = ck.layers.Add()([x, layer(x)])
    h = ck.layers.Add()([h, layer(h)])
    checked(x, ck.layers.Dense(2)(ck.layers.Flatten()(h)), executor)


def chain(frozen=()):
    names = ["a", "b", "c"]
    parts = [ck.layers.Dense(3, "tanh", name=n, trainable=n not in frozen) for n in names]
    model = ck.Sequential([ck.Input((3,)), *parts])
    randomise(model)
    return model


def backward(program):
    return [(i.layer, i.pass_name) for i in named(program, "dense") if i.pass_name != "forward"]


def test_the_first_layer_gets_no_gradient_of_its_input():
    assert backward(compiled(chain())) == [
        ("c", "backward_weight"),
        ("c", "backward_input"),
        ("b", "backward_weight"),
        ("b", "backward_input"),
        ("a", "backward_weight"),
    ]


@pytest.mark.parametrize(
    ("frozen", "expected"),
    [
        ("a", ["c backward_weight", "c backward_input", "b backward_weight"]),
        ("ab", ["c backward_weight"]),
        ("b", ["c backward_weight", "c backward_input", "b backward_input", "a backward_weight"]),
        ("c", ["c backward_input", "b backward_weight", "b backward_input", "a backward_weight"]),
        ("abc", []),
    ],
)
def test_frozen_layers_have_no_instructions(frozen, expected):
    model = chain(frozen)
    program = compiled(model)
    assert [" ".join(pair) for pair in backward(program)] == expected
    if not expected:
        assert not [c for c in calls(program) if "backward" in c and not c.startswith("loss")]
        return
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    assert_right(model, x, np.zeros((4, 3), np.float32), "native", 12 * (3 - len(frozen)))


def test_training_leaves_frozen_weights_alone():
    model = chain("b")
    model.compile("adam", "mse")
    before = [w.copy() for w in model.get_weights()]
    x = np.random.default_rng(0).standard_normal((16, 3)).astype(np.float32)
    model.fit(x, x, epochs=2, batch_size=4, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)]
    assert changed == [True, True, False, False, True, True]


def test_every_trainable_gradient_is_written_once_before_it_is_summed():
    program = compiled(ck.models.lenet5("caffe"), loss="sparse_categorical_crossentropy")
    written = Counter(
        v.root.offset for i in program.instructions for v in i.outputs
        if v is not None and v.root.buffer == GRADIENTS
    )  # fmt: skip
    offsets = [p.offset * 4 for p in ck.models.lenet5("caffe").store.members]
    assert written == Counter(offsets)


@pytest.mark.parametrize("executor", EXECUTORS)
def test_sample_weights_and_padding(executor):
    model = ck.Sequential(
        [
            ck.Input((5, 4, 1)),
            ck.layers.Conv2D(2, (3, 2), strides=2, padding=2, activation="elu"),
            ck.layers.MaxPooling2D(2, 1, "same"),
            ck.layers.Flatten(),
            ck.layers.Dropout(0.4),
            ck.layers.Dense(3, "softmax"),
        ]
    )
    randomise(model)
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = np.random.default_rng(3).standard_normal((4, 5, 4, 1)).astype(np.float32)
    report = check_gradients(
        model, x, [0, 1, 2, 1], sample_weight=[0.5, 2, 0, 1], executor=executor
    )
    assert report.passed, str(report)
    assert report.skipped == 0


def test_an_op_without_gradient_names_the_layer(monkeypatch):
    program = Program("m", "train", 1)
    builder = Builder(program, training=True)
    model = chain()
    builder.layer = "opaque"
    x = builder.external("x", Spec((1, 3)))
    parameters = [builder.parameter(p) for p in model.store.members[:2]]
    params = {"activation": "linear", "alpha": 0.0}
    (y,) = builder.emit("dense", "forward", [x, *parameters], params)
    op = registry.get("dense")
    monkeypatch.setitem(registry._ops, "dense", registry.Op(op.name, op.passes))
    with pytest.raises(ValueError, match=r"layer 'opaque': op dense has no gradient"):
        differentiate(builder, list(program.instructions), [(y, y)])
