"""What keeps parameters whole: finite gradients, one run at a time, programs of the same model."""

import signal

import numpy as np
import pytest

import convkit as ck
from convkit import layers, models


def small(optimizer="sgd"):
    model = models.Sequential(
        [layers.Input((6,)), layers.Dense(2, activation="relu"), layers.Dense(3)]
    )
    loss = ck.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss)
    return model


def relu_hides_an_infinity():
    """Data whose infinity relu turns into 0: the loss is finite, the first gradient is not."""
    model = small()
    kernel, bias = np.full((6, 2), -1, np.float32), np.zeros(2, np.float32)
    model.set_weights([kernel, bias, np.ones((2, 3), np.float32), np.zeros(3, np.float32)])
    x = np.ones((4, 6), np.float32)
    x[2, 3] = np.inf
    x[0] = -1  # keeps the units alive
    return model, x, np.array([0, 1, 2, 0])


@pytest.mark.parametrize("executor", ["native", "eager"])
def test_a_gradient_that_is_not_finite_changes_nothing(executor):
    model, x, y = relu_hides_an_infinity()
    model.executor = executor
    before = model.get_weights()
    assert np.isfinite(model.evaluate(x, y, verbose=0))
    x[2, 3] = -np.inf  # now the unit is alive and infinite
    with pytest.raises(ck.NonFiniteError, match="loss or a gradient"):
        model.fit(x, y, batch_size=4, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("executor", ["native", "eager"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_each_gradient_is_looked_at(executor, bad):
    """A parameter at the end of the flat buffer gives a bad gradient with a finite loss."""

    def broken(ctx, dy, x):
        dw = x.reshape(-1, x.shape[-1]).T @ dy.reshape(-1, dy.shape[-1])
        db = dy.reshape(-1, dy.shape[-1]).sum(0)
        db[-1] = bad
        return dw, db

    model = small()
    before = model.get_weights()
    ck.ops.register("dense", "broken", broken, pass_name="backward_weight")
    try:
        model.executor = executor
        with pytest.raises(ck.NonFiniteError):
            model.fit(np.ones((4, 6), np.float32), np.zeros(4, int), verbose=0)
    finally:
        ck.ops.unregister("dense", "broken", pass_name="backward_weight")
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_signal_handler_cannot_use_the_model_that_runs():
    model = small()
    x, y = np.ones((512, 6), np.float32), np.zeros(512, int)
    model.fit(x, y, verbose=0)

    def handler(number, frame):
        model.predict(x[:2], verbose=0)

    old = signal.signal(signal.SIGALRM, handler)
    # Between two native runs the handler may use the model; sooner or later it strikes within one.
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.013)
    try:
        with pytest.raises(RuntimeError, match="signal handler cannot use it"):
            for _ in range(10_000):
                model.fit(x, y, batch_size=1, epochs=5, verbose=0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert model.fit(x, y, verbose=0).history["loss"]


def test_a_program_that_outlives_its_buffers_is_refused():
    from convkit.run.native import NativeExecutor
    from convkit.testing.probe import probe

    model = small(ck.optimizers.SGD(0.1, momentum=0.9))
    job = probe(model, np.ones((2, 6), np.float32), np.zeros(2, int))
    executor = NativeExecutor(job.program, job.store)
    job.store.reserve_slots(0)
    with pytest.raises(RuntimeError, match="slots has 0 bytes, the program needs"):
        executor.run(job.data, 1, job.step, None, np.zeros(1))


def test_a_registered_row_is_used_by_models_that_have_run():
    calls = []

    def counted(ctx, x, w, b):
        calls.append(x.shape)
        y = x @ w if b is None else x @ w + b
        return ck.reference.activation(y, ctx["activation"]).astype(y.dtype)

    model = small()
    x = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    native = model.predict(x, verbose=0)
    ck.ops.register("dense", "counted", counted)
    try:
        np.testing.assert_allclose(model.predict(x, verbose=0), native, rtol=1e-5, atol=1e-6)
        assert len(calls) == 2
        profile = model.profile(x, np.zeros(4, int), repeats=2)
        assert "counted" in str(profile)
    finally:
        ck.ops.unregister("dense", "counted")
    calls.clear()
    np.testing.assert_array_equal(model.predict(x, verbose=0), native)
    assert calls == []
