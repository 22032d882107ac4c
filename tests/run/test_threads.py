"""How many threads an instruction gets, and that no bit depends on it."""

import numpy as np
import pytest

import convkit as ck
from convkit import _core
from convkit.ops import cost
from convkit.testing.probe import probe


def threads_of(model, batch, most):
    """By op and pass: the fewest and the most threads of the instructions of a training step."""
    found = {}
    for i in model.program("train", batch).instructions:
        n = _core.worth_threads(i.seconds, most)
        name = f"{i.op}.{i.pass_name}"
        low, high = found.get(name, (n, n))
        found[name] = min(low, n), max(high, n)
    return found


def lenet():
    model = ck.models.lenet5("modern")
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def test_a_step_of_one_digit_is_for_one_thread():
    assert set(threads_of(lenet(), 1, 64).values()) == {(1, 1)}


def test_large_work_gets_all_threads_and_small_work_few():
    found = threads_of(lenet(), 512, 16)
    assert found["conv2d.backward_input"] == (16, 16)
    assert found["loss.backward"] == (1, 1)
    assert 1 < _core.worth_threads(40e-6, 64) < 32


@pytest.mark.parametrize("most", [2, 3, 8, 64, 1024])
def test_by_the_model_more_threads_are_never_slower(most):
    for seconds in np.geomspace(1e-8, 1e-1, 200):
        n = _core.worth_threads(seconds, most)
        assert 1 <= n <= most
        assert n == 1 or seconds > 4e-6 + seconds / n  # the fork is paid for
    assert _core.worth_threads(1.0, most) == most


def test_cost_adds_work_and_bytes():
    assert cost.seconds(0, 0) == 0
    assert cost.seconds(2e9, 0) == pytest.approx(2e9 / _core.thread_flops)
    assert cost.seconds(2e9, 3e9) == pytest.approx(
        2e9 / _core.thread_flops + 3e9 / _core.thread_bytes
    )
    assert 1e10 < _core.thread_bytes < _core.thread_flops < 1e12


def test_instructions_know_their_work():
    model = ck.Sequential([ck.Input((100,)), ck.layers.Dense(50)])
    model.compile("sgd", "mse")
    program = model.program("train", 8)
    dense = next(i for i in program.instructions if i.op == "dense")
    nbytes = 4 * (8 * 100 + 100 * 50 + 50 + 8 * 50)
    assert dense.seconds == pytest.approx(cost.seconds(2 * 8 * 100 * 50, nbytes), rel=0.02)


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_no_bit_depends_on_the_threads(batch):
    rng = np.random.default_rng(batch)
    x = rng.standard_normal((batch, 28, 28, 1)).astype(np.float32)
    y = rng.integers(0, 10, batch)
    before = ck.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 5):
            ck.set_num_threads(threads)
            ck.set_seed(3)
            model = lenet()
            losses = [model.train_on_batch(x, y) for _ in range(3)]
            results.append((losses, model.store.parameters.copy(), model.predict(x, verbose=0)))
    finally:
        ck.set_num_threads(before)
    for losses, parameters, outputs in results[1:]:
        assert losses == results[0][0]
        np.testing.assert_array_equal(parameters, results[0][1])
        np.testing.assert_array_equal(outputs, results[0][2])


def test_a_single_op_call_is_held_to_its_work():
    """Its result is that of any number of threads, as everywhere."""
    x = np.random.default_rng(0).standard_normal((64, 32, 32, 8)).astype(np.float32)
    before = ck.get_num_threads()
    try:
        ck.set_num_threads(1)
        one = ck.ops.relu(x), ck.ops.relu(x[:1, :2, :2])
        ck.set_num_threads(4)
        np.testing.assert_array_equal(ck.ops.relu(x), one[0])
        np.testing.assert_array_equal(ck.ops.relu(x[:1, :2, :2]), one[1])
    finally:
        ck.set_num_threads(before)


def test_the_profile_measures_what_the_model_estimates():
    """Not the numbers, which are the machine's: that both are there for each instruction."""
    model = lenet()
    job = probe(model, np.zeros((2, 28, 28, 1), np.float32), np.zeros(2, int))
    assert all(i.seconds > 0 for i in job.program.instructions)
