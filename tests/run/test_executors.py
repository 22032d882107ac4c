"""The three executors run one program: same steps, same bits, and nothing beside their memory."""

import numpy as np
import pytest

import convkit as ck
from convkit import _core
from convkit.ops.registry import Step
from convkit.run.executor import make_executor
from convkit.run.interpreter import EagerExecutor, ReferenceExecutor
from convkit.run.native import NativeExecutor
from convkit.testing import compare
from guard import guarded, guarded_copy
from run.steps import assert_same, job, small

KINDS = [NativeExecutor, EagerExecutor, ReferenceExecutor]


def images(n, shape=(28, 28, 1), seed=0):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n, *shape)).astype(np.float32), rng.integers(0, 10, n)


def mlp(dropout=0.4):
    return ck.models.mlp([(28, 28, 1), 32, 16, 10], dropout=dropout)


def residual():
    x = ck.Input((8, 8, 1))
    h = ck.layers.Conv2D(4, 3, padding="same", activation="gelu")(x)
    h = ck.layers.Add()([h, ck.layers.Conv2D(4, 3, padding="same", activation="relu")(h)])
    h = ck.layers.Concatenate()([h, ck.layers.MaxPooling2D(3, 1, "same")(h)])
    h = ck.layers.Dropout(0.2)(ck.layers.GlobalAveragePooling2D()(h))
    return ck.Model(x, ck.layers.Dense(10, "softmax")(h))


MODELS = {
    "modern": (ck.models.lenet5, (28, 28, 1)),
    "caffe": (lambda: ck.models.lenet5("caffe"), (28, 28, 1)),
    "mlp": (mlp, (28, 28, 1)),
    "residual": (residual, (8, 8, 1)),
}


def fitted(name, executor="native", n=40, epochs=1, optimizer="sgd", weight=None, batch=16):
    """Weights, predictions and logs after training; the last batch is ragged."""
    ck.set_seed(11)
    make, shape = MODELS[name]
    model = make()
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.executor = executor
    x, y = images(n, shape)
    logs = model.fit(x, y, batch, epochs, verbose=0, sample_weight=weight).history
    return [*model.get_weights(), model.predict(x, verbose=0)], logs


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_native_and_eager_have_the_same_bits(name, weighted):
    weight = np.linspace(0, 2, 40).astype(np.float32) if weighted else None
    native, logs = fitted(name, weight=weight, optimizer="adam")
    eager, eager_logs = fitted(name, "eager", weight=weight, optimizer="adam")
    for a, b in zip(native, eager, strict=True):
        np.testing.assert_array_equal(a, b)
    assert logs == eager_logs


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["modern", "mlp", "residual"])
def test_the_reference_agrees(name, weighted):
    """Other masks or shuffles would be off by far more than these few steps' rounding."""
    weight = np.linspace(0, 2, 40).astype(np.float32) if weighted else None
    native, logs = fitted(name, weight=weight)
    reference, reference_logs = fitted(name, "reference", weight=weight)
    for a, b in zip(native, reference, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)
    for key in logs:
        np.testing.assert_allclose(logs[key], reference_logs[key], rtol=1e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_one_step_is_within_the_bounds_of_every_instruction(name, weighted):
    make, shape = MODELS[name]
    model = make()
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = images(7, shape)
    weight = np.linspace(0, 2, 7) if weighted else None
    found = compare(model, x, y, "reference", "native", sample_weight=weight)
    assert found.agrees, str(found)
    assert 0 < found.units <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_masks_follow_from_seed_and_step(kind):
    """Weights of the input's size and no bias: where the mask is 0, so is the gradient."""
    model = ck.Sequential(
        [ck.Input((50,)), ck.layers.Dropout(0.5), ck.layers.Dense(1, use_bias=False)]
    )
    model.compile("sgd", "mse")
    x, y = np.ones((1, 50), np.float32), np.full((1, 1), 9.0, np.float32)
    work = job(model, x, y, 1, np.zeros(1, np.int64))
    masks = []
    for seed, step in ((1, 0), (1, 0), (1, 1), (2, 0)):
        once = work.copy()
        once.run(1, kind, Step(step, 0, 0.0, seed))
        masks.append(once.store.gradients[:50] != 0)
    drop = next(i for i in work.program.instructions if i.op == "dropout")
    stream = drop.params["stream"]
    for mask, (seed, step) in zip(masks, ((1, 0), (1, 0), (1, 1), (2, 0)), strict=True):
        kept = ck.reference.dropout(x.ravel(), 0.5, seed=seed, step=step, stream=stream) != 0
        np.testing.assert_array_equal(mask, kept)
    assert not np.array_equal(masks[0], masks[2])
    assert not np.array_equal(masks[0], masks[3])


@pytest.mark.parametrize("kind", KINDS)
def test_learning_rates_come_one_per_step(kind):
    work = small(optimizer="sgd", dropout=0.0)
    sums = np.zeros(1)
    rates = np.array([0.1, 0.0, 0.0])
    once = work.copy()
    result = kind(once.program, once.store).run(once.data, 3, Step(0, 0, 9.0, 5), rates, sums)
    assert result.steps == 3
    first = work.copy()
    first.run(1, kind, Step(0, 0, 0.1, 5))
    np.testing.assert_array_equal(once.store.parameters, first.store.parameters)


@pytest.mark.parametrize("kind", KINDS)
def test_sums_are_added_to_and_the_step_block_goes_on(kind):
    work = small()
    whole, parts = np.full(1, 100.0), np.full(1, 100.0)
    done = work.copy().run(8, kind, sums=whole)
    assert (done.steps, done.status, done.error) == (8, "done", None)
    assert (done.step.step, done.step.sample, done.step.seed) == (8, 128, 5)
    pieces, step = work.copy(), Step(0, 0, 0.01, 5)
    for count in (1, 3, 4):
        step = pieces.run(count, kind, step, sums=parts).step
    np.testing.assert_allclose(whole, parts, rtol=1e-6)
    assert whole[0] > 100
    assert step == done.step


@pytest.mark.parametrize("kind", KINDS[:2])
def test_time_up_goes_on_where_it_stopped(kind):
    work = small(steps=20)
    whole, pieces = work.copy(), work.copy()
    assert whole.run(20, kind).status == "done"
    step, done, statuses = Step(0, 0, 0.01, 5), 0, []
    while done < 20:
        result = pieces.run(20 - done, kind, step, time_limit=1e-9)
        step, done = result.step, done + result.steps
        statuses.append(result.status)
    assert statuses == ["time_up"] * 19 + ["done"]
    assert_same(whole, pieces)


@pytest.mark.parametrize("poison", [np.nan, np.inf])
@pytest.mark.parametrize("kind", KINDS)
def test_a_loss_that_is_not_finite_stops_before_the_update(kind, poison):
    work = small(dropout=0.0)
    x = work.data["x"].copy()
    x[work.data["index"][3 * 16 + 5]] = poison  # in the fourth batch
    poisoned = work._replace(data={**work.data, "x": x}).copy()
    with np.errstate(all="ignore"):
        result = poisoned.run(8, kind)
    assert (result.steps, result.status) == (3, "not_finite")
    assert (result.step.step, result.step.sample) == (3, 48)
    sound = work.copy()
    sound.run(3, kind)
    assert_same(sound, poisoned)
    assert np.isfinite(poisoned.store.parameters).all()


@pytest.mark.parametrize("end", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_native_touches_nothing_outside_its_buffers(name, end):
    """Each buffer lies between two pages that can be neither read nor written."""
    make, shape = MODELS[name]
    model = make()
    model.compile("adam", "sparse_categorical_crossentropy")
    x, y = images(7, shape)
    work = job(model, x, y, 7, np.arange(7))
    plain, fenced = work.copy(), work.copy()
    plain.run(1)
    store = fenced.store
    for buffer in ("parameters", "gradient_buffer", "slots"):
        setattr(store, buffer, guarded_copy(getattr(store, buffer), end=end))
    store._arena.memory = guarded((fenced.program.arena_bytes,), np.uint8, end=end)
    data = {name: guarded_copy(array, end=end) for name, array in fenced.data.items()}
    fenced._replace(data=data).run(1)
    assert_same(plain, fenced)


@pytest.mark.parametrize("name", MODELS)
def test_native_leaves_the_rest_of_the_arena_alone(name):
    make, shape = MODELS[name]
    model = make()
    model.compile("adam", "sparse_categorical_crossentropy")
    work = job(model, *images(6, shape), 3, np.arange(6))
    size = work.program.arena_bytes
    work.store._arena.memory = _core_memory(size + 4096)
    work.store._arena.memory[:] = 0xA5
    work.run(2)
    assert (work.store._arena.memory[size:] == 0xA5).all()


def _core_memory(nbytes):
    return np.frombuffer(_core.Buffer(nbytes), np.uint8)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_gaps_between_parameters_stay_zero(kind, optimizer):
    work = small(optimizer=optimizer)
    work.run(4, kind)
    gap = np.ones(work.store.count, bool)
    for p in work.store.members:
        gap[p.offset : p.offset + int(np.prod(p.shape))] = False
    assert gap.sum() > 0
    for flat in (work.store.parameters, work.store.gradients, *work.store.slots):
        np.testing.assert_array_equal(flat[gap], 0)
        assert np.count_nonzero(flat) > 0


@pytest.mark.parametrize("name", ["modern", "caffe", "mlp"])
def test_any_number_of_threads_gives_the_same_bits(name):
    results = []
    for threads in (1, 2, 3, 8):
        ck.set_num_threads(threads)
        results.append(fitted(name, n=72, epochs=2, optimizer="adam", batch=32))
    for weights, logs in results[1:]:
        for a, b in zip(results[0][0], weights, strict=True):
            np.testing.assert_array_equal(a, b)
        assert logs == results[0][1]


@pytest.mark.parametrize("isa", _core.available_isas())
@pytest.mark.parametrize("name", ["modern", "residual"])
def test_every_isa_trains(name, isa):
    best, best_logs = fitted(name)
    _core.set_isa(isa)
    assert _core.isa() == isa
    weights, logs = fitted(name)
    for a, b in zip(best, weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)
    np.testing.assert_allclose(logs["loss"], best_logs["loss"], rtol=1e-5)


def test_an_executor_follows_a_change_of_isa_and_threads():
    """Kernels are bound for each run, so an executor outlives both."""
    work = small(dropout=0.0)
    executor = NativeExecutor(work.program, work.store)
    sums = np.zeros(1)
    losses = []
    for isa, threads in ((_core.available_isas()[0], 3), (_core.available_isas()[-1], 1)):
        _core.set_isa(isa)
        ck.set_num_threads(threads)
        sums[:] = 0
        executor.run(work.data, 1, Step(0, 0, 0.0, 5), None, sums)
        losses.append(float(sums[0]))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def test_a_row_in_python_runs_inside_of_the_native_executor():
    """The reference as a user's row: Python computes in float64 what the kernel does."""
    expected = small(dropout=0.0)
    make_executor("native", expected.program, expected.store).run(
        expected.data, 3, Step(), np.full(3, 0.1), np.zeros(1)
    )
    ck.ops.register("dense", "mine", ck.ops.registry.get("dense")["forward"].reference)
    try:
        work = small(dropout=0.0)
        executor = make_executor("native", work.program, work.store)
        assert type(executor) is NativeExecutor
        assert [i.row.name for i in work.program.instructions].count("mine") == 1
        result = executor.run(work.data, 3, Step(), np.full(3, 0.1), np.zeros(1))
    finally:
        ck.ops.unregister("dense", "mine")
    assert (result.status, result.steps, result.error) == ("done", 3, None)
    np.testing.assert_allclose(work.store.parameters, expected.store.parameters, atol=1e-6)


def test_an_unknown_executor_suggests_the_nearest():
    work = small()
    with pytest.raises(ValueError, match=r"unknown executor 'naitve'.*native"):
        make_executor("naitve", work.program, work.store)


def test_too_few_learning_rates_are_refused():
    work = small()
    executor = NativeExecutor(work.program, work.store)
    with pytest.raises(ValueError, match="fewer learning rates than steps"):
        executor.run(work.data, 3, Step(), np.zeros(2), np.zeros(1))
