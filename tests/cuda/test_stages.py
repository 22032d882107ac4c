"""Steps of small networks share launches: the same numbers as with a launch for each kernel."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit.cuda import native
from convkit.ops.registry import Array

L = ck.layers
APART = {"dense": "cuda_ffma"}  # a row that is no stage keeps the step in pieces


def mlp() -> ck.Sequential:
    layers = [
        ck.Input((5, 3)),
        L.Flatten(),
        L.Dense(9, "relu"),
        L.Dropout(0.4),
        L.Dense(4, "softmax"),
    ]
    return ck.Sequential(layers)


def average() -> ck.Sequential:
    """Such as LeNet-5."""
    layers = [
        ck.Input((10, 9, 1)), L.Rescaling(0.5), L.Conv2D(6, 3, padding="same", activation="tanh"),
        L.AveragePooling2D(2), L.Conv2D(9, 3, activation="tanh"), L.Flatten(), L.Dense(7, "tanh"),
        L.Dense(4, "softmax"),
    ]  # fmt: skip
    return ck.Sequential(layers)


def maximum() -> ck.Sequential:
    layers = [
        ck.Input((8, 8, 2)), L.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
        L.MaxPooling2D(2), L.Dropout(0.25), L.Activation("gelu"), L.Flatten(), L.Dense(4),
    ]  # fmt: skip
    return ck.Sequential(layers)


def branched() -> ck.Model:
    """With more stages than a launch of sample parts takes."""
    x = ck.Input((5,))
    y = L.Dense(6, "elu")(x)
    for _ in range(7):
        y = L.Add()([y, L.Dense(6, "tanh")(y)])
    return ck.Model(x, L.Dense(4, "softmax")(y))


def compiled(
    build: Callable[[], Any], optimizer: Any = "adam", device: str = "cuda", **options: Any
) -> Any:
    ck.set_seed(6)
    model = build()
    loss = ck.losses.SparseCategoricalCrossentropy(from_logits=build is maximum)
    model.compile(optimizer, loss, metrics=["accuracy"], device=device, **options)
    return model


def data(model: Any, n: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((n, *model.input_shape[1:])).astype("f4")
    return x, rng.integers(0, 4, n)


def trained(model: Any, n: int = 13, batch: int = 5) -> tuple[list[float], list[Array]]:
    """Losses and weights of two epochs, whose last batches are smaller."""
    log = model.fit(*data(model, n), batch_size=batch, epochs=2, verbose=0, validation_split=0.3)
    return [*log.history["loss"], *log.history["val_loss"]], model.get_weights()


OPTIMIZERS = {"sgd": lambda: ck.optimizers.SGD(0.1, momentum=0.9), "adam": lambda: "adam"}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("build", [mlp, average, maximum, branched])
def test_it_trains_as_the_reference_and_as_single_kernels(
    build: Callable[[], Any], optimizer: str
) -> None:
    made = OPTIMIZERS[optimizer]
    model, apart = compiled(build, made()), compiled(build, made(), kernels=APART)
    reference = compiled(build, made(), "cpu")
    reference.executor = "reference"
    assert model.program("train", 5).merged and not apart.program("train", 5).merged
    losses, weights = trained(model)
    for other in (apart, reference):
        right, right_weights = trained(other)
        np.testing.assert_allclose(losses, right, rtol=1e-5)
        for a, b in zip(weights, right_weights, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)
    assert len({*losses}) > 1


@pytest.mark.parametrize("build", [mlp, average, maximum])
def test_each_instruction_is_within_its_bound(build: Callable[[], Any]) -> None:
    model = compiled(build)
    found = ck.testing.compare(model, *data(model, 6), "reference", "cuda")
    assert found.agrees and found.units > 0, str(found)


def test_the_same_bits_in_any_order_of_threads() -> None:
    module, found = native.module(), []
    for seed in (1, 2):
        if module.emulated:
            module.seed_schedule(seed)
        found.append([w.tobytes() for w in trained(compiled(average))[1]])
    assert found[0] == found[1]


def test_a_sample_has_the_same_bits_in_any_batch() -> None:
    model = compiled(average)
    x = data(model, 9)[0]
    alone = [model.predict(x[i : i + 1], verbose=0) for i in range(9)]
    np.testing.assert_array_equal(model.predict(x, batch_size=9, verbose=0), np.concatenate(alone))


def test_launches_of_a_step() -> None:
    module = native.module()
    if not module.emulated:
        pytest.skip("only the emulator counts them")

    def launches(model: Any, doing: str) -> int:
        work = data(model, 4)
        getattr(model, doing)(*work)
        before = module.launch_count()
        getattr(model, doing)(*work)
        return int(module.launch_count() - before)

    for build in (mlp, average, maximum, lambda: ck.models.lenet5(input_shape=(28, 28, 1))):
        model = compiled(build)
        # Samples, what is over the batch with its guards, update, the end of the step.
        assert launches(model, "train_on_batch") == 4
        assert launches(model, "test_on_batch") == 3
    assert launches(compiled(average, kernels=APART), "train_on_batch") > 20


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    model = compiled(average)
    x, y = data(model, 8)
    before = model.get_weights()
    x[7, 3, 3, 0] = np.nan
    with pytest.raises(ck.NonFiniteError):
        model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(before[0]).max() > 0 and model.optimizer.iterations == 0


def test_a_penalty_that_overflows_changes_nothing() -> None:
    """It comes onto gradients that were finite."""
    penalty = ck.regularizers.L2(1e30)
    layers = [ck.Input((4,)), L.Dense(3, kernel_regularizer=penalty), L.Dense(2)]
    model = ck.Sequential(layers)
    model.compile("sgd", "mse", device="cuda")
    weights = [np.full_like(w, 1e-3) for w in model.get_weights()]
    weights[0][2, 1] = 1e19
    model.set_weights(weights)
    x = np.zeros((2, 4), "f4")
    with pytest.raises(ck.NonFiniteError):
        model.fit(x, x[:, :2], batch_size=2, verbose=0)
    assert model.program("train", 2).merged
    for a, b in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kernels", [{}, APART])
@pytest.mark.parametrize("size", [1e20, 1e34])
def test_what_overflows_changes_nothing(size: float, kernels: dict[str, str]) -> None:
    """An infinite loss, and a finite one of an infinite gradient."""
    loss = "mse" if size < 1e30 else "mae"
    model = ck.Sequential([ck.Input((4,)), L.Dense(1, kernel_initializer="zeros"), L.Dense(1)])
    model.compile("sgd", loss, device="cuda", kernels=kernels)
    x = np.full((2, 4), size, "f4")
    y = np.full((2, 1), size, "f4")
    model.layers[1].set_weights([np.full((1, 1), 1e5, "f4"), np.zeros(1, "f4")])
    before = model.get_weights()
    with pytest.raises(ck.NonFiniteError):
        model.fit(x, y, batch_size=2, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_choices_are_recorded_and_repeated() -> None:
    model = compiled(average)
    first = trained(model)[1]
    names = model.kernels()
    assert {names[call] for call in names if call.startswith("conv2d.")} == {"cuda_sample"}
    twin = compiled(average, kernels=names)
    for a, b in zip(first, trained(twin)[1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert twin.program("train", 5).merged == model.program("train", 5).merged
    explained = model.explain(batch_size=5, mode="train")
    chosen = {choice.row.name for _, choice in explained.choices if choice.op != "update"}
    assert chosen == {"cuda_sample"} and "shares its launches" in str(explained)


def test_large_networks_and_batches_keep_their_kernels() -> None:
    model = compiled(mlp)
    assert model.program("train", 1024).merged and not model.program("train", 1025).merged
    wide = compiled(lambda: ck.Sequential([ck.Input((3000,)), L.Dense(900), L.Dense(4, "softmax")]))
    assert not wide.program("train", 2).merged


def regularized() -> ck.Sequential:
    """With what is no stage: penalties behind the gradients, a metric of the CPU's kind."""
    layers = [
        ck.Input((12,)), L.Dense(9, "relu", kernel_regularizer="l2"), L.Dense(4, "softmax"),
    ]  # fmt: skip
    return ck.Sequential(layers)


def test_what_is_no_stage_stands_before_or_behind() -> None:
    model = compiled(regularized)
    program = model.program("train", 6)
    ((begin, end),) = program.merged
    names = [f"{i.op}.{i.pass_name}" for i in program.instructions]
    assert "penalty.accumulate" in names[end : program.commit]
    assert not any("penalty" in name for name in names[begin:end])
    made: set[Any] = set()
    for i in program.instructions:  # nothing is read before it is made
        read = {v.root for v in i.inputs if v is not None and v.root.buffer == "arena"}
        assert read <= made, str(i)
        made |= {v.root for v in i.outputs if v is not None}
    losses, weights = trained(model)
    right, right_weights = trained(compiled(regularized, kernels=APART))
    np.testing.assert_allclose(losses, right, rtol=1e-5)
    np.testing.assert_allclose(weights[0], right_weights[0], rtol=1e-4, atol=2e-5)


def test_what_a_run_touches_is_alive_in_all_of_it() -> None:
    program = compiled(maximum).program("train", 5)
    ((begin, end),) = program.merged
    values = {
        v.root
        for i in program.instructions[begin:end]
        for v in (*i.operands, i.workspace)
        if v is not None and v.root.buffer == "arena"
    }
    ends = [(v.offset, v.offset + v.spec.nbytes) for v in values]
    ends.sort()
    assert len(ends) > 15
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(ends))


def test_a_network_that_would_be_in_pieces_keeps_its_kernels() -> None:
    layers = [ck.Input((12,)), L.Dense(9), L.BatchNormalization(), L.Dense(4, "softmax")]
    assert not compiled(lambda: ck.Sequential(layers)).program("train", 6).merged
