"""The listing that a person reads. REGENERATE=1 in the environment rewrites the golden ones."""

import os
from pathlib import Path

import pytest

import convkit as ck
from convkit.ops.registry import Spec
from convkit.program.allocate import allocate
from convkit.program.program import Instruction, Value
from program.graphs import compiled

GOLDEN = Path(__file__).parent / "golden"


def portable(program):
    """The program without kernel rows, which differ from machine to machine."""
    for i in program.instructions:
        i.row = i.workspace = None
    allocate(program)
    return program


def lenet(variant, mode):
    model = ck.models.lenet5(variant)
    model.compile(ck.optimizers.SGD(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model.program(mode, 32)


@pytest.mark.parametrize("variant", ["modern", "caffe"])
@pytest.mark.parametrize("mode", ["train", "evaluate", "predict"])
def test_lenet_is_listed_as_ever(variant, mode):
    path = GOLDEN / f"lenet5_{variant}_{mode}.txt"
    text = str(portable(lenet(variant, mode))) + "\n"
    if os.environ.get("REGENERATE"):
        path.write_text(text)
    assert text == path.read_text()


def test_every_line_ends_without_blanks_and_names_its_kernel():
    program = lenet("modern", "train")
    first, *lines, last = str(program).splitlines()
    assert first == "train program of lenet5: batch 32, float32"
    assert len(lines) == len(program.instructions)
    for line, i in zip(lines, program.instructions, strict=True):
        assert line == line.rstrip()
        assert f"{i.op}.{i.pass_name}(" in line
        assert i.row.name in line
    assert last.startswith(f"{len(lines)} instructions, ")
    assert f"arena {program.arena_bytes / 2**20:.2f} MiB" in last


def test_flops_are_those_of_the_layers():
    """2 per multiply-add forward; twice that backward, but no gradient of the first input."""
    c1, c3 = 28 * 28 * 6 * 25, 10 * 10 * 16 * 25 * 6
    products = c1 + c3 + 400 * 120 + 120 * 84 + 84 * 10
    forward = compiled(ck.models.lenet5(), "predict", 128)
    heavy = sum(i.flops for i in forward.instructions if i.op in ("conv2d", "dense"))
    assert heavy == 128 * 2 * products
    train = compiled(ck.models.lenet5(), batch=128, loss="sparse_categorical_crossentropy")
    heavy = sum(i.flops for i in train.instructions if i.op in ("conv2d", "dense"))
    assert heavy == 128 * 2 * (3 * products - c1)
    assert train.flops / 1e6 == pytest.approx(291.4, abs=0.05)


def conv(**changed):
    params = {
        "stride_h": 1, "stride_w": 1, "pad_top": 0, "pad_bottom": 0, "pad_left": 0, "pad_right": 0,
        "dilation_h": 1, "dilation_w": 1, "groups": 1, "activation": "linear", "alpha": 0.0,
    }  # fmt: skip
    x, w, y = (Value(n, Spec(s)) for n, s in (("x", (1, 5, 5, 1)), ("w", (3, 3, 1, 2)), ("y", ())))
    y.spec = Spec((1, 3, 3, 2))
    return str(Instruction("conv2d", "forward", {**params, **changed}, [x, w, None], [y]))


@pytest.mark.parametrize(
    ("changed", "call"),
    [
        ({}, "conv2d.forward(x, w, -)"),
        ({"stride_h": 2, "stride_w": 2}, "conv2d.forward(x, w, -; stride=2)"),
        ({"stride_h": 2}, "conv2d.forward(x, w, -; stride=2x1)"),
        ({"pad_top": 1, "pad_bottom": 2}, "conv2d.forward(x, w, -; padding=1x2x0x0)"),
        ({"dilation_h": 3, "dilation_w": 3}, "conv2d.forward(x, w, -; dilation=3)"),
        ({"groups": 2}, "conv2d.forward(x, w, -; groups=2)"),
        ({"activation": "relu"}, "conv2d.forward(x, w, -)"),
    ],
)
def test_only_unusual_parameters_are_told(changed, call):
    left, right = conv(**changed).split(" ", 1)
    assert left == "y[1,3,3,2]"
    assert right.startswith(call + " ")
    assert ("+relu" in right) == (changed.get("activation") == "relu")
