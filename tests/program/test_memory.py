"""What a program needs: numbers that can be counted by hand, and what a process really takes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import convkit as ck
from convkit.ops.choosing import choose
from convkit.ops.registry import Spec
from convkit.ops.update import update_params
from convkit.program import memory
from convkit.program.memory import available_memory, estimate, require_memory


def perceptron(optimizer="sgd", **options):
    model = ck.Sequential([ck.Input((64,)), ck.layers.Dense(32, "relu"), ck.layers.Dense(16)])
    model.compile(optimizer, "mse", **options)
    return model


# dy, x, v, w of a layer that is cut into 8 x 2 chunks.
SPECS = tuple(Spec(shape) for shape in ((4, 2048), (4, 384), (384, 2048), (384, 2048)))
WEIGHTS = 4 * (64 * 32 + 32 + 32 * 16 + 16)


def test_the_parts_of_a_perceptron():
    found = perceptron(keep_grads=True).memory_estimate(8)
    assert found.parameters == WEIGHTS
    assert found.gradients == WEIGHTS
    assert found.optimizer == 0
    assert found.constants == 0
    assert found.data == 4 * 8 * (64 + 16) + 8 * 8  # x, y, and the order of the samples
    assert found.total == sum(found.parts.values())
    assert found.mode == "train" and found.batch == 8
    smallest = 4 * 8 * (64 + 32)  # x and the hidden layer are needed again
    assert smallest <= found.activations <= 4 * smallest


@pytest.mark.parametrize(("optimizer", "slots"), [("sgd", 0), ("adam", 2)])
def test_the_optimizer_has_its_state(optimizer, slots):
    assert perceptron(optimizer).memory_estimate(8).optimizer == slots * WEIGHTS


def test_gradients_that_are_never_written_are_not_counted():
    model = perceptron(keep_grads=True)
    model.layers[0].trainable = False
    assert model.memory_estimate(8).gradients == 4 * (32 * 16 + 16)
    assert model.memory_estimate(8, "evaluate").gradients == 0
    large = ck.Sequential([ck.Input((512,)), ck.layers.Dense(512)])
    large.compile("sgd", "mse")
    if not any(i.op == "dense_update" for i in large.program("train", 8).instructions):
        pytest.skip("the gradient of this layer is kept")
    assert large.memory_estimate(8).gradients == 4 * 512  # of the bias


def test_predict_keeps_neither_gradients_nor_state():
    found = perceptron("adam").memory_estimate(8, "predict")
    assert (found.gradients, found.optimizer) == (0, 0)
    assert found.parameters == WEIGHTS
    assert found.data == 4 * 8 * 64
    needs_no_compile = ck.Sequential([ck.Input((64,)), ck.layers.Dense(4)])
    assert needs_no_compile.memory_estimate(2, "predict").parameters == 4 * 65 * 4


def test_activations_grow_with_the_batch_and_parameters_do_not():
    model = ck.models.lenet5()
    model.compile("sgd", "sparse_categorical_crossentropy")
    small, large = model.memory_estimate(2), model.memory_estimate(16)
    assert large.parameters == small.parameters
    assert 4 * small.activations < large.activations <= 8.5 * small.activations


@pytest.mark.parametrize("mode", ["train", "evaluate", "predict"])
def test_the_arena_is_covered(mode):
    model = ck.models.lenet5()
    model.compile("adam", "sparse_categorical_crossentropy")
    program = model.program(mode, 16)
    ck.set_num_threads(64)  # as many as any kernel has scratch memory for
    found = estimate(program)
    arena = found.activations + found.workspace
    assert 0.9 * program.arena_bytes < arena <= program.arena_bytes


def test_scratch_memory_of_threads_that_are_not_there_is_not_counted():
    params = update_params(momentum=0.9)
    row = choose("dense_update", "sgd", SPECS, params)
    slot = 4 * 48 * 1024  # 48 rows of dw, 4 KB of each
    assert row.workspace_bytes(SPECS, params) == 16 * slot
    assert [row.workspace_bytes(SPECS, params, n) for n in (1, 3, 99)] == [
        slot,
        3 * slot,
        16 * slot,
    ]


def test_large_buffers_come_in_whole_pages():
    model = ck.Sequential([ck.Input((1000,)), ck.layers.Dense(1000, use_bias=False)])
    assert model.memory_estimate(1, "predict").parameters == 2 << 21  # of 4,000,000


def test_it_prints_a_table():
    lines = str(perceptron().memory_estimate(8)).splitlines()
    assert lines[0] == "memory of train in batches of 8"
    assert lines[1].split() == ["parameters", f"{WEIGHTS / 1e6:.2f}", "MB"]
    assert lines[-1].split()[0] == "total"
    assert len(lines) == 9


def test_estimating_allocates_no_arena():
    model = ck.models.lenet5()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.memory_estimate(512)
    assert model.store.arena_bytes == 0


def test_available_memory_is_some_of_the_machine():
    free = available_memory()
    if free is None:
        pytest.skip("needs /proc")
    assert 0 < free < 1 << 50


def test_a_program_without_room_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 1 << 20)
    monkeypatch.setattr(memory, "SMALL", 0)
    model = ck.models.lenet5()
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = np.zeros((256, *model.input_shape[1:]), np.float32), np.zeros(256, int)
    before = model.get_weights()
    with pytest.raises(MemoryError, match=r"(?s)'lenet.*batch_size=128.*activations.*total"):
        model.fit(x, y, batch_size=256, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.fit(x, y, batch_size=2, verbose=0)  # which fits


def test_what_is_there_already_counts(monkeypatch):
    monkeypatch.setattr(memory, "SMALL", 0)
    model = perceptron()
    program = model.program("train", 8)
    monkeypatch.setattr(memory, "available_memory", lambda: program.arena_bytes - 1)
    require_memory(program, held=1)
    with pytest.raises(MemoryError):
        require_memory(program)
    monkeypatch.setattr(memory, "available_memory", lambda: None)
    require_memory(program)


SCRIPT = """
import ctypes, gc, json, sys
import numpy as np
import convkit as ck
from program.test_memory import NETWORKS

def status(field):
    with open("/proc/self/status") as file:
        return 1024 * next(int(line.split()[1]) for line in file if line.startswith(field))

def trained(make, batch):
    model = make()
    model.compile(ck.optimizers.SGD(1e-3, momentum=0.9), "sparse_categorical_crossentropy")
    found = model.memory_estimate(batch)
    x = np.random.default_rng(0).standard_normal((batch, *model.input_shape[1:]), dtype="f")
    y = np.arange(batch) % 10
    gc.collect(), ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    for _ in range(2):
        model.train_on_batch(x, y)
    return found.total

trained(ck.models.lenet5, 2)  # what the first step of any model loads
gc.collect(), ctypes.CDLL(None).malloc_trim(0)
before = status("VmRSS")
total = trained(NETWORKS[sys.argv[1]], int(sys.argv[2]))
print(json.dumps([total, status("VmHWM") - before]))
"""


def convolutions():
    layers = ck.layers
    return ck.Sequential(
        [
            layers.Input((64, 64, 3)),
            layers.Conv2D(64, 3, padding="same", activation="relu"),
            layers.Conv2D(64, 3, padding="same", activation="tanh"),
            layers.MaxPooling2D(2),
            layers.Conv2D(128, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10, "softmax"),
        ]
    )


def perceptrons():
    layers = ck.layers
    return ck.Sequential(
        [
            layers.Input((784,)),
            layers.Dense(2048, "relu"),
            layers.Dense(2048, "relu"),
            layers.Dense(10, "softmax"),
        ]
    )


NETWORKS = {
    "convolutions": convolutions,
    "lenet": ck.models.lenet5,
    "perceptrons": perceptrons,
    "alexnet": lambda: ck.models.alexnet("one-tower"),
}


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="needs /proc")
@pytest.mark.parametrize(
    ("network", "batch"),
    [("convolutions", 32), ("lenet", 512), ("perceptrons", 64), ("alexnet", 4)],
)
def test_a_training_step_takes_what_was_said(network, batch):
    tests = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(tests), *(p for p in sys.path if p)])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, network, str(batch)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said, measured = json.loads(done.stdout)
    assert said == pytest.approx(measured, rel=0.1)
