"""Signals during a native run: whole steps only, and the handler's exception handed over."""

import os
import signal
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

import convkit as ck
from run.steps import assert_same, small


@contextmanager
def handler(number, function):
    before = signal.signal(number, function)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextmanager
def sent(number, seconds):
    """The signal comes after that long, from another thread."""
    timer = threading.Timer(seconds, os.kill, (os.getpid(), number))
    timer.start()
    try:
        yield
    finally:
        timer.join()


class Alarm(Exception):
    pass


def raising(number, frame):
    raise Alarm("ring")


def endless(steps=8):
    """A job that may run for any number of steps: all of them on the first batches of the index."""
    work = small(steps=steps)
    # Every step moves on in the index; a broadcast of it would not be contiguous, so it is long.
    index = np.resize(work.data["index"], 16 * 400_000)
    return work._replace(data={**work.data, "index": index})


CASES = [
    (signal.SIGINT, signal.default_int_handler, KeyboardInterrupt),
    (signal.SIGALRM, raising, Alarm),
]


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize(("number", "function", "error"), CASES, ids=["SIGINT", "SIGALRM"])
def test_a_signal_ends_the_run_after_whole_steps(number, function, error, threads):
    ck.set_num_threads(threads)
    work = endless()
    broken = work.copy()
    with handler(number, function), sent(number, 0.1):
        result = broken.run(400_000)
    assert result.status == "interrupted"
    assert isinstance(result.error, error)
    assert 0 < result.steps < 400_000
    assert (result.step.step, result.step.sample) == (result.steps, 16 * result.steps)
    counted = work.copy()
    assert counted.run(result.steps).status == "done"
    assert_same(counted, broken)
    # Nothing lingers: the next run is not cancelled, and goes on where the step block says.
    assert broken.run(5, step=result.step).status == "done"
    counted.run(5, step=result.step)
    assert_same(counted, broken)


def test_a_handler_that_does_not_raise_lets_the_run_go_on():
    rung, work = [], endless()
    with handler(signal.SIGALRM, lambda *_: rung.append(True)), sent(signal.SIGALRM, 0.02):
        end = time.monotonic() + 30
        while not rung and time.monotonic() < end:
            result = work.run(400_000, time_limit=0.1)
            assert result.status in ("done", "time_up")
            assert result.error is None
    assert rung == [True]


def test_a_handler_computes_with_denormals():
    """A run flushes them, but handlers are the user's code."""
    seen, work = [], endless()
    tiny = np.array([1e-40], np.float32)

    def compute(number, frame):
        seen.append(float((tiny * np.float32(0.5))[0]))
        raise Alarm

    with handler(signal.SIGALRM, compute), sent(signal.SIGALRM, 0.1):
        assert work.run(400_000).status == "interrupted"
    assert seen == [float(np.float32(1e-40) * np.float32(0.5))]
    assert seen[0] > 0


def test_a_handler_may_predict_and_train_with_the_same_model():
    ck.set_num_threads(2)
    x = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
    model = ck.Sequential([ck.Input((4,)), ck.layers.Dense(8, "tanh"), ck.layers.Dense(3)])
    expected = model.predict(x, verbose=0)
    inside, work = [], endless()
    other = small()

    def predict(number, frame):
        inside.append(model.predict(x, verbose=0))
        inside.append(other.run(2).steps)
        raise Alarm

    broken = work.copy()
    with handler(signal.SIGALRM, predict), sent(signal.SIGALRM, 0.1):
        result = broken.run(400_000)
    assert result.status == "interrupted"
    np.testing.assert_array_equal(inside[0], expected)
    assert inside[1] == 2
    counted = work.copy()
    counted.run(result.steps)
    assert_same(counted, broken)


def test_only_the_main_thread_is_interrupted():
    """Another thread's run goes on to its end, with the same bits."""
    work = small(steps=200)
    alone, beside, busy = work.copy(), work.copy(), endless()
    alone.run(200)
    results = []
    thread = threading.Thread(target=lambda: results.append(beside.run(200)))
    with handler(signal.SIGALRM, raising), sent(signal.SIGALRM, 0.1):
        thread.start()
        result = busy.run(400_000)
    thread.join()
    assert result.status == "interrupted"
    assert (results[0].steps, results[0].status) == (200, "done")
    assert_same(alone, beside)


def test_no_step_is_halved_while_other_threads_come_and_go():
    """Their runs begin and end polling all the time; the update must stay whole."""
    work = endless()
    stop = threading.Event()

    def beside():
        mine = small(steps=4)
        while not stop.is_set():
            mine.run(1)

    thread = threading.Thread(target=beside)
    thread.start()
    try:
        for _ in range(3):
            broken = work.copy()
            with handler(signal.SIGALRM, raising), sent(signal.SIGALRM, 0.1):
                result = broken.run(400_000)
            assert result.status == "interrupted"
            counted = work.copy()
            counted.run(result.steps)
            assert_same(counted, broken)
    finally:
        stop.set()
        thread.join()


def test_fit_counts_the_steps_of_an_interrupted_run():
    model = ck.Sequential([ck.Input((4,)), ck.layers.Dense(8, "tanh"), ck.layers.Dense(1)])
    model.compile("adam", "mse")
    x = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
    with (
        handler(signal.SIGINT, signal.default_int_handler),
        sent(signal.SIGINT, 0.1),
        pytest.raises(KeyboardInterrupt),
    ):
        model.fit(x, x[:, :1], 8, epochs=10**6, verbose=0)
    steps = model.optimizer.iterations
    assert steps > 0
    slots = model.store.slots
    assert np.isfinite(slots).all()
    assert np.count_nonzero(slots) > 0
    model.fit(x, x[:, :1], 8, epochs=1, verbose=0)
    assert model.optimizer.iterations == steps + 8


def test_the_number_of_threads_may_change_during_a_run_of_another_thread():
    work = small(steps=400)
    alone, beside = work.copy(), work.copy()
    alone.run(400)
    results = []
    thread = threading.Thread(target=lambda: results.append(beside.run(400)))
    thread.start()
    for n in range(40):
        ck.set_num_threads(1 + n % 3)
    thread.join()
    assert results[0].status == "done"
    assert_same(alone, beside)
