"""device="cuda": small networks train as on the CPU, and what surrounds training works."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit.ops.registry import Array

L = ck.layers


def mlp() -> ck.Sequential:
    return ck.Sequential([ck.Input((12,)), L.Dense(9, "tanh"), L.Dense(4, "softmax")])


def data(n: int = 22, shape: tuple[int, ...] = (12,), classes: int = 4) -> tuple[Array, Array]:
    rng = np.random.default_rng(5)
    return rng.standard_normal((n, *shape)).astype("f4"), rng.integers(0, classes, n)


def compiled(
    build: Callable[[], Any] = mlp, device: str = "cuda", optimizer: Any = "adam", **options: Any
) -> Any:
    ck.set_seed(3)
    model = build()
    model.compile(
        optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], device=device, **options
    )
    return model


def both(build: Callable[[], Any], x: Array, y: Array, **options: Any) -> list[Any]:
    """History and weights of the same training on CPU and GPU."""
    found = []
    for device in ("cpu", "cuda"):
        model = compiled(build, device, **options)
        history = model.fit(x, y, batch_size=8, epochs=2, verbose=0, validation_split=0.25)
        found.append((history.history, model.get_weights(), model.predict(x, verbose=0)))
    return found


def assert_same(found: list[Any], tolerance: float = 2e-5) -> None:
    (log, weights, p), (log_gpu, weights_gpu, p_gpu) = found
    for name, values in log.items():
        np.testing.assert_allclose(log_gpu[name], values, rtol=tolerance, atol=tolerance)
    for a, b in zip(weights, weights_gpu, strict=True):
        np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(p_gpu, p, rtol=tolerance, atol=tolerance)
    assert any(np.abs(a - a[0]).max() > 0.01 for a in weights if a.ndim > 1)


def test_parts_of_arrays_on_the_gpu() -> None:
    x, y = data(40)
    parts: list[dict[str, Any]] = [{"validation_split": 0.25}, {"split": (0.5, 0.25, 0.25)}]
    for part in parts:
        logs = []
        for given in (x, ck.cuda.asarray(x)):
            log = compiled().fit(given, y, batch_size=8, verbose=0, **part)
            logs.append(log.history)
        assert logs[0] == logs[1] and "val_loss" in logs[0]


def test_threads_leave_each_others_data_alone() -> None:
    model = compiled()
    x = data()[0]
    model.predict(x, batch_size=32, verbose=0)
    here = model.store.device_data
    at = here.pointer(x)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(model.predict, x + 1, batch_size=16, verbose=0).result()
    found = np.empty_like(x)
    ck.cuda.native.require().read_into(found, at)
    np.testing.assert_array_equal(found, x)
    assert here is model.store.device_data and here.pointer(x) == at


@pytest.mark.filterwarnings("error")
def test_kernels_are_those_of_the_device(tmp_path: Path) -> None:
    x, y = data(8)
    model = compiled(device="cpu")
    model.train_on_batch(x, y)
    on_cpu = model.kernels()
    model.to("cuda")
    assert on_cpu and not model.kernels()
    model.train_on_batch(x, y)
    assert {name[:4] for name in model.kernels().values()} == {"cuda"}
    title = str(model.explain()).partition("\n")[0]
    assert title.endswith(ck.cuda.device_info().name)
    model.save(tmp_path / "model.convkit")
    loaded = ck.load_model(tmp_path / "model.convkit")  # on the CPU
    loaded.train_on_batch(x, y)
    assert loaded.kernels() == on_cpu


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_an_mlp_trains_as_on_the_cpu(optimizer: str) -> None:
    assert_same(both(mlp, *data(), optimizer=optimizer))


def test_the_same_bits_each_time() -> None:
    x, y = data()
    runs = []
    for _ in range(2):
        model = compiled()
        model.fit(x, y, batch_size=8, epochs=2, verbose=0)
        runs.append([w.tobytes() for w in model.get_weights()])
    assert runs[0] == runs[1]


def test_weights_can_be_read_and_set_between_steps() -> None:
    x, y = data(16)
    model, twin = compiled(), compiled(device="cpu")
    for m in (model, twin):
        m.train_on_batch(x, y)
        m.layers[0].set_weights([w * 0.5 for w in m.layers[0].get_weights()])
        m.train_on_batch(x, y)
    for a, b in zip(twin.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


def test_moving_to_and_fro() -> None:
    x, y = data()
    model, twin = compiled(), compiled(device="cpu")
    for m in (model, twin):
        m.fit(x, y, batch_size=8, epochs=1, verbose=0)
    assert model.device == "cuda" and model.to("cpu") is model
    for m in (model, twin):  # the optimizer's state came along
        m.fit(x, y, batch_size=8, epochs=1, verbose=0)
    for a, b in zip(twin.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)


def test_a_copy_is_a_model_of_its_own() -> None:
    x, y = data()
    model = compiled()
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    twin = copy.deepcopy(model)
    before = [w.copy() for w in model.get_weights()]
    twin.fit(x, y, batch_size=8, epochs=1, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    for a, b in zip(twin.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_data_changed_between_calls_is_seen() -> None:
    x = data()[0]
    model = compiled()
    first = model.predict(x, verbose=0)
    x *= -1
    assert np.abs(model.predict(x, verbose=0) - first).max() > 1e-3


def test_batches_in_an_array_that_is_filled_anew() -> None:
    x = np.random.default_rng(3).standard_normal((24, 6)).astype("f4")
    y = np.eye(3, dtype="f4")[np.arange(24) % 3]

    def batches(again: bool) -> Iterator[tuple[Array, Array]]:
        rows, targets = np.empty((6, 6), "f4"), np.empty((6, 3), "f4")
        for i in range(0, 24, 6):
            rows[...], targets[...] = x[i : i + 6], y[i : i + 6]
            yield (rows, targets) if again else (rows.copy(), targets.copy())

    def losses(again: bool) -> tuple[Any, Any, Any]:
        ck.set_seed(1)
        model = ck.Sequential([ck.Input((6,)), L.Dense(3, "softmax")])
        model.compile("sgd", "categorical_crossentropy", device="cuda")
        trained = model.fit(batches(again), verbose=0).history
        found = model.evaluate(batches(again), verbose=0)
        return trained, found, model.predict((b[:1] for b in batches(again)), verbose=0).tolist()

    assert losses(again=True) == losses(again=False)


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    x, y = data(24)
    x[17] = np.inf  # in the third batch
    model, twin = compiled(), compiled()
    with pytest.raises(ck.NonFiniteError):
        model.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
    twin.fit(x[:16], y[:16], batch_size=8, epochs=1, shuffle=False, verbose=0)
    for a, b in zip(twin.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert model.optimizer.iterations == 2


def test_eager_shows_what_the_graph_computes() -> None:
    x, y = data()
    found = []
    for eagerly in (False, True):
        model = compiled(run_eagerly=eagerly)
        model.fit(x, y, batch_size=8, epochs=1, verbose=0)
        found.append([w.tobytes() for w in model.get_weights()])
    assert found[0] == found[1]


def test_what_has_no_kernel_is_named() -> None:
    model = ck.Sequential([ck.Input((12,)), L.Lambda(lambda t: 2 * t, name="twice"), L.Dense(4)])
    model.to("cuda")
    with pytest.raises(NotImplementedError, match=r'\[twice\].*no CUDA kernel.*device="cpu"'):
        model.predict(np.zeros((2, 12), "f4"), verbose=0)


def test_devices_are_named() -> None:
    with pytest.raises(ValueError, match='device is "cpu" or "cuda"'):
        mlp().to("gpu")


def test_executors_are_compared_on_data_of_the_gpu() -> None:
    x, y = data(8)
    found = ck.testing.compare(compiled(), ck.cuda.asarray(x), y, "reference", "cuda")
    assert found.agrees and found.units > 0


def test_kernels_are_named_and_recorded(tmp_path: Path) -> None:
    x, y = data()
    model = compiled()
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    assert any(name.startswith("cuda_") for name in model.kernels().values())
    model.save(tmp_path / "m.convkit")
    ck.load_model(tmp_path / "m.convkit")  # without a warning, which would be an error
    twin = compiled(kernels=model.kernels())
    twin.fit(x, y, batch_size=8, epochs=1, verbose=0)
    for a, b in zip(model.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    plain = compiled(kernels={"dense": "cuda_simple"})
    plain.fit(x, y, batch_size=8, epochs=1, verbose=0)
    assert "cuda_simple" in plain.kernels().values()


def test_a_kernel_of_another_device_is_refused() -> None:
    x, y = data()
    for device, name in (("cuda", "cpu_naive"), ("cpu", "cuda_simple")):
        model = compiled(device=device, kernels={"dense": name})
        with pytest.raises(ValueError, match=rf"\[dense\].*{name}.*does not run on {device}"):
            model.fit(x, y, batch_size=8, verbose=0)


@pytest.mark.parametrize("optimizer", ["lbfgs", "levenberg_marquardt"])
def test_optimizers_of_all_the_data(optimizer: str) -> None:
    x = data()[0]
    found = []
    for device in ("cpu", "cuda"):
        ck.set_seed(1)
        model = ck.Sequential([ck.Input((12,)), L.Dense(4, "tanh"), L.Dense(1)])
        model.compile(optimizer, "mse", device=device)
        found.append(model.fit(x, x[:, :1], epochs=3, verbose=0).history["loss"])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9)  # in float64


def test_a_profile_times_each_kernel() -> None:
    x, y = data(8)
    model = compiled()
    profile = model.profile(x, y, repeats=2)
    assert profile.seconds > 0 and "cuda_" in str(profile)
    assert "peaks are not measured" in str(profile)


def test_callbacks_and_learning_rates() -> None:
    x, y = data()

    def rate(step: int) -> float:
        return 0.1 / (1 + step)

    found = []
    for device in ("cpu", "cuda"):
        model = compiled(device=device, optimizer=ck.optimizers.SGD(rate))
        seen: list[float] = []
        watch = ck.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs, m=model, s=seen: s.append(
                float(np.abs(m.get_weights()[0]).sum())
            )
        )
        model.fit(x, y, batch_size=8, epochs=2, verbose=0, callbacks=[watch])
        found.append(seen)
    assert len(found[0]) == 6
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)
