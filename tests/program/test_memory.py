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
from convkit.run.store import flat


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
    other = ck.models.lenet5()
    other.build()
    monkeypatch.setattr(memory, "available_memory", lambda: 1 << 20)
    monkeypatch.setattr(memory, "SMALL", 0)
    model = ck.models.lenet5()
    model.compile("sgd", "sparse_categorical_crossentropy")
    x, y = np.zeros((256, *model.input_shape[1:]), np.float32), np.zeros(256, int)
    before = model.get_weights()
    with pytest.raises(
        MemoryError, match=r"(?s)'lenet.*batch_size=\d+.*activations.*total"
    ) as said:
        model.fit(x, y, batch_size=256, verbose=0)
    advised = int(str(said.value).split("batch_size=")[1].split()[0])
    assert 8 <= advised <= 64  # not half of what needs ten times as much as there is
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.fit(x, y, batch_size=advised, verbose=0)  # which fits
    monkeypatch.setattr(memory, "available_memory", lambda: 1 << 10)
    with pytest.raises(MemoryError, match="not even batches of one sample fit: take a smaller"):
        other.predict(x, batch_size=256, verbose=0)


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


def huge():
    return ck.Sequential(
        [ck.Input((1 << 20,)), ck.layers.Dense(1 << 24, name="wide"), ck.layers.Dense(10)]
    )


def test_weights_without_room_are_refused_by_name():
    model = huge()
    model.compile("adam", "mse")
    message = (
        r"has weights of 70,\d{3},\d{3} MB, and the machine has [\d,]+ MB left; the largest are "
        r"'wide.kernel' of shape \(1048576, 16777216\), 70,368,744 MB: make layer 'wide' smaller"
    )
    if available_memory() is None:
        pytest.skip("needs /proc")
    for use in (
        model.build,
        lambda: model.predict(np.zeros((1, 1 << 20), np.float32)),
        lambda: model.fit(np.zeros((1, 1 << 20), np.float32), np.zeros((1, 10))),
    ):
        with pytest.raises(MemoryError, match=message):
            use()
    assert not model.built
    weights = 4 * ((1 << 44) + (1 << 24) + 10 * (1 << 24) + 10)
    found = model.memory_estimate(1)  # which needs no weights
    assert found.parameters == pytest.approx(weights, rel=1e-3)
    assert found.optimizer == pytest.approx(2 * weights, rel=1e-3)
    assert not model.built


def test_an_optimizer_without_room_is_refused(monkeypatch):
    model = perceptron("lbfgs")
    x, y = np.zeros((8, 64), np.float32), np.zeros((8, 16), np.float32)
    model.build()
    monkeypatch.setattr(memory, "SMALL", 0)
    monkeypatch.setattr(memory, "available_memory", lambda: 100_000)
    message = r"\[fit\] LBFGS holds 1 MB for 2,608 weights, .*; take .* LBFGS\(memory_size=3\)"
    with pytest.raises(MemoryError, match=message):
        model.fit(x, y, verbose=0)


def test_what_the_system_refuses_is_named():
    with pytest.raises(MemoryError, match=r"gives no .* MB for the weights of a model; take a sm"):
        flat(1 << 60, "float32", "the weights of a model")


def test_an_estimate_leaves_no_trace():
    model = perceptron("adam")
    before = model.memory_estimate(8)
    assert not model.built
    x, y = np.ones((16, 64), np.float32), np.ones((16, 16), np.float32)
    ck.set_seed(3)
    model.fit(x, y, batch_size=8, verbose=0)
    assert model.memory_estimate(8) == before
    ck.set_seed(3)
    other = perceptron("adam")
    other.fit(x, y, batch_size=8, verbose=0)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_modes_and_batch_sizes_are_checked():
    model = perceptron()
    with pytest.raises(ValueError, match=r"\[memory_estimate\] unknown mode 'foo'; known: eval"):
        model.memory_estimate(3, "foo")
    with pytest.raises(ValueError, match="batch_size is 0, expected at least 1"):
        model.memory_estimate(0)
    with pytest.raises(TypeError, match=r"batch_size must be a whole number, not 2\.5"):
        model.memory_estimate(2.5)


N = 64 * 32 + 32 + 32 * 16 + 16


@pytest.mark.parametrize(
    ("optimizer", "vectors", "matrices"),
    [
        ("lbfgs", 5 + 4 + 2 * 10, 0),
        ("conjugate_gradient", 5 + 4 + 2, 0),
        ("steepest_descent", 5, 0),
        ("bfgs", 5 + 4, 4),
        ("levenberg_marquardt", 5, 3),
    ],
)
def test_optimizers_of_all_the_data_take_float64(optimizer, vectors, matrices):
    found = perceptron(optimizer).memory_estimate(8)
    assert found.parameters == (4 + 8) * N
    assert found.gradients == (4 + 8 + 8) * N
    assert found.optimizer == 8 * (vectors * N + matrices * N * N) + 2 * 4 * N
    smallest = 8 * 8 * (64 + 32)  # of float64
    assert smallest <= found.activations <= 4 * smallest
    single = ck.optimizers.LBFGS(dtype="float32")
    assert perceptron(single).memory_estimate(8).parameters == (4 + 4) * N


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
    optimizer = ck.optimizers.SGD(1e-3, momentum=0.9)
    squares = name == "levenberg_marquardt"
    loss = "mean_squared_error" if squares else "sparse_categorical_crossentropy"
    model.compile(name or optimizer, loss)
    found = model.memory_estimate(batch)
    x = np.random.default_rng(0).standard_normal((batch, *model.input_shape[1:]), dtype="f")
    y = np.arange(batch) % 10
    y = np.eye(10, dtype="f")[y] if squares else y
    gc.collect(), ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    if name:
        model.fit(x, y, epochs=13, verbose=0)
    else:
        for _ in range(2):
            model.train_on_batch(x, y)
    return found.total

name = sys.argv[3] if len(sys.argv) > 3 else ""
trained(NETWORKS["tiny"] if name else ck.models.lenet5, 2)  # what the first step of any model loads
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


def chain(*sizes):
    layers = ck.layers
    hidden = [layers.Dense(n, "relu") for n in sizes[1:]]
    return ck.Sequential([layers.Input(sizes[:1]), *hidden, layers.Dense(10, "softmax")])


NETWORKS = {
    "tiny": lambda: chain(4, 3),
    "wide": lambda: chain(1000, 1000, 1000),
    "narrow": lambda: chain(50, 50, 30),
    "narrower": lambda: chain(36, 36, 24),
    "convolutions": convolutions,
    "lenet": ck.models.lenet5,
    "perceptrons": perceptrons,
    "alexnet": lambda: ck.models.alexnet("one-tower"),
}


def said_and_measured(*arguments):
    """Bytes that a model said it would take, and that a process took in training it."""
    tests = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(tests), *(p for p in sys.path if p)])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


needs_peaks = pytest.mark.skipif(not os.path.exists("/proc/self/clear_refs"), reason="needs /proc")


@pytest.mark.slow
@needs_peaks
@pytest.mark.parametrize(
    ("network", "batch"),
    [("convolutions", 32), ("lenet", 512), ("perceptrons", 64), ("alexnet", 4)],
)
def test_a_training_step_takes_what_was_said(network, batch):
    said, measured = said_and_measured(network, batch)
    assert said == pytest.approx(measured, rel=0.1)


@pytest.mark.slow
@needs_peaks
@pytest.mark.parametrize(
    ("network", "optimizer"),
    [
        ("wide", "lbfgs"),
        ("wide", "conjugate_gradient"),
        ("wide", "steepest_descent"),
        ("narrow", "bfgs"),
        ("narrower", "levenberg_marquardt"),
    ],
)
def test_training_with_all_the_data_takes_what_was_said(network, optimizer):
    said, measured = said_and_measured(network, 256, optimizer)
    assert said == pytest.approx(measured, rel=0.2)
