"""`convkit bench`, with a suite that takes no time."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from convkit.bench import machine, suites
from convkit.bench.machine import BLAS_VARIABLES, Machine
from convkit.bench.race import Race
from convkit.cli import main


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """No measuring, and no second process without OpenBLAS's settings."""
    for name in BLAS_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yardstick = Machine("a cpu", "avx2", "a BLAS", 2, 4, 100.0, 20.0, 0.5, {"python": "3.11"})
    monkeypatch.setattr(machine, "measure", lambda: yardstick)


def fake_suite(quick, threads, progress):
    seconds = {"convkit": np.full(5, 0.001), "peer": np.full(5, 0.003)}
    races = [Race(f"quick {quick}", tuple(seconds), seconds, 1e-6, threads or 9)]
    progress(races[0])
    return races


def test_prints_the_machine_and_the_table_and_writes_json(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(suites.SUITES, "training", fake_suite)
    monkeypatch.setitem(suites.REQUIRED, "training", lambda: None)
    path = tmp_path / "out.json"
    assert main(["bench", "--quick", "--json", str(path)]) == 0
    out = capsys.readouterr().out
    assert "a cpu, 4 cpus, 2 threads, avx2" in out
    row = "| quick True | 1.000 (1.000-1.000) | peer | 3.000 (3.000-3.000) "
    assert out.count(row) == 2  # when it is over, and in the table
    assert "3.00x faster" in out
    read = json.loads(path.read_text())
    assert read["title"] == "convkit bench training"
    assert read["machine"]["cpu"] == "a cpu"
    assert read["races"][0]["threads"] == 9
    assert read["races"][0]["contenders"]["peer"]["ratio"] == 3.0


def test_a_missing_library_is_one_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["bench"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "convkit bench: racing against PyTorch needs torch, which is not installed: "
        'pip install "convkit[bench]"'
    ]


def test_an_unknown_suite_is_named(capsys):
    assert main(["bench", "trainig"]) == 2
    assert "unknown suite 'trainig'; did you mean 'training'?" in capsys.readouterr().err
