"""What tests of races share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from convkit.bench import cases, suites
from convkit.bench.cases import PEERS, Case, Peer
from convkit.bench.process import Crew


@pytest.fixture(scope="module")
def fakes_on_the_path():
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.getenv("PYTHONPATH")]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", path)
        yield


@pytest.fixture(scope="module")
def crew(fakes_on_the_path):
    """One process that measures the machine is enough for a file."""
    with Crew(1) as crew:
        yield crew


class Quiet:
    """As if nobody else had anything to do."""

    found = 0.0

    def __init__(self, own):
        assert len(list(own)) >= 2  # who measures the machine, and a contender

    def processors(self):
        return self.found


@pytest.fixture(autouse=True)
def others(monkeypatch):
    """What others do while races run: nothing, unless a test says so."""
    monkeypatch.setattr(Quiet, "found", 0.0)
    monkeypatch.setattr("convkit.bench.racing.OtherWork", Quiet)
    return Quiet


@pytest.fixture
def fake_suite(monkeypatch, fakes_on_the_path):
    """A suite of three cases, the second of which fails."""
    monkeypatch.setitem(PEERS, "convkit", Peer("fakes:Counts"))
    monkeypatch.setitem(PEERS, "slow", Peer("fakes:Sleeper", {"seconds": 0.03}))
    monkeypatch.setitem(PEERS, "dies", Peer("fakes:Dies"))
    monkeypatch.setattr(cases, "_FACTORIES", "")

    def make(options):
        common = {"seconds": 0.001}
        return [
            Case("first", common, ("convkit", "slow", "dies"), 2.0),
            Case("second", {**common, "nonsense": 1}, ("convkit", "slow")),
            Case("third, one thread", common, ("convkit", "slow"), threads=1),
        ]

    suite = suites.Suite("Fakes", make, 0.01, 5.0, "Some notes.")
    monkeypatch.setitem(suites.SUITES, "models", suite)
