"""Allocate: no two values that live at the same time share memory, and little is wasted."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import convkit as ck
from convkit.ops import registry
from convkit.ops.choosing import Policy
from convkit.ops.registry import Spec, Step
from convkit.program.allocate import allocate
from convkit.program.builder import Builder
from convkit.program.lower import gather
from convkit.program.program import ARENA, Program
from convkit.run.interpreter import EagerExecutor
from convkit.run.native import NativeExecutor
from convkit.testing.probe import probe
from program.graphs import cases, compiled

SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


def lives(program):
    """First and last instruction of each arena value, found apart from the pass under test."""
    life = {}
    for n, i in enumerate(program.instructions):
        for v in (*i.operands, i.workspace):
            if v is not None and v.root.buffer == ARENA:
                first, _ = life.get(v.root, (n, n))
                life[v.root] = first, n
    for v in (*program.output, *program.readouts.values(), program.total):
        if v is not None:
            life[v.root] = life[v.root][0], len(program.instructions)
    return life


def follows_in_place(program, a, b, life):
    """Whether b is made in the memory of a, by an instruction that is the last to read a."""
    n = life[b][0]
    i = program.instructions[n]
    rule = registry.get(i.op)[i.pass_name]
    for out, source in rule.inplace:
        made = i.outputs[[o.rstrip("?*") for o in rule.outputs].index(out)]
        read = i.inputs[[o.rstrip("?*") for o in rule.inputs].index(source)]
        if made is not None and read is not None and (read.root, made.root) == (a, b):
            others = sum(v is not None and v.root is a for v in i.inputs)
            return life[a][1] == n and others == 1 and a.offset == b.offset
    return False


def assert_sound(program):
    life = lives(program)
    values = sorted(life, key=lambda v: life[v])
    for k, a in enumerate(values):
        assert a.offset % 64 == 0
        assert 0 <= a.offset <= program.arena_bytes - a.spec.nbytes
        for b in values[k + 1 :]:
            together = life[b][0] <= life[a][1] and life[a][0] <= life[b][1]
            apart = a.offset + a.spec.nbytes <= b.offset or b.offset + b.spec.nbytes <= a.offset
            assert apart or not together or follows_in_place(program, a, b, life), (a, b)
    kept = [v.root for v in (*program.output, *program.readouts.values()) if v is not None]
    for v in kept:
        assert v.keep
    assert program.arena_bytes <= sum(-(-v.spec.nbytes // 64) * 64 for v in values)


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(cases(8))
def test_no_overlap_in_random_graphs(case):
    for mode in ("train", "evaluate", "predict"):
        assert_sound(case.model.program(mode, 5))


@pytest.mark.parametrize("variant", ["modern", "caffe"])
@pytest.mark.parametrize("mode", ["train", "predict"])
def test_no_overlap_in_lenet(variant, mode):
    # Without Winograd's convolution, whose scratch memory would be most of what there is.
    program = compiled(ck.models.lenet5(variant), mode, 32, policy=Policy(exact=True))
    assert_sound(program)
    every = sum(v.spec.nbytes for v in lives(program))
    assert program.arena_bytes < 0.8 * every


@settings(max_examples=40, deadline=None, suppress_health_check=SLOW)
@given(cases(6))
def test_shared_memory_changes_no_bit(case):
    """The eager executor gives every value an array of its own."""
    job = probe(*case)
    results = []
    for kind in (NativeExecutor, EagerExecutor):
        store = job.store.copy_as("float32")
        sums = job.program.zero_sums()
        for n in range(2):
            kind(job.program, store).run(job.data, 1, Step(n, 0, 0.1, 5), None, sums)
        results.append((store.parameters, store.gradients, store.slots, sums))
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


def chain(passes, spec=None, keep=()):
    """A ReLU after another from a gathered batch; the values by number."""
    program = Program("chain", "predict", 16)
    builder = Builder(program, training=False)
    spec = spec or Spec((16, 16))
    v = gather(builder, "x", Spec(spec.shape[1:]), "float32", spec.shape[1:], indexed=False)
    values = [v]
    for _ in range(passes):
        (v,) = builder.emit("activation", "forward", [v], {"activation": "relu", "alpha": 0.0})
        values.append(v)
    program.output = [values[k] for k in keep]
    allocate(program)
    return program, values


def test_a_chain_in_place_takes_the_room_of_one_value():
    program, values = chain(6, keep=[-1])
    assert program.arena_bytes == 16 * 16 * 4
    assert {v.offset for v in values} == {0}


def test_a_kept_value_is_not_written_over():
    program, values = chain(6, keep=[2, -1])
    assert program.arena_bytes == 2 * 16 * 16 * 4
    assert values[2].keep
    for v in values[3:]:
        assert v.offset != values[2].offset


def test_a_value_read_again_later_is_not_written_over():
    program = Program("fork", "predict", 16)
    builder = Builder(program, training=False)
    relu = {"activation": "relu", "alpha": 0.0}
    a = gather(builder, "x", Spec((16,)), "float32", (16,), indexed=False)
    (b,) = builder.emit("activation", "forward", [a], relu)
    (c,) = builder.emit("activation", "forward", [b], relu)
    (d,) = builder.emit("add", "forward", [c, a], {})
    program.output = [d]
    allocate(program)
    assert a.offset != b.offset
    assert b.offset == c.offset
    assert_sound(program)


def test_sizes_are_rounded_up_to_cache_lines():
    program, _ = chain(0, Spec((16, 1)), keep=[0])
    assert program.arena_bytes == 64
    program, _ = chain(0, Spec((16, 3)), keep=[0])
    assert program.arena_bytes == 192


def test_an_empty_program_needs_no_memory():
    program = Program("nothing", "predict", 1)
    allocate(program)
    assert program.arena_bytes == 0
