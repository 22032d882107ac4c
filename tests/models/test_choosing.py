"""Kernels that a model runs on: chosen under its limits, recorded, repeated and explained."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit.ops.choosing import choice, tuning
from convkit.ops.registry import kernels as rows_of

MAX = ck.layers.MaxPooling2D


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[None]:
    monkeypatch.setenv("CONVKIT_CACHE", str(tmp_path / "cache"))
    tuning.forget()
    yield
    tuning.forget()


@pytest.fixture
def predicted(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """What the cost model says, by op and row; nothing of others."""
    times: dict[str, float] = {}
    monkeypatch.setattr(
        choice, "predicted_seconds", lambda row, *_: times.get(f"{row.op} {row.name}")
    )
    return times


@pytest.fixture
def by_name(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Measuring finds what is last in this list to be the fastest."""
    order: list[str] = []

    def measure(rows: Any, specs: Any, params: Any) -> dict[str, float]:
        return {r.name: 1.0 if r.name in order[-1:] else 2.0 for r in rows}

    monkeypatch.setattr(tuning, "measure_rows", measure)
    return order


def network(*layers: Any, **options: Any) -> Any:
    ck.set_seed(1)
    model = ck.Sequential(
        [
            ck.Input((8, 7, 3)),
            ck.layers.Conv2D(16, 3, padding="same", activation="relu", name="conv1"),
            ck.layers.Conv2D(20, 3, padding="same", activation="relu", name="conv2"),
            *layers,
            ck.layers.Flatten(),
            ck.layers.Dense(5, "softmax", name="out"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy", **options)
    return model


def data(n: int = 12) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 8, 7, 3)).astype(np.float32), rng.integers(0, 5, n)


def rows(model: Any, op: str = "conv2d", mode: str = "train") -> dict[str, str]:
    """Names of the rows of an op, by layer and pass."""
    found = {}
    for i in model.program(mode, 4).instructions:
        if i.op == op:
            found[f"{i.layer}.{i.pass_name}"] = i.row.name
    return found


def bits(model: Any) -> list[bytes]:
    return [w.tobytes() for w in model.get_weights()]


# compile


def test_compile_narrows_the_choice(predicted: Any) -> None:
    assert set(rows(network()).values()) <= {"cpu_winograd", "cpu_implicit_gemm"}
    named = network(kernels={"conv2d": "cpu_im2col", "conv2d.backward_weight": "cpu_naive"})
    assert rows(named) == {
        "conv1.forward": "cpu_im2col", "conv2.forward": "cpu_im2col",
        "conv2.backward_weight": "cpu_naive", "conv2.backward_input": "cpu_im2col",
        "conv1.backward_weight": "cpu_naive",
    }  # fmt: skip
    assert set(rows(network(max_workspace_mb=0)).values()) == {"cpu_naive"}
    assert set(rows(named, mode="predict").values()) == {"cpu_im2col"}
    assert "cpu_winograd" not in rows(network(exact=True)).values()


def test_bad_arguments_are_refused_and_nothing_changes() -> None:
    model = network(kernels={"conv2d": "cpu_im2col"})
    with pytest.raises(ValueError, match="max_error is 0, expected at least 1"):
        model.compile("sgd", "mse", max_error=0)
    with pytest.raises(TypeError, match="did you mean 'autotune'"):
        model.compile("sgd", "mse", auto_tune=True)
    assert rows(model)["conv1.forward"] == "cpu_im2col"


def test_limited_kernels_train_the_same(predicted: Any) -> None:
    x, y = data()
    losses = [
        network(**o).fit(x, y, batch_size=4, epochs=2, verbose=0).history["loss"]
        for o in ({}, {"exact": True}, {"max_workspace_mb": 0}, {"autotune": True})
    ]
    for other in losses[1:]:
        np.testing.assert_allclose(losses[0], other, rtol=1e-4)


# Records


def test_choices_are_recorded_and_repeated_to_the_bit(by_name: list[str], predicted: Any) -> None:
    x, y = data()
    by_name.append("cpu_im2col")
    model = network(autotune=True)
    assert model.kernels() == {}
    history = model.fit(x, y, batch_size=4, epochs=2, verbose=0)
    recorded = model.kernels()
    assert history.kernels == recorded
    assert set(recorded.values()) >= {"cpu_im2col"}
    assert all("(float32" in text for text in recorded)

    by_name.append("cpu_implicit_gemm")  # as another machine finds
    tuning.forget()
    again = network(kernels=recorded)
    again.fit(x, y, batch_size=4, epochs=2, verbose=0)
    assert again.kernels() == recorded
    assert bits(again) == bits(model)
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert model.kernels() == {}


def test_a_name_that_is_missing_is_an_error() -> None:
    x, y = data()
    model = network()
    model.fit(x, y, batch_size=4, verbose=0)
    recorded = {text: "cuda_tensor_cores" for text in model.kernels()}
    with pytest.raises(ValueError, match=r"'cuda_tensor_cores' .* one is chosen anew"):
        network(kernels=recorded)


def test_files_keep_the_choices(by_name: list[str], predicted: Any, tmp_path: Any) -> None:
    x, y = data()
    by_name.append("cpu_im2col")
    model = network(autotune=True, max_workspace_mb=64.0, max_error=1e3)
    model.fit(x, y, batch_size=4, verbose=0)
    model.save(tmp_path / "m.convkit")
    by_name.append("cpu_implicit_gemm")
    tuning.forget()
    loaded = ck.load_model(tmp_path / "m.convkit")
    assert rows(loaded) == rows(model)
    policy = loaded._compiled.policy
    assert (policy.autotune, policy.max_workspace_mb, policy.max_error) == (True, 64.0, 1e3)
    for m in (model, loaded):
        m.fit(x, y, batch_size=4, verbose=0)
    assert bits(loaded) == bits(model)
    loaded.save(tmp_path / "again.convkit")
    assert rows(ck.load_model(tmp_path / "again.convkit")) == rows(model)


def test_a_file_with_a_kernel_that_is_not_here_loads_with_a_warning(
    predicted: Any, tmp_path: Any
) -> None:
    from convkit.ops import registry

    x, y = data()
    registry.register("dense", "mine", registry.get("dense")["forward"].reference)
    try:
        model = network()
        model.fit(x, y, batch_size=4, verbose=0)
        assert "mine" in model.kernels().values()
        model.save(tmp_path / "m.convkit")
    finally:
        registry.unregister("dense", "mine")
    with pytest.warns(UserWarning, match=r"does not have \(dense\.forward: mine\)"):
        loaded = ck.load_model(tmp_path / "m.convkit")
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5)


def test_a_resumed_run_goes_on_with_the_kernels_that_it_began_with(
    by_name: list[str], predicted: Any, tmp_path: Any
) -> None:
    x, y = data()
    by_name.append("cpu_im2col")
    whole = network(autotune=True)
    whole.fit(x, y, batch_size=4, epochs=3, verbose=0)
    part = network(autotune=True)
    path = tmp_path / "run.convkit"
    keep = ck.callbacks.ModelCheckpoint(path)
    part.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=[keep])
    by_name.append("cpu_implicit_gemm")
    tuning.forget()
    (tmp_path / "cache").rename(tmp_path / "gone")
    again = network(autotune=True)
    again.predict(x, verbose=0)
    keep = ck.callbacks.ModelCheckpoint(path)
    again.fit(x, y, batch_size=4, epochs=3, verbose=0, callbacks=[keep], resume=path)
    assert set(rows(again).values()) == {"cpu_im2col"}
    assert bits(again) == bits(whole)


def test_limits_hold_for_what_a_resumed_run_or_a_file_names(tmp_path: Any) -> None:
    x, y = data()
    path = tmp_path / "run.convkit"
    part = network(kernels={"conv2d": "cpu_winograd"})
    assert rows(part)["conv2.forward"] == "cpu_winograd"
    part.fit(x, y, batch_size=4, verbose=0, callbacks=[ck.callbacks.ModelCheckpoint(path)])
    again = network(exact=True)
    keep = [ck.callbacks.ModelCheckpoint(path)]
    told = r"names 'cpu_winograd' .* but exact: .* another is chosen"
    with pytest.warns(UserWarning, match=told):
        again.fit(x, y, batch_size=4, epochs=2, verbose=0, callbacks=keep, resume=path)
        assert "cpu_winograd" not in rows(again).values()
    with pytest.raises(ValueError, match=r"names 'cpu_winograd' .* but exact: .* out of kernels"):
        rows(network(exact=True, kernels={"conv2d": "cpu_winograd"}))


def test_a_recorded_kernel_that_cannot_run_its_call_is_replaced(tmp_path: Any) -> None:
    x, y = data()
    model = network()
    model.fit(x, y, batch_size=4, verbose=0)
    model._compiled.kernels.update(dict.fromkeys(
        (text for text in model.kernels() if text.startswith("conv2d.")), "cpu_depthwise"
    ))  # fmt: skip
    model.save(tmp_path / "m.convkit")
    loaded = ck.load_model(tmp_path / "m.convkit")
    with pytest.warns(UserWarning, match=r"'cpu_depthwise' .* supports it here; another is chosen"):
        loaded.fit(x, y, batch_size=4, verbose=0)
        assert rows(loaded) == rows(network())


def test_copies_choose_alike() -> None:
    model = network(kernels={"conv2d": "cpu_im2col"})
    assert rows(copy.deepcopy(model)) == rows(model)


# Pooling


def fused(model: Any) -> bool:
    return bool(rows(model, "conv2d_pool"))


def test_a_pooling_is_fused_where_that_is_predicted_not_to_be_slower(
    predicted: dict[str, float],
) -> None:
    predicted |= {"conv2d cpu_implicit_gemm": 4.0, "conv2d cpu_im2col": 3.0}
    predicted |= {"conv2d cpu_winograd": 9.0, "conv2d_pool cpu_winograd": 9.0}
    predicted |= {"pool2d cpu_simd": 1.5, "conv2d_pool cpu_implicit_gemm": 4.0}
    assert fused(network(MAX(2)))  # three passes of 4 against three of 3 and two poolings
    predicted["conv2d_pool cpu_implicit_gemm"] = 4.7  # within what a prediction is worth
    assert fused(network(MAX(2)))
    predicted["conv2d_pool cpu_implicit_gemm"] = 4.9
    assert not fused(network(MAX(2)))
    predicted["conv2d cpu_im2col"] = 4.0
    assert fused(network(MAX(2)))
    predicted["pool2d cpu_simd"] = 0.1
    assert not fused(network(MAX(2)))


def test_who_names_kernels_of_the_fused_form_gets_it(predicted: Any) -> None:
    assert fused(network(MAX(2), kernels={"conv2d_pool": "cpu_implicit_gemm"}))
    alike = {"conv2d.forward": "cpu_im2col", "conv2d_pool": "cpu_implicit_gemm"}
    assert fused(network(MAX(2), kernels=alike))
    assert not fused(network(MAX(2), kernels={"conv2d.forward": "cpu_im2col"}))


def test_measuring_decides_on_fusion_too(monkeypatch: pytest.MonkeyPatch, predicted: Any) -> None:
    slow = {"conv2d_pool"}
    monkeypatch.setattr(
        tuning,
        "measure_rows",
        lambda rows, *_: {r.name: 5.0 if r.op in slow else 1.0 for r in rows},
    )
    apart = network(MAX(2), autotune=True)
    assert not fused(apart)
    recorded = apart.kernels()
    slow.clear()
    tuning.forget()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tuning, "read_verdict", lambda text: None)
        patch.setattr(tuning, "write_verdict", lambda text, seconds, needed: seconds)
        together = network(MAX(2), autotune=True)
        assert fused(together)
    # What was recorded is repeated, whatever is measured or predicted.
    assert fused(network(MAX(2), kernels=together.kernels()))
    assert not fused(network(MAX(2), kernels=recorded))


# explain


def test_a_layer_explains_itself(predicted: dict[str, float]) -> None:
    predicted |= {"conv2d cpu_winograd": 4e-3, "conv2d cpu_implicit_gemm": 1e-3}
    predicted |= {"conv2d cpu_im2col": 2e-3}
    model = network(max_workspace_mb=0.5)
    found = model.get_layer("conv2").explain(batch_size=4)
    assert (found.mode, found.batch) == ("train", 4)
    passes = [c.pass_name for _, c in found.choices]
    assert sorted(passes) == ["backward_input", "backward_weight", "forward"]
    for name, made in found.choices:
        assert name == "conv2" and made.op == "conv2d"
        assert [c.row for c in made.candidates] == rows_of("conv2d", made.pass_name)
        assert made.row.name == rows(model)[f"conv2.{made.pass_name}"]
        assert made.chosen.workspace_bytes <= 5e5
        assert made.chosen.error == 1.0 and made.chosen.measured is None
        assert made.why == "predicted to be the fastest"
    text = str(found)
    assert text.startswith("layer 'conv2' (Conv2D): train, batch 4, ")
    assert "conv2d.forward(float32 4x8x7x16, 3x3x16x20, 20, 4x8x7x20; padding=1" in text
    assert "> cpu_implicit_gemm" in text and "predicted to be the fastest" in text
    assert "only where nothing else is left" in text
    assert "does not support more than one channel" in text
    lines = text.splitlines()
    assert "predicted" in lines[3] and "workspace" in lines[3] and "error" in lines[3]


def test_measured_times_stand_in_it(by_name: list[str], predicted: Any) -> None:
    by_name.append("cpu_im2col")
    found = network(autotune=True).get_layer("conv2").explain(4)
    (forward,) = (c for _, c in found.choices if c.pass_name == "forward")
    assert forward.chosen.measured == 1.0 and forward.row.name == "cpu_im2col"
    assert "1e+03 ms" in str(found) and "measured to take 2.00 times as long" in str(found)


def test_a_model_explains_where_it_had_a_choice() -> None:
    model = network(MAX(2))
    found = model.explain()
    assert found.batch == 32 and all(made.open for _, made in found.choices)
    layers = {name for name, _ in found.choices}
    assert {"conv1", "out"} <= layers
    assert "layer 'conv1'" in str(found)
    assert {c.text: c.row.name for _, c in found.choices}.items() <= model.kernels().items()


def test_prediction_is_explained_on_request() -> None:
    layer = network(kernels={"dense": "cpu_blas"}).get_layer("conv1")
    found = layer.explain(4, mode="predict")
    assert found.mode == "predict"
    assert [c.pass_name for _, c in found.choices] == ["forward"]
    assert "does not support more than one channel and one filter in a group" in str(found)
    with pytest.raises(ValueError, match=r"\[program\] unknown mode 'prediction'.*'predict'"):
        layer.explain(4, mode="prediction")
    with pytest.raises(ValueError, match="batch_size"):
        layer.explain(0)


def test_explaining_needs_a_model() -> None:
    layer = ck.layers.Dense(3, name="alone")
    with pytest.raises(ValueError, match=r"layer 'alone' \(Dense\) is not part of a model"):
        layer.explain()


def test_before_compile_it_is_prediction_that_is_explained() -> None:
    model = ck.Sequential([ck.Input((6,)), ck.layers.Flatten(name="flat"), ck.layers.Dense(3)])
    found = model.layers[-1].explain(2)
    assert found.mode == "predict" and [c.op for _, c in found.choices] == ["dense"]
    assert "no instruction of its own" in str(model.get_layer("flat").explain())
    with pytest.raises(ck.NotCompiledError):
        model.kernels()
