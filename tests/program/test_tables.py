"""Recurrent layers behind an Embedding: where they take its numbers, and that nothing changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers
from convkit.ops import registry
from convkit.ops.registry import Array
from convkit.program import tables
from convkit.run.interpreter import ReferenceExecutor
from convkit.run.native import NativeExecutor
from convkit.testing.probe import Probe, probe
from program.graphs import calls, compiled, named, randomise

V, E, H, N, T = 5, 4, 3, 6, 7
EMBED = ["embedding.forward", "embedding.backward"]


def chain(recurrent: Any, **options: Any) -> Any:
    return ck.Sequential(
        [
            ck.Input((T,), N if recurrent.stateful else None),
            layers.Embedding(V, E, name="words", **options),
            recurrent,
            layers.Dense(2, name="head"),
        ]
    )


def frozen() -> Any:
    model = chain(layers.LSTM(H))
    model.get_layer("words").trainable = False
    return model


def frozen_layer() -> Any:
    model = chain(layers.GRU(H, name="cell"))
    model.get_layer("cell").trainable = False
    return model


def shared() -> Any:
    """A table that is looked up twice, and weights that both sequences meet."""
    nodes = [ck.Input((T,)), ck.Input((T,))]
    embedding, recurrent = layers.Embedding(V, E), layers.SimpleRNN(H)
    return ck.Model(nodes, layers.Dense(2)(layers.Add()([recurrent(embedding(x)) for x in nodes])))


def both_ways(cell: Any, **options: Any) -> Any:
    return chain_of(layers.Bidirectional(cell(H, return_sequences=True)), **options)


def chain_of(*inner: Any, **options: Any) -> Any:
    return ck.Sequential([ck.Input((T,)), layers.Embedding(V, E, **options), *inner, head()])


def head() -> Any:
    return layers.Dense(2, name="head")


def given_state() -> Any:
    """Initial states, and the last one beside the outputs."""
    x, h = ck.Input((T,)), ck.Input((H,))
    layer = layers.GRU(H, return_sequences=True, return_state=True)
    y, last = layer(layers.Embedding(V, E)(x), initial_state=h)
    return ck.Model([x, h], layers.Dense(2)(layers.Concatenate()([layers.Flatten()(y), last])))


MODELS: dict[str, Any] = {
    "simple": lambda: chain(layers.SimpleRNN(H)),
    "simple, relu, no bias": lambda: chain(layers.SimpleRNN(H, activation="relu", use_bias=False)),
    "lstm": lambda: chain(layers.LSTM(H, return_sequences=True)),
    "lstm, two biases": lambda: chain(layers.LSTM(H, recurrent_bias=True)),
    "lstm, truncated": lambda: chain(layers.LSTM(H, truncate=3)),
    "gru": lambda: chain(layers.GRU(H, return_sequences=True)),
    "gru, reset before": lambda: chain(layers.GRU(H, reset_after=False)),
    "backwards": lambda: chain(layers.LSTM(H, go_backwards=True, return_sequences=True)),
    "padded": lambda: chain(layers.GRU(H, return_sequences=True), mask_zero=True),
    "padded, backwards": lambda: chain(layers.LSTM(H, go_backwards=True), mask_zero=True),
    "stateful": lambda: chain(layers.LSTM(H, stateful=True)),
    "penalty": lambda: chain(layers.SimpleRNN(H), embeddings_regularizer="l2"),
    "both ways": lambda: both_ways(layers.LSTM),
    "both ways, padded": lambda: both_ways(layers.GRU, mask_zero=True),
    "two layers": lambda: chain_of(layers.LSTM(H, return_sequences=True), layers.GRU(H)),
    "frozen table": frozen,
    "frozen layer": frozen_layer,
    "shared": shared,
    "given state": given_state,
}


def batch(model: Any, seed: int = 0) -> tuple[Any, Array]:
    rng = np.random.default_rng(seed)
    x = [
        rng.integers(0, V, (N, T)) if node.shape[1] == T else rng.standard_normal((N, H))
        for node in model.inputs
    ]
    y = rng.standard_normal((N, *(n or 0 for n in model.outputs[0].shape[1:])))
    return x if len(x) > 1 else x[0], y


def made(name: str) -> Any:
    model = MODELS[name]()
    model.compile(ck.optimizers.SGD(0.1), "mse")
    randomise(model)
    return model


def results(name: str) -> Any:
    """Loss and gradients of a batch in float64, the predictions for it, and the program."""
    model = made(name)
    x, y = batch(model)
    job = probe(model, x, y, dtype="float64", update=False)
    loss, found = gradients(job, NativeExecutor)
    return loss, found, model.predict(x, batch_size=N), job.program


def gradients(job: Probe, executor: Any) -> tuple[float, Array]:
    sums = job.program.zero_sums()
    assert executor(job.program, job.store).run(job.data, 1, job.step, None, sums).error is None
    return job.objective(sums), job.store.gradients.copy()


@pytest.mark.parametrize("name", MODELS)
def test_nothing_changes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loss, gradients and predictions, against the vectors looked up, and the reference."""
    loss, found, predicted, program = results(name)
    assert not set(EMBED) & set(calls(program))
    model = made(name)
    x, y = batch(model)
    agrees = ck.testing.compare(model, x, y)
    assert agrees.agrees, agrees
    _, exact = gradients(probe(model, x, y, dtype="float64", update=False), ReferenceExecutor)
    np.testing.assert_allclose(found, exact, rtol=1e-9, atol=1e-12)

    monkeypatch.setattr(tables, "pays", lambda *sizes, differentiated: False)
    apart, expected, looked_up, program = results(name)
    assert "embedding.forward" in calls(program)
    assert loss == pytest.approx(apart, rel=1e-12)
    assert np.abs(expected).max() > 1e-3
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(predicted, looked_up, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ["lstm", "padded", "both ways", "shared"])
def test_gradients_are_slopes_of_the_loss(name: str) -> None:
    model = made(name)
    report = ck.testing.check_gradients(model, *batch(model), max_entries=12)
    assert report.passed, report


@pytest.mark.parametrize("name", ["gru", "stateful", "penalty", "both ways, padded"])
def test_training_does_not_depend_on_whether_gradients_are_kept(name: str) -> None:
    weights = []
    for keep in (True, False):
        model = made(name)
        model.compile(ck.optimizers.Adam(0.01), "mse", keep_grads=keep)
        model.fit(*batch(model), batch_size=N, epochs=3, shuffle=False, verbose=0)
        weights.append([w.tobytes() for w in model.get_weights()])
        assert np.isfinite(model.get_weights()[0]).all()
    assert weights[0] == weights[1]


def test_a_table_gets_the_gradient_of_its_rows_that_occur() -> None:
    model = made("lstm")
    x, y = batch(model)
    x[x == 2] = 3
    job = probe(model, x, y, update=False)
    gradients(job, NativeExecutor)
    of_table = job.store.gradient(model.get_layer("words").embeddings)
    assert not of_table[2].any() and np.delete(of_table, 2, axis=0).any(axis=1).all()


def test_what_is_no_row_makes_the_output_nan() -> None:
    """Numbers that a layer makes are not checked as those of the data are."""
    x = ck.Input((T,))
    y = layers.LSTM(H)(layers.Embedding(V, E)(layers.Activation("relu")(x)))
    model = ck.Model(x, y)
    assert "embedding.forward" not in calls(compiled(model, "predict", N))
    numbers = np.ones((N, T), np.float32)
    numbers[1, 3] = V
    found = np.isnan(model.predict(numbers, batch_size=N)).all(axis=1)
    np.testing.assert_array_equal(found, np.arange(N) == 1)


@pytest.mark.parametrize("name", ["lstm", "both ways"])
@pytest.mark.parametrize("wrong", [-1, V, 1.5])
def test_the_data_is_refused_as_before(name: str, wrong: float) -> None:
    model = made(name)
    x, y = batch(model)
    x = x.astype(np.float32)
    x[1, 2] = wrong
    message = rf"\[1, 2\] is {wrong}.*takes whole numbers from 0 to 4 \(input_dim=5\)"
    for call in (lambda: model.predict(x), lambda: model.fit(x, y, verbose=0)):
        with pytest.raises(ValueError, match=message):
            call()


def read_twice(reader: Any) -> Any:
    x = ck.Input((T,))
    vectors = layers.Embedding(V, E)(x)
    return ck.Model(x, [layers.LSTM(H)(vectors), reader(vectors)])


@pytest.mark.parametrize(
    ("mode", "model"),
    [
        ("predict", read_twice(layers.Flatten())),
        ("predict", read_twice(layers.Activation("tanh"))),
        ("train", chain_of(layers.Dropout(0.5), layers.LSTM(H))),
        ("train", chain_of(layers.LSTM(H), activity_regularizer="l2")),
        ("train", chain_of(layers.TimeDistributed(layers.Dense(4)), layers.LSTM(H))),
    ],
)
def test_vectors_that_others_read_are_looked_up(mode: str, model: Any) -> None:
    program = compiled(model, mode, N)
    assert len(named(program, "embedding", "forward")) == 1
    assert named(program, "rnn")[0].inputs[0].spec.shape == (N, T, E)


def test_all_readers_that_take_numbers_have_them() -> None:
    program = compiled(read_twice(layers.GRU(H)), "predict", N)
    assert not set(EMBED) & set(calls(program))
    assert [i.inputs[1].spec.shape for i in named(program, "dense", "forward")] == [
        (E, 4 * H), (E, 3 * H),
    ]  # fmt: skip


def test_a_large_vocabulary_is_looked_up() -> None:
    def fused(v: int, n: int, mode: str) -> bool:
        model = ck.Sequential([ck.Input((10,)), layers.Embedding(v, 32), layers.LSTM(16)])
        return "embedding.forward" not in calls(compiled(model, mode, n))

    for mode in ("train", "predict"):
        assert fused(60, 32, mode) and not fused(1000, 32, mode)
        assert not fused(60, 1, mode)
    assert tables.pays(65, 5000, 64, 1024, differentiated=True)
    assert not tables.pays(5000, 5000, 64, 1024, differentiated=True)


def test_kernels_of_the_users_own_are_not_passed_by() -> None:
    def look_up(ctx: Any, index: Array, table: Array) -> Array:
        return table[index.astype(int)]

    registry.register("embedding", "own", look_up)
    try:
        assert "embedding.forward" in calls(compiled(chain(layers.LSTM(H)), "train", N))
    finally:
        registry.unregister("embedding", "own")
    assert "embedding.forward" not in calls(compiled(chain(layers.LSTM(H)), "train", N))
