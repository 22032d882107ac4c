"""What happens where a GPU has no memory left, or a process was forked."""

from __future__ import annotations

import gc
import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit.cuda import native
from convkit.models import streams
from convkit.ops import registry
from convkit.ops.registry import Array
from convkit.run import staging
from convkit.run.device_data import DeviceData

L = ck.layers


@pytest.fixture
def limit() -> Iterator[Callable[[int], None]]:
    """Sets the memory of the emulated device, in bytes beyond what is in use."""
    module = native.module()
    if not module.emulated:
        pytest.skip("a real GPU has the memory that it has")
    whole = module.memory_info()[1]

    def set_room(room: int) -> None:
        free = native.free_memory(1 << 62)  # nothing in use may become free later
        total = module.memory_info()[1]
        module.set_memory(total - free + room)

    yield set_room
    module.set_memory(whole)


def network() -> Any:
    model = ck.Sequential([ck.Input((64,)), L.Dense(256, "relu"), L.Dense(3, "softmax")])
    return model.to("cuda")


def test_arrays_that_do_not_fit_are_refused(limit: Callable[[int], None]) -> None:
    limit(1000)
    with pytest.raises(MemoryError, match=r"no 0\.0 MB for an array of shape \(300,\)"):
        ck.cuda.asarray(np.zeros(300, "f4"))
    assert ck.cuda.asarray(np.zeros(100, "f4")).nbytes == 400


def test_weights_that_do_not_fit_stay_where_they_are(limit: Callable[[int], None]) -> None:
    model = network().to("cpu")
    x = np.ones((2, 64), "f4")
    before = model.predict(x, verbose=0)
    limit(10_000)
    model.to("cuda")
    with pytest.raises(MemoryError, match="for the weights of a model"):
        model.predict(x, verbose=0)
    np.testing.assert_array_equal(model.to("cpu").predict(x, verbose=0), before)


def test_a_batch_that_does_not_fit_names_one_that_does(limit: Callable[[int], None]) -> None:
    model = network()
    model.predict(np.ones((2, 64), "f4"), verbose=0)
    limit(40_000_000)
    x = np.ones((60_000, 64), "f4")
    with pytest.raises(MemoryError, match=r"the GPU has .* left; .*batch_size=\d+ fits"):
        model.predict(x, batch_size=60_000, verbose=0)
    assert model.predict(x[:4], batch_size=4, verbose=0).shape == (4, 3)


def trained(x: Array, y: Array, limit: Callable[[int], None], room: int) -> tuple[Any, list[Any]]:
    """A model that was trained with so much room, and all that came of it."""
    ck.set_seed(1)
    model = ck.Sequential([ck.Input(x.shape[1:]), L.Dropout(0.2), L.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", metrics=["accuracy"], device="cuda")
    limit(room)
    weight = np.linspace(0.5, 2, len(x))
    log = model.fit(
        x, y, batch_size=64, epochs=2, sample_weight=weight, validation_data=(x[::-1], y[::-1]),
        verbose=0,
    ).history  # fmt: skip
    on_gpu = ck.cuda.asarray(x[:400]) if room > x.nbytes else x[:400]
    model.fit(on_gpu, y[:400], batch_size=64, steps_per_epoch=4, epochs=3, verbose=0)
    found = [log, model.evaluate(x, y, batch_size=50, verbose=0)]
    arrays = [*model.get_weights(), model.predict(x, batch_size=96, verbose=0)]
    return model, found + [a.tobytes() for a in arrays]


def test_data_that_does_not_fit_goes_there_in_blocks(
    limit: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "BLOCK", 300_000)  # two batches of training
    x = np.random.default_rng(1).standard_normal((1200, 512)).astype("f4")
    y = np.arange(1200) % 3
    model, found = trained(x, y, limit, 1 << 30)
    assert model.store.device_data.stream.ring is None
    streamed, same = trained(x, y, limit, 2_000_000)
    assert streamed.store.device_data.stream.ring.length == 128
    assert same == found


@pytest.mark.parametrize("room", [3_000_000, 1_500_000])  # and the data has 2.4 MB
def test_a_sample_is_named_whatever_has_room(
    limit: Callable[[int], None], monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    monkeypatch.setattr(staging, "BLOCK", 300_000)
    x = np.zeros((1200, 512), "f4")
    x[700, 3] = np.nan
    model = ck.Sequential([ck.Input((512,)), L.Dense(3, "softmax")])
    model.compile("sgd", "sparse_categorical_crossentropy", device="cuda")
    limit(room)
    with pytest.raises(ck.NonFiniteError, match=r"x\[700\] holds NaN"):
        model.fit(x, np.arange(1200) % 3, batch_size=50, shuffle=False, verbose=0)


def test_idle_models_make_room(limit: Callable[[int], None]) -> None:
    x, y = np.zeros((1200, 512), "f4"), np.arange(1200) % 3
    models = [ck.Sequential([ck.Input((512,)), L.Dense(3, "softmax")]) for _ in range(4)]
    free = []
    limit(4_000_000)  # x has 2.4 MB
    for model in models:
        model.compile("sgd", "sparse_categorical_crossentropy", device="cuda")
        model.fit(x, y, batch_size=50, verbose=0)
        free.append(ck.cuda.memory_info()[0])
        assert model.store.device_data.stream.ring is None
    assert max(free) < 1_600_000
    assert ck.cuda.asarray(x).shape == x.shape
    assert all(model.predict(x[:5], verbose=0).shape == (5, 3) for model in models)


def test_files_are_read_into_the_same_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    x = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, (150, 24))
    x[...] = rng.integers(0, 255, x.shape)
    y = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", np.int16, (150, 1))
    y[...] = rng.integers(0, 3, y.shape)

    def trained(x: Array, y: Array) -> list[Any]:
        ck.set_seed(1)
        layers = [ck.Input((24,)), L.Rescaling(1 / 255), L.Dense(3, "softmax")]
        model = ck.Sequential(layers)
        model.compile("sgd", "sparse_categorical_crossentropy", device="cuda")
        weights = {0: 1.0, 1: 2.0, 2: 0.5}
        log = model.fit(
            x, y, batch_size=8, epochs=2, class_weight=weights, validation_data=(x[:40], y[:40]),
            verbose=0,
        ).history  # fmt: skip
        found = [log, model.evaluate(x, y, batch_size=16, verbose=0)]
        arrays = [*model.get_weights(), model.predict(x, batch_size=9, verbose=0)]
        return found + [a.tobytes() for a in arrays]

    found = trained(np.array(x), np.array(y))
    monkeypatch.setattr(streams, "LEAST", 1)
    monkeypatch.setattr(streams, "BLOCK", 700)  # three batches of training
    sent: list[int] = []
    take = staging.Ring.take

    def noted(ring: staging.Ring, place: int, arrays: Any) -> Any:
        sent.append(place)
        return take(ring, place, arrays)

    monkeypatch.setattr(staging.Ring, "take", noted)
    monkeypatch.setattr(DeviceData, "fits", None)  # nothing is copied by itself
    same = trained(x, y)
    assert same == found and sent[:7] == [0, 1, 2, 0, 1, 2, 0]


def test_data_makes_room_for_activations(limit: Callable[[int], None]) -> None:
    x = np.random.default_rng(3).standard_normal((3000, 64)).astype("f4")
    y, logs = np.arange(3000) % 3, []
    for room in (1 << 30, 1_200_000):
        ck.set_seed(1)
        model = network()
        model.compile("sgd", "sparse_categorical_crossentropy")
        limit(room)
        log = model.fit(
            x, y, batch_size=8, epochs=2, steps_per_epoch=2, verbose=0,
            validation_data=(x[:600], y[:600]), validation_batch_size=600,
        )  # fmt: skip
        logs.append(log.history)
    assert logs[0] == logs[1] and model.store.device_data.stream.ring is not None


def test_a_batch_without_room_says_so(limit: Callable[[int], None]) -> None:
    model = network()
    x = np.ones((40, 64), "f4")
    model.predict(x[:4], batch_size=2, verbose=0)
    limit(100)
    with pytest.raises(MemoryError, match="for samples on their way there"):
        model.predict(x, batch_size=2, verbose=0)


def test_a_program_without_room_says_so(limit: Callable[[int], None]) -> None:
    model = network()
    x = np.ones((2, 64), "f4")
    model.predict(x, verbose=0)
    limit(4096)
    with pytest.raises(MemoryError, match=r"no memory for what a program keeps between its steps"):
        model.predict(x[:1], verbose=0)
    limit(1 << 20)
    assert model.predict(x[:1], verbose=0).shape == (1, 3)


def test_a_kernel_without_room_says_so(limit: Callable[[int], None]) -> None:
    x = np.ones((2, 2000), "f4")
    row = next(r for r in ck.ops.kernels("add", device="cuda") if r.native)
    limit(10_000)
    with pytest.raises(MemoryError, match=r"no memory for the arrays of a call of add.forward"):
        registry.run(row, {}, [x, x], [np.empty_like(x)], registry.Step())


def test_dead_models_make_room(limit: Callable[[int], None]) -> None:
    model = network()
    model.predict(np.ones((2, 64), "f4"), verbose=0)
    limit(10_000)
    gc.disable()
    try:
        del model  # it refers to itself
        assert ck.cuda.memory_info()[0] <= 10_000
        assert ck.cuda.asarray(np.ones((50, 64), "f4")).nbytes == 12_800
    finally:
        gc.enable()


def test_memory_comes_back() -> None:
    gc.collect()
    free = ck.cuda.memory_info()[0]
    model = network()
    model.predict(np.ones((2, 64), "f4"), verbose=0)
    assert ck.cuda.memory_info()[0] < free
    del model
    gc.collect()
    assert ck.cuda.memory_info()[0] == free


DAEMON = """
import threading, numpy as np, convkit as ck
model = ck.Sequential([ck.Input((4,)), ck.layers.Dense(2, "softmax")])
model.compile("sgd", "sparse_categorical_crossentropy", device="cuda")
x, y, began = np.ones((8, 4), "f4"), np.zeros(8), threading.Event()
tell = ck.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: began.set())
fit = lambda: model.fit(x, y, batch_size=2, epochs=10**9, verbose=0, callbacks=[tell])
threading.Thread(target=fit, daemon=True).start()
began.wait(60)
"""


def test_the_process_may_end_while_a_daemon_trains() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DAEMON], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def _child(results: Any) -> None:
    try:
        ck.cuda.memory_info()
        results.put("it ran")
    except RuntimeError as error:
        results.put(str(error))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_is_told() -> None:
    ck.cuda.memory_info()
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=_child, args=(results,))
    child.start()
    assert "before this process was forked" in results.get(timeout=60)
    child.join()
