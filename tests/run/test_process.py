"""What a native run leaves alone in its process: memory, floating-point mode, forks, threads."""

import multiprocessing
import os
import shutil
import subprocess
import sys
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import convkit as ck
from convkit import _core
from run.steps import assert_same, small

COUNTER = r"""
// Counts what the allocator of the C library is asked for.
#include <cerrno>
#include <cstddef>
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
static long count = 0;
static void* counted(void* p) { __atomic_add_fetch(&count, 1, __ATOMIC_RELAXED); return p; }
void* malloc(size_t n) { return counted(__libc_malloc(n)); }
void* calloc(size_t n, size_t size) { return counted(__libc_calloc(n, size)); }
void* realloc(void* p, size_t n) { return counted(__libc_realloc(p, n)); }
void* memalign(size_t a, size_t n) { return counted(__libc_memalign(a, n)); }
void* aligned_alloc(size_t a, size_t n) { return counted(__libc_memalign(a, n)); }
int posix_memalign(void** p, size_t a, size_t n) {
  *p = counted(__libc_memalign(a, n));
  return *p ? 0 : ENOMEM;
}
long allocations() { return __atomic_load_n(&count, __ATOMIC_RELAXED); }
}
"""

SCRIPT = """
import ctypes, sys
import convkit as ck
from run.steps import small
ck.set_num_threads(int(sys.argv[1]))
count = ctypes.CDLL(None).allocations
count.restype = ctypes.c_long
work = small(steps=400)
from convkit.ops.registry import Step
from convkit.run.native import NativeExecutor
import numpy as np
executor, sums = NativeExecutor(work.program, work.store), np.zeros(1)
def asked(steps):
    before = count()
    assert executor.run(work.data, steps, Step(0, 0, 0.01, 5), None, sums).steps == steps
    return count() - before
asked(400)
asked(1)
few = min(asked(1) for _ in range(5))
many = min(asked(400) for _ in range(5))
before = count()
kept = [bytes(1000) for _ in range(100)]
print(few, many, count() - before)
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_allocates_nothing(tmp_path, threads):
    if shutil.which("g++") is None:
        pytest.skip("needs g++")
    source, library = tmp_path / "count.cpp", tmp_path / "count.so"
    source.write_text(COUNTER)
    command = ["g++", "-O1", "-w", "-shared", "-fPIC", str(source), "-o", str(library)]
    if subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("needs the GNU C library")
    tests = Path(__file__).resolve().parents[1]
    path = os.pathsep.join([str(tests), *(p for p in sys.path if p)])
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(threads)],
        env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": path},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    few, many, proof = map(int, done.stdout.split())
    assert proof >= 100  # the counter counts
    assert many == few  # 400 steps ask for no more than one


TINY = np.array([1e-40, -3e-42, 1e-45], np.float32)


def assert_denormals_count():
    halves = TINY[:2] * np.float32(0.5)
    assert (np.abs(halves) > 0).all()
    assert (TINY + np.float32(0) != 0).all()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_callers_denormals_are_left_alone(threads):
    ck.set_num_threads(threads)
    assert_denormals_count()
    work = small()
    work.run(8)
    assert_denormals_count()
    work.run(8, time_limit=1e-9)
    assert_denormals_count()
    ck.ops.relu(TINY)
    assert_denormals_count()
    with pytest.raises(ValueError, match="contiguous"):
        work._replace(data={**work.data, "x": work.data["x"][:, ::-1]}).run(1)
    assert_denormals_count()


def test_denormal_weights_change_results_by_no_more_than_the_flush():
    model = ck.Sequential(
        [ck.Input((6, 6, 3)), ck.layers.Conv2D(4, 3), ck.layers.Flatten(), ck.layers.Dense(5)]
    )
    model.build()
    rng = np.random.default_rng(0)
    for p in model.store.members:
        model.store.view(p)[...] = 1e-40 * rng.standard_normal(p.shape)
    bias = model.store.members[-1]
    model.store.view(bias)[...] = [1, 2, 3, 4, 0]
    assert (model.store.parameters != 0).sum() > 100
    x = rng.standard_normal((4, 6, 6, 3)).astype(np.float32)
    native = model.predict(x, verbose=0)
    model.executor = "reference"
    np.testing.assert_allclose(native, model.predict(x, verbose=0), rtol=1e-7, atol=1e-37)


def child(queue, work):
    ck.set_num_threads(2)
    result = work.run(8)
    queue.put((result.status, work.store.parameters.copy()))


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_forked_child_trains_and_its_parent_goes_on(threads):
    ck.set_num_threads(threads)
    work = small(steps=8)
    expected, parent = work.copy(), work.copy()
    parent.run(4)  # the pool has its threads
    expected.run(8)
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    process = context.Process(target=child, args=(queue, work.copy()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a fork of a process with threads
        process.start()
    status, parameters = queue.get(timeout=60)
    process.join(60)
    assert (process.exitcode, status) == (0, "done")
    np.testing.assert_array_equal(parameters, expected.store.parameters)
    again = work.copy()
    again.run(8)
    assert_same(expected, again)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_that_predict_with_one_model_get_the_same_bits(threads):
    ck.set_num_threads(threads)
    model = ck.models.lenet5()
    rng = np.random.default_rng(0)
    data = [rng.standard_normal((n, 28, 28, 1)).astype(np.float32) for n in (1, 33, 64, 100)]
    expected = [model.predict(x, verbose=0) for x in data]

    def predict(k):
        return k % 4, model.predict(data[k % 4], verbose=0)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(predict, range(64)))
    assert len(results) == 64
    for k, y in results:
        np.testing.assert_array_equal(y, expected[k])


def test_threads_that_train_models_of_their_own_get_the_same_bits():
    ck.set_num_threads(2)
    work = small(steps=100)
    alone = work.copy()
    alone.run(100)
    copies = [work.copy() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        steps = list(pool.map(lambda copy: copy.run(100).steps, copies))
    assert steps == [100] * 6
    for copy in copies:
        assert_same(alone, copy)


def test_the_arena_is_zeroed_aligned_and_grows():
    store = small().store
    first = store.arena(100)
    assert first.ctypes.data % 64 == 0
    assert not first.any()
    assert store.arena(50) is first
    second = store.arena(4 << 20)
    assert second.ctypes.data % (2 << 20) == 0
    assert second.size >= 4 << 20
    assert store.copy_as("float64").arena(64) is not second


def test_a_buffer_too_large_for_any_machine_is_a_memory_error():
    with pytest.raises(MemoryError):
        _core.Buffer(1 << 62)
    with pytest.raises(MemoryError):
        _core.Buffer(-1)


def test_an_arena_that_grew_leaves_no_smaller_one_behind():
    model = ck.Sequential([ck.Input((8,)), ck.layers.Dense(8)])
    model.predict(np.zeros((2, 8), np.float32), verbose=0)
    small = weakref.ref(model.store._arena.memory)
    model.predict(np.zeros((512, 8), np.float32), batch_size=512, verbose=0)
    assert model.store.arena_bytes >= 512 * 8 * 4
    assert small() is None
    again = model.predict(np.ones((2, 8), np.float32), verbose=0)  # in the larger one
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(again, np.ones((2, 8)) @ kernel + bias, rtol=1e-5, atol=1e-6)
