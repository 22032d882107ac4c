"""Lower: layers to instructions, shapes checked, rescaling folded into the gather."""

from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers
from convkit.ops.registry import Spec
from convkit.program.builder import Builder
from convkit.program.lower import external_names, lower
from convkit.program.program import PARAMETERS, Program
from program.graphs import calls, compiled, named


def lowered(model, inputs=None, batch=4, indexed=False, training=False, dtype="float32"):
    model.build()
    program = Program(model.name, "train" if training else "predict", batch, dtype)
    builder = Builder(program, training=training)
    inputs = inputs or [Spec(tuple(node.shape[1:])) for node in model.inputs]
    program.output = lower(model, builder, inputs, indexed=indexed)
    return program


def test_each_layer_becomes_its_instructions():
    model = ck.models.lenet5()
    program = lowered(model)
    assert calls(program) == [
        "gather_rows.forward",
        "conv2d.forward", "activation.forward", "pool2d.average_forward",
        "conv2d.forward", "activation.forward", "pool2d.average_forward",
        "dense.forward", "activation.forward", "dense.forward", "activation.forward",
        "dense.forward", "softmax.forward",
    ]  # fmt: skip
    assert [i.layer for i in program.instructions] == [
        "", "c1", "c1", "s2", "c3", "c3", "s4", "c5", "c5", "f6", "f6", "output", "output",
    ]  # fmt: skip
    assert [i.outputs[0].spec.shape for i in named(program, "conv2d")] == [
        (4, 28, 28, 6),
        (4, 10, 10, 16),
    ]
    assert program.output[0].spec.shape == (4, 10)
    assert all(i.row is None for i in program.instructions)


def test_flatten_is_a_view_of_what_it_flattens():
    model = ck.Sequential([ck.Input((2, 3, 4)), ck.layers.Flatten(), ck.layers.Dense(5)])
    program = lowered(model)
    (dense,) = named(program, "dense")
    x = dense.inputs[0]
    assert x.spec.shape == (4, 24)
    assert x.root is program.instructions[0].outputs[0].root


def test_parameters_are_where_the_store_has_them():
    model = ck.models.lenet5()
    program = lowered(model, dtype="float64")
    found = {}
    for i in program.instructions:
        for v in i.inputs:
            if v is not None and v.buffer == PARAMETERS:
                found[v.name] = v
    assert len(found) == len(model.store.members) == 10
    for p in model.store.members:
        value = found[p.path]
        assert value.parameter is p
        assert value.spec == Spec(tuple(p.shape), "float64")
        assert value.offset == p.offset * 8


def test_a_shared_layer_has_one_value_for_each_parameter():
    x = ck.Input((3,))
    layer = ck.layers.Dense(3)
    program = lowered(ck.Model(x, layer(layer(x))))
    first, second = named(program, "dense")
    assert first.inputs[1] is second.inputs[1]
    assert first.inputs[2] is second.inputs[2]


@pytest.mark.parametrize(("indexed", "externals"), [(False, {"x"}), (True, {"x", "index"})])
def test_the_gather_reads_what_the_caller_binds(indexed, externals):
    model = ck.Sequential([ck.Input((5, 5, 1)), ck.layers.Conv2D(2, 3)])
    program = lowered(model, [Spec((5, 5), "uint8")], indexed=indexed)
    assert set(program.externals) == externals
    gather = program.instructions[0]
    assert gather.inputs[0].spec == Spec((4, 5, 5), "uint8")
    assert gather.outputs[0].spec == Spec((4, 5, 5), "float32")
    assert (gather.inputs[1] is not None) == indexed
    assert named(program, "conv2d")[0].inputs[0].spec.shape == (4, 5, 5, 1)


def test_several_inputs_have_numbered_names():
    a, b = ck.Input((3,)), ck.Input((3,))
    model = ck.Model([a, b], ck.layers.Add()([a, b]))
    model.build()
    assert external_names(model) == ["x0", "x1"]
    assert set(lowered(model).externals) == {"x0", "x1"}


def test_a_rescaling_of_an_input_is_done_by_the_gather():
    model = ck.Sequential(
        [ck.Input((4,)), ck.layers.Rescaling(1 / 255, offset=-0.5), ck.layers.Dense(2)]
    )
    program = lowered(model)
    assert calls(program) == ["gather_rows.forward", "dense.forward"]
    params = program.instructions[0].params
    assert params["scale"] == pytest.approx(1 / 255)
    assert params["offset"] == -0.5


def test_dropout_is_an_instruction_in_training_only():
    model = ck.Sequential([ck.Input((4,)), ck.layers.Dropout(0.5), ck.layers.Dense(2)])
    assert "dropout.forward" in calls(lowered(model, training=True))
    assert "dropout.forward" not in calls(lowered(model))


def test_two_dropouts_draw_from_different_streams():
    model = ck.Sequential([ck.Input((4,)), ck.layers.Dropout(0.5), ck.layers.Dropout(0.5)])
    streams = [i.params["stream"] for i in named(lowered(model, training=True), "dropout")]
    assert len(set(streams)) == 2


def test_an_error_of_a_shape_names_the_layer():
    model = ck.Sequential([ck.Input((4,)), ck.layers.Dense(2, name="narrow")])
    model.build()
    builder = Builder(Program("m", "predict", 1), training=False)
    builder.layer = "narrow"
    x = builder.external("x", Spec((1, 5)))
    kernel, bias = (builder.parameter(p) for p in model.store.members)
    with pytest.raises(ValueError, match=r"layer 'narrow': \[dense\].*5.*4"):
        builder.emit("dense", "forward", [x, kernel, bias], {"activation": "linear", "alpha": 0.0})


def test_a_program_has_only_offsets_within_its_store():
    program = compiled(ck.models.lenet5("caffe"), "predict")
    for v in program.values():
        if v.buffer == PARAMETERS:
            assert v.offset % 64 == 0
    assert np.isfinite(program.flops)
    assert program.flops > 0


@pytest.mark.parametrize(
    ("emitted", "error", "message"),
    [
        (None, TypeError, "emit returned None, expected a Value"),
        (3, TypeError, "emit returned 3, expected a Value"),
        ([], TypeError, r"emit returned \[\], expected a Value"),
        ("x", ValueError, r"emit made shape \(None, 6\), and .* says \(None, 9\)"),
    ],
)
def test_what_a_layer_emits_must_be_what_it_promised(
    emitted: Any, error: Any, message: str
) -> None:
    class Odd(layers.Layer):
        def compute_output_shape(self, input_shape: Any) -> Any:
            return (None, 9)

        def emit(self, builder: Any, inputs: Any) -> Any:
            return inputs[0] if emitted == "x" else emitted

    model = ck.Sequential([ck.Input((6,)), Odd(name="odd")])
    with pytest.raises(error, match=r"layer 'odd' \(Odd\): " + message):
        model.predict(np.zeros((2, 6), np.float32), verbose=0)
