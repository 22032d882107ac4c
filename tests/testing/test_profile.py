"""Profiles: a row per instruction, with work and shares that add up."""

import numpy as np
import pytest

import convkit as ck
from convkit.ops.registry import Step
from convkit.run.native import NativeExecutor
from convkit.run.profile import make_profile
from convkit.testing.probe import probe


@pytest.fixture(scope="module")
def lenet():
    model = ck.models.lenet5()
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).standard_normal((128, 28, 28, 1)).astype(np.float32)
    job = probe(model, x, np.arange(128) % 10)
    executor = NativeExecutor(job.program, job.store)
    seconds = executor.profile(job.data, Step(0, 0, 0.01, 1), 5)
    return seconds, make_profile(job.program, seconds)


def test_there_is_a_row_for_each_instruction(lenet):
    seconds, profile = lenet
    assert seconds.shape == (5, len(profile.program.instructions))
    assert (seconds > 0).all()
    assert [row.instruction for row in profile.rows] == profile.program.instructions
    for k, row in enumerate(profile.rows):
        assert row.seconds == pytest.approx(max(np.median(seconds[:, k]), 1e-9))


def test_the_work_of_lenet_is_right(lenet):
    _, profile = lenet
    assert profile.program.flops / 1e6 == pytest.approx(291.4, abs=0.05)
    done = sum(row.gflops * row.seconds for row in profile.rows)
    assert done * 1e3 == pytest.approx(291.4, abs=0.05)
    moved = sum(row.gbs * row.seconds for row in profile.rows) * 1e9
    assert moved == pytest.approx(sum(i.bytes for i in profile.program.instructions))


def test_rows_sum_up(lenet):
    _, profile = lenet
    assert profile.seconds == pytest.approx(sum(row.seconds for row in profile.rows))
    for row in profile.rows:
        compute = row.gflops / profile.peak_gflops
        memory = row.gbs / profile.copy_gbs
        assert row.share == pytest.approx(max(compute, memory))
        assert row.bound == ("compute" if compute > memory else "memory")
    kinds = {row.instruction.op: row.bound for row in profile.rows}
    assert kinds["update"] == "memory"


def test_it_prints(lenet):
    _, profile = lenet
    head, machine, columns, *rows, legend = str(profile).splitlines()
    assert head.startswith("profile of lenet5, train, batch 128: ")
    assert "GFLOP/s" in machine and "threads" in machine
    assert columns.split()[:2] == ["us", "%"]
    assert len(rows) == len(profile.rows)
    for line, row in zip(rows, profile.rows, strict=True):
        i = row.instruction
        assert f"{i.op}.{i.pass_name}" in line
        assert i.row.name in line
        assert line.endswith(i.layer)
        assert float(line.split()[0]) == pytest.approx(row.seconds * 1e6, abs=0.06)
    assert legend.startswith("of peak")
    shares = [int(line.split()[1].rstrip("%")) for line in rows]
    assert sum(shares) == pytest.approx(100, abs=len(rows) / 2)


def test_a_profile_of_steps_trains_them(lenet):
    """Profiling runs real steps: what it times is what training does."""
    model = ck.models.mlp([6, 4, 3])
    model.compile("sgd", "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
    job = probe(model, x, np.arange(5) % 3)
    trained, timed = (job.store.copy_as("float32") for _ in range(2))
    step = Step(0, 0, 0.1, 1)
    NativeExecutor(job.program, timed).profile(job.data, step, 3)
    for _ in range(3):
        NativeExecutor(job.program, trained).run(job.data, 1, step, None, np.zeros(1))
    np.testing.assert_array_equal(timed.parameters, trained.parameters)
