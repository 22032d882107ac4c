"""compile(allow_tf32=, allow_bf16=): networks train on rows that round, and keep their choices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit.ops.registry import Array

L = ck.layers
ROUNDOFF = {"full": 0.0, "tf32": 2.0**-11, "bf16": 2.0**-8}


def data(shape: tuple[int, ...], n: int = 128) -> tuple[Array, Array]:
    rng = np.random.default_rng(3)
    return rng.standard_normal((n, *shape)).astype("f4"), rng.integers(0, 5, n)


def compiled(layers: list[Any], device: str = "cuda", **options: Any) -> ck.Sequential:
    ck.set_seed(1)
    model = ck.Sequential(layers)
    model.compile("sgd", "sparse_categorical_crossentropy", device=device, **options)
    return model


def mlp(**options: Any) -> ck.Sequential:
    layers = [ck.Input((130,)), L.Dense(128, "tanh", name="hidden"), L.Dense(5, "softmax")]
    return compiled(layers, **options)


def small_cnn(**options: Any) -> ck.Sequential:
    layers = [
        ck.Input((6, 6, 3)), L.Conv2D(8, 3, activation="relu", name="hidden"),
        L.Conv2D(4, 2, activation="relu"), L.Flatten(), L.Dense(5, "softmax"),
    ]  # fmt: skip
    return compiled(layers, **options)


def losses(model: ck.Sequential, x: Array, y: Array, steps: int = 3) -> Array:
    return np.array([float(np.ravel(model.train_on_batch(x, y))[0]) for _ in range(steps)])


def used(model: ck.Sequential) -> dict[str, set[str]]:
    """The rows that run each pass."""
    found: dict[str, set[str]] = {}
    for text, name in model.kernels().items():
        found.setdefault(text.partition("(")[0], set()).add(name)
    return found


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_network_trains_with_rounded_operands(precision: str) -> None:
    x, y = data((130,))
    expected = losses(mlp(device="cpu"), x, y)
    model = mlp(**{f"allow_{precision}": True})
    found = losses(model, x, y)
    # The hidden layer; that of 5 columns leaves too much of a tile empty.
    for pass_name in ("forward", "backward_weight"):
        assert used(model)[f"dense.{pass_name}"] == {f"cuda_mma_{precision}", "cuda_ffma"}
    gap = np.abs(found - expected) / expected
    assert 0 < gap.max() <= 4 * ROUNDOFF[precision], gap
    assert found[-1] < found[0]


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_convolutional_network_trains_with_named_rows(precision: str) -> None:
    x, y = data((6, 6, 3), 9)
    kernel = f"cuda_mma_{precision}"
    expected = losses(small_cnn(device="cpu"), x, y)
    model = small_cnn(kernels={"conv2d": kernel, "dense": kernel})
    found = losses(model, x, y)
    products = [rows for key, rows in used(model).items() if key.startswith(("conv2d.", "dense."))]
    assert products == [{kernel}] * 6
    gap = np.abs(found - expected) / expected
    assert 0 < gap.max() <= 4 * ROUNDOFF[precision], gap


def test_choices_are_saved_with_the_model(tmp_path: Path) -> None:
    x, y = data((130,))
    model = mlp(allow_tf32=True)
    losses(model, x, y, 1)
    model.save(tmp_path / "model.convkit")
    again = ck.models.load_model(tmp_path / "model.convkit")
    assert again._policy.allow_tf32 and not again._policy.allow_bf16
    again.to("cuda")
    assert losses(again, x, y, 1).tobytes() == losses(model, x, y, 1).tobytes()
    # Names are leave enough: the same bits without the switch.
    named = mlp(kernels=model.kernels())
    assert losses(named, x, y).tobytes() == losses(mlp(allow_tf32=True), x, y).tobytes()


def test_off_unless_it_is_asked_for() -> None:
    x, y = data((130,))
    model = mlp()
    losses(model, x, y, 1)
    assert not any("mma" in name for name in model.kernels().values())
    told = str(model.explain(batch_size=128))
    assert "rounds to TF32, which takes allow_tf32=True" in told
