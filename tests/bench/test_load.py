"""How busy others keep the machine."""

from __future__ import annotations

import os
import sys
import time

import pytest

from convkit.bench import load
from convkit.bench.load import Load, OtherWork, busy_processors


def test_only_what_contenders_need_counts():
    assert Load(62.0, 64, 2).shared == 0  # the others have processors of their own
    assert Load(1.5, 2, 2).shared == 1.5
    assert Load(1.5, 2, 1).shared == 0.5
    assert not Load(0.2, 2, 2).mark and Load(0.3, 2, 2).mark
    assert not Load(0.3, 2, 2).too_busy and Load(0.5, 2, 2).too_busy
    assert Load(float("nan"), 2, 2).shared == 0


@pytest.fixture
def clock(monkeypatch):
    """Counts of the system: idle and total ticks, and those of processes, in seconds."""
    counts = {"all": (0, 0), "used": {}}
    monkeypatch.setattr(load, "_jiffies", lambda: counts["all"])
    monkeypatch.setattr(load, "_used_by", lambda pid: counts["used"].get(pid, 0.0))
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(os, "sysconf", lambda name: 100)
    return counts


def test_own_work_is_not_that_of_others(clock):
    others = OtherWork([7])
    clock["all"] = (150, 400)  # a second of four processors, of which two and a half were busy
    assert others.processors() == pytest.approx(2.5)
    clock["used"] = {7: 1.0, 8: 0.5, os.getpid(): 0.25}
    assert others.processors() == pytest.approx(1.25)
    clock["used"] = {7: 3.0}  # counted a tick later
    assert others.processors() == 0


def test_where_nobody_counts_nothing_is_said(clock):
    assert OtherWork([]).processors() is None


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_of_a_real_machine():
    before = load._used_by(os.getpid())
    end = time.process_time() + 0.05
    while time.process_time() < end:
        pass
    assert 0.02 <= load._used_by(os.getpid()) - before < 5
    assert load._used_by(2**30) == 0.0  # there is no such process
    assert 0 <= busy_processors(0.05) <= (os.cpu_count() or 1)
