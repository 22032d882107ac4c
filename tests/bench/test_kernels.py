"""Timing of rows: what is run, what is refused, what is shown."""

from __future__ import annotations

import time

import numpy as np
import pytest

from convkit.bench import kernels
from convkit.bench.kernels import Timing, lines, quick_calls, time_rows
from convkit.bench.machine import Rates, Yardstick
from convkit.ops import registry
from convkit.ops.registry import Spec
from convkit.ops.update import update_params
from convkit.testing.calls import Call
from convkit.testing.named_calls import conv2d
from convkit.testing.named_layers import CONV_LAYERS, LENET_CONV, Conv

ADD = Call("a small one", "add", "forward", (Spec((5, 7)), Spec((5, 7))))
SGD_PARAMS = update_params()


def timed(call=ADD, **options):
    return time_rows(call, **{"rounds": 3, "sample_seconds": 1e-5, **options})


@pytest.fixture
def mine():
    """Registers rows of add for one test."""
    names = []

    def register(name, function):
        registry.register("add", name, function)
        names.append(name)

    yield register
    for name in names:
        registry.unregister("add", name)


def test_every_row_is_run_and_timed(mine):
    mine("mine", lambda ctx, a, b: a + b)
    timings = timed()
    assert [t.row for t in timings] == registry.kernels("add")
    assert timings[0].row.name == "mine"
    assert all(len(t.seconds) == 3 and t.median > 0 for t in timings)
    assert all(0 <= t.error <= 1 for t in timings)


def test_a_wrong_row_is_refused_before_anything_is_timed(mine):
    mine("wrong", lambda ctx, a, b: a + b + 1e-5)
    with pytest.raises(ArithmeticError, match=r"\[add\] forward: wrong is wrong on a small one"):
        timed()


@pytest.mark.parametrize("idle", [lambda y: None, lambda y: np.zeros_like(y)])
def test_a_row_that_does_nothing_is_refused(mine, idle):
    mine("idle", lambda ctx, a, b: idle(a))
    with pytest.raises((ArithmeticError, RuntimeError), match=r"idle is wrong|returned None for y"):
        timed()


def test_a_row_that_raises_is_named(mine):
    mine("broken", lambda ctx, a, b: {}["key"])
    with pytest.raises(
        RuntimeError, match="forward: broken failed on a small one: KeyError: 'key'"
    ):
        timed()


def test_updates_are_undone_between_rows():
    given = (Spec((6,)), None, Spec((6,)))

    def fill(rng):
        return [rng.standard_normal(6), None, rng.standard_normal(6)]

    step = registry.Step(learning_rate=0.1)
    call = Call("sgd", "update", "sgd", given, SGD_PARAMS, step=step, fill=fill)
    # A row that found the weights already moved would be off by far more than a rounding.
    assert all(t.error <= 1 for t in timed(call))
    assert call.bytes == 3 * 6 * 4


def test_a_slow_row_runs_once_and_a_slow_reference_never(mine, monkeypatch):
    def slow(ctx, a, b):
        time.sleep(0.05)
        return a + b

    mine("slow", slow)
    monkeypatch.setattr(kernels, "SLOW", 0.04)
    timings = timed()
    assert timings[0].row.name == "slow"
    assert len(timings[0].seconds) == 1 and timings[0].median >= 0.05
    monkeypatch.setattr(kernels, "SLOW", 0.0)
    timings = timed()
    assert "reference" not in [t.row.name for t in timings]
    assert [len(t.seconds) for t in timings] == [1] * len(timings)


def test_a_layer_runs_by_the_row_that_a_program_chooses():
    for call in conv2d(LENET_CONV, small=True):
        chosen = kernels.Runner(call).chosen()
        assert chosen.name != "cpu_winograd" and chosen.native  # one channel, or six
    wide = Conv("lenet.wide", 28, 28, 64, 64, 3, padding=1)
    assert {kernels.Runner(call).chosen().name for call in conv2d([wide])} == {"cpu_winograd"}


def test_rates_and_shares():
    rates = Rates((120.0, 100.0, 90.0), (10.0,), (3.0,))
    row = registry.kernels("add")[0]
    big = Call("a big one", "add", "forward", (Spec((1000, 1000)), Spec((1000, 1000))))
    assert (big.flops, big.bytes) == (1_000_000, 12_000_000)
    # 12 MB in 2.4 ms are 5 GB/s, half of what the machine copies.
    times = Timing(big, row, np.asarray([0.0024] * 3), 0.5)
    (line,) = lines([times], rates)
    start = f"| a big one | forward | {row.name} | 2400.0 (2400.0-2400.0) "
    assert line == f"{start}| 5.0 GB/s | 50.0% | 1.00 | 0.5 |"
    forward = conv2d(LENET_CONV)[3]
    assert forward.name == "lenet.conv2, batch 128"
    assert forward.flops == 2 * 128 * 10 * 10 * 16 * 5 * 5 * 6
    seconds = np.asarray([forward.flops / 25e9])
    (line,) = lines([Timing(forward, row, seconds, 0.5)], rates)
    assert "| 25.0 GFLOP/s | 25.0% |" in line


def test_calls_cover_the_named_layers_once():
    calls = conv2d(CONV_LAYERS)
    names = {c.name for c in calls}
    assert "vgg16.conv3_2, batch 1" in names and "vgg16.conv3_3, batch 1" not in names
    assert len({(c.pass_name, *c.specs, *c.params.values()) for c in calls}) == len(calls)
    quick = {c.name for c in quick_calls(calls)}
    assert quick == {"lenet.conv1, batch 128", "lenet.conv2, batch 128", "mobilenet.dw7, batch 8"}


def test_how_far_the_first_is_ahead(mine):
    call, rates = ADD, Rates((100.0,), (10.0,), (3.0,))
    row = registry.kernels("add")[0]
    first, noisy = np.asarray([1e-3] * 5), np.asarray([1.1e-3, 0.9e-3, 1e-3, 1.2e-3, 0.8e-3])
    timings = [Timing(call, row, s, 0.5) for s in (first, 2 * first, noisy, first[:1])]
    found = [line.split(" | ")[6] for line in lines(timings, rates)]
    assert found == ["1.00", "2.00 (2.00-2.00)", "1.00 (0.80-1.20), noise", "1.00"]


def test_rows_by_name(monkeypatch):
    rows = registry.kernels("conv2d", "forward")
    names = [row.name for row in rows]
    assert [r.name for r in kernels.chosen(rows, ["cpu_naive", names[0]])] == [
        "cpu_naive",
        names[0],
    ]
    assert [r.name for r in kernels.chosen(rows, [names[0]])] == names[:2]
    assert [r.name for r in kernels.chosen(rows, ["cpu_naive"])] == ["cpu_naive", names[0]]
    assert kernels.chosen(rows, ["mine"]) == []
    assert timed(names=["cpu_naive"])[0].row.name == "cpu_naive"
    monkeypatch.setattr("convkit.bench.machine._COPY_BYTES", 1 << 20)
    yardstick = Yardstick()
    timed(yardstick=yardstick)
    assert len(yardstick.rates().peak_gflops) == 3
