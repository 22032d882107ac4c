"""Python inside of the native run: errors, counts, threads, memory, the caller's arithmetic."""

from __future__ import annotations

import gc
import threading
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers
from convkit.ops.registry import Array
from convkit.run.native import NativeExecutor

X = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
Y = np.arange(64) % 3


class Stop(Exception):
    pass


def network(function: Callable[[Array], Any], gradient: Any = None) -> ck.Sequential:
    gradient = gradient or (lambda dy, x, y: dy + 0)
    model = ck.Sequential(
        [
            ck.Input((4,)),
            layers.Dense(5, "tanh"),
            layers.Lambda(function, gradient=gradient, name="own"),
            layers.Dense(3, "softmax"),
        ]
    )
    model.compile(ck.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    return model


def the_executor(model: Any) -> Any:
    (executor,) = model._loop._executors.values()
    return executor


@pytest.mark.parametrize("eagerly", [False, True])
def test_an_exception_ends_the_run_after_whole_steps(eagerly: bool) -> None:
    def fails_at(n: int) -> tuple[ck.Sequential, list[int]]:
        calls: list[int] = []

        def function(x: Array) -> Any:
            if len(x) == 4:  # when it trains, not when it is tried
                calls.append(len(calls))
                if len(calls) == n:
                    raise Stop
            return x + 0

        model = network(function)
        model.run_eagerly = eagerly
        return model, calls

    broken, calls = fails_at(6)
    whole, _ = fails_at(1000)
    whole.set_weights(broken.get_weights())
    with pytest.raises(Stop) as caught:
        broken.fit(X, Y, batch_size=4, shuffle=False, verbose=0)
    assert len(calls) == 6 and broken.optimizer.iterations == 5
    assert "raise Stop" in "".join(traceback.format_tb(caught.value.__traceback__))
    whole.fit(X[:20], Y[:20], batch_size=4, shuffle=False, verbose=0)
    for p, q in zip(broken.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)
    broken.fit(X, Y, batch_size=4, verbose=0)  # nothing lingers
    assert broken.optimizer.iterations == 5 + 16


def test_it_is_the_native_executor_and_gives_the_bits_of_the_eager_one() -> None:
    a, b = network(np.cos, lambda dy, x, y: -dy * np.sin(x)), None
    b = network(np.cos, lambda dy, x, y: -dy * np.sin(x))
    b.set_weights(a.get_weights())
    b.run_eagerly = True
    for model in (a, b):
        model.fit(X, Y, batch_size=16, epochs=3, shuffle=False, verbose=0)
    assert type(the_executor(a)) is NativeExecutor
    assert type(the_executor(b)) is not NativeExecutor
    for p, q in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)


@pytest.mark.parametrize("threads", [1, 3])
def test_it_may_use_ops_and_other_models(threads: int) -> None:
    other = ck.Sequential([ck.Input((5,)), layers.Dense(5)])

    def function(x: Array) -> Any:
        if x.dtype != np.float32:  # where it is tried
            return x
        y = other.predict(x, verbose=0)
        return ck.ops.relu(np.ascontiguousarray(x)) + y

    ck.set_num_threads(threads)
    model = ck.Sequential([ck.Input((5,)), layers.Lambda(function, (5,)), layers.Dense(3)])
    model.compile("sgd", "mse")
    x = np.random.default_rng(1).standard_normal((64, 5)).astype(np.float32)
    before = model.get_weights()[0]
    model.fit(x, np.zeros((64, 3)), batch_size=16, epochs=2, verbose=0)
    assert not np.array_equal(model.get_weights()[0], before)


def test_it_computes_with_denormals() -> None:
    """A run flushes them, but the function is the user's code."""
    seen: list[float] = []
    tiny = np.array([1e-40], np.float32)

    def function(x: Array) -> Any:
        seen.append(float((tiny * np.float32(0.5))[0]))
        return x + 0

    network(function).fit(X, Y, verbose=0)
    assert set(seen) == {float(np.float32(1e-40) * np.float32(0.5))} and seen[0] > 0


def test_a_model_may_not_run_itself_from_inside() -> None:
    def function(x: Array) -> Any:
        if len(x) == 32:
            model.predict(X, verbose=0)
        return x + 0

    model = network(function)
    with pytest.raises(RuntimeError, match="the model is running in this thread"):
        model.fit(X, Y, verbose=0)


def test_several_threads_predict() -> None:
    model = network(lambda x: np.tanh(x) * 2, lambda dy, x, y: dy * 2 * (1 - np.tanh(x) ** 2))
    expected = model.predict(X, verbose=0)
    wrong: list[int] = []

    def work(k: int) -> None:
        for _ in range(20):
            if not np.array_equal(model.predict(X, verbose=0), expected):
                wrong.append(k)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def test_a_function_that_knows_its_model_does_not_keep_it_alive() -> None:
    holder: list[Any] = []

    def function(x: Array, holder: list[Any] = holder) -> Any:
        return x + 0 * len(holder)

    model = network(function)
    holder.append(model)
    model.fit(X, Y, verbose=0)
    gone = weakref.ref(model)
    del model, holder, function
    gc.collect()
    assert gone() is None


def test_a_profile_times_it_and_hands_on_what_it_raises() -> None:
    calls: list[int] = []

    def function(x: Array) -> Any:
        calls.append(len(x))
        if len(calls) > limit:
            raise Stop
        return x + 0

    limit = 10**6
    model = network(function)
    profile = model.profile(X, Y, repeats=3)
    assert {row.instruction.op for row in profile.rows} >= {"function", "dense", "update"}
    assert all(row.seconds > 0 for row in profile.rows)
    limit = len(calls) + 2
    with pytest.raises(Stop):
        model.profile(X, Y)
