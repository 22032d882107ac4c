"""compare: agreement of all pairs of executors, and the first wrong instruction by name."""

import itertools

import numpy as np
import pytest

import convkit as ck
from convkit.errors import NotCompiledError
from convkit.run.executor import KINDS
from convkit.testing import compare
from testing.planted import batch, planted, small

PAIRS = list(itertools.permutations(KINDS, 2))


@pytest.mark.parametrize(("first", "second"), PAIRS)
@pytest.mark.parametrize("weighted", [False, True])
def test_executors_agree(first, second, weighted):
    model = small()
    before = model.get_weights()
    x, y = batch()
    found = compare(model, x, y, first, second, sample_weight=np.arange(6.0) if weighted else None)
    assert found.agrees, str(found)
    assert found.index == -1
    assert 0 <= found.units <= 1
    same_kernels = {first, second} == {"native", "eager"}
    assert (found.units > 0) == (not same_kernels)
    assert str(found).startswith("the executors agree")
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", ck.optimizers.SGD(0.1, momentum=0.9)])
def test_updates_agree_too(optimizer):
    model = small()
    model.compile(optimizer, "sparse_categorical_crossentropy")
    x, y = batch()
    model.fit(x, y, epochs=2, verbose=0)  # the optimizer has a state
    found = compare(model, x, y)
    assert found.agrees, str(found)


def skip_the_last_row(results, inputs):
    results[0][-1] = 0


def add_a_thousandth(results, inputs):
    results[0][...] += 1e-3


def not_a_number(results, inputs):
    results[0].flat[4] = np.nan


def index_of(program, op, pass_name, layer):
    (n,) = (
        n
        for n, i in enumerate(program.instructions)
        if (i.op, i.pass_name, i.layer) == (op, pass_name, layer)
    )
    return n


@pytest.mark.parametrize("spoil", [skip_the_last_row, add_a_thousandth, not_a_number])
@pytest.mark.parametrize("pair", [("reference", "eager"), ("eager", "reference")])
def test_a_wrong_dense_is_found(spoil, pair):
    model, (x, y) = small(), batch()
    with planted("dense", "forward", spoil):
        program = model.program("train", 6)
        found = compare(model, x, y, *pair)
    assert not found.agrees
    assert found.index == index_of(program, "dense", "forward", "hidden")
    assert (found.instruction.op, found.instruction.layer) == ("dense", "hidden")
    assert found.instruction.row.name == "planted"
    assert found.operand == found.instruction.outputs[0].name
    assert found.units > 1
    if spoil is skip_the_last_row:
        assert found.position[0] == 5
        assert (found.second if pair[0] == "reference" else found.first) == 0.0
    if spoil is add_a_thousandth:
        gap = found.second - found.first
        assert gap == pytest.approx(1e-3 if pair[0] == "reference" else -1e-3, rel=1e-3)
    if spoil is not_a_number:
        assert found.position == (0, 4)
        assert found.units == np.inf
    text = str(found)
    assert text.startswith(f"instruction {found.index} of layer 'hidden' differs: ")
    assert f"{found.operand}[{', '.join(map(str, found.position))}]" in text


def test_the_layer_is_the_one_with_the_mistake():
    def only_in_out(results, inputs):
        if inputs[1].shape == (5, 3):
            results[0][0, 0] += 1e-3

    model, (x, y) = small(), batch()
    with planted("dense", "forward", only_in_out):
        found = compare(model, x, y, "reference", "eager")
    assert found.instruction.layer == "out"
    assert found.position == (0, 0)


def test_which_of_several_results_is_wrong():
    """The bias gradient, not the weight gradient beside it."""

    def bias(results, inputs):
        results[1][1] *= 1.001

    model, (x, y) = small(dropout=0.0), batch()
    with planted("conv2d", "backward_weight", bias):
        found = compare(model, x, y, "reference", "eager")
    assert found.instruction.layer == "second"  # backwards it comes first
    assert found.operand == "d.second.bias"
    assert found.position == (1,)


def test_a_wrong_update_is_found():
    def weights(results, inputs):
        results[-1][7] += 1e-2

    model, (x, y) = small(), batch()
    with planted("update", "adam", weights):
        found = compare(model, x, y, "reference", "eager")
    assert (found.instruction.op, found.operand, found.position) == ("update", "parameters", (7,))


def test_a_mistake_below_the_bound_is_rounding():
    def nothing_much(results, inputs):
        results[0][...] *= 1 + 1e-8

    model, (x, y) = small(), batch()
    with planted("dense", "forward", nothing_much):
        assert compare(model, x, y, "reference", "eager").agrees


def test_a_row_in_python_is_compared_in_the_native_executor():
    model, (x, y) = small(), batch()
    with planted("dense", "forward", add_a_thousandth):
        found = compare(model, x, y, "reference", "native")
    assert (found.agrees, found.instruction.layer) == (False, "hidden")
    assert compare(model, x, y, "reference", "native").agrees


def test_mistakes_in_the_call_are_named():
    x, y = batch()
    with pytest.raises(ValueError, match=r"unknown executor 'egaer'.*eager"):
        compare(small(), x, y, "egaer")
    model = ck.Sequential([ck.Input((6, 6, 2)), ck.layers.Flatten()])
    with pytest.raises(NotCompiledError):
        compare(model, x, y)


def test_a_nan_in_the_data_does_not_hide_a_wrong_kernel():
    def doubles(ctx, x, w, b):
        y = x @ w if b is None else x @ w + b
        return np.where(np.isnan(y), y, 2 * y)

    model = ck.models.mlp([6, 3])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = np.ones((4, 6), np.float32)
    x[0, 0] = np.nan
    assert compare(model, x, np.zeros(4, int)).agrees
    ck.ops.register("dense", "doubles", doubles)
    try:
        found = compare(model, x, np.zeros(4, int), "reference", "eager")
    finally:
        ck.ops.unregister("dense", "doubles")
    assert not found.agrees and found.instruction.op == "dense" and found.position[0] > 0
