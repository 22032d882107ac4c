"""`convkit bench`, with a suite that takes no time."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from convkit.bench import kernels, machine, suites
from convkit.bench.kernels import Timing
from convkit.bench.machine import BLAS_VARIABLES, Machine
from convkit.bench.race import Race
from convkit.cli import main
from convkit.ops import registry


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


def fake_rows(monkeypatch, call_names):
    def time_rows(call, **options):
        call_names.append(call.name)
        rows = registry.kernels(call.op, call.pass_name)
        return [Timing(call, row, np.full(5, 1e-3), 0.25) for row in rows]

    monkeypatch.setattr(kernels, "time_rows", time_rows)


def test_kernels_of_an_op_without_torch(monkeypatch, capsys):
    names = []
    fake_rows(monkeypatch, names)
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["bench", "kernels", "--op", "add", "--quick"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert "a cpu" in out[0]
    start = next(i for i, line in enumerate(out) if line.startswith("| case | pass | kernel |"))
    assert len(out) == start + 2 + len(names) * len(registry.kernels("add"))
    assert "| forward | cpu_naive | 1000.0 (1000.0-1000.0) |" in "\n".join(out)


def test_kernels_of_a_file_race_in_their_pass(monkeypatch, capsys, tmp_path):
    fake_rows(monkeypatch, [])
    path = tmp_path / "mine.py"
    text = "import convkit as ck\n"
    text += "ck.ops.register('dropout', 'mine', lambda ctx, x: x, pass_name='backward')\n"
    path.write_text(text)
    try:
        assert main(["bench", "kernels", "--quick", "--file", str(path)]) == 0
    finally:
        registry.unregister("dropout", "mine", pass_name="backward")
    out = capsys.readouterr().out
    assert "| backward | mine |" in out and "| backward | cpu_simd |" in out
    assert "| forward |" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kernels"], "name an op: convkit bench kernels --op conv2d"),
        (["kernels", "--op", "danse"], "unknown op 'danse'; did you mean 'dense'"),
        (["kernels", "--op", "add", "--json", "x"], "--json is for `convkit bench training`"),
        (["--op", "add"], "--op and --file are for `convkit bench kernels`"),
    ],
)
def test_arguments_of_the_other_suite_are_refused(capsys, arguments, message):
    assert main(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err
