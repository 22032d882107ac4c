"""The scripts of benchmarks/gpu run, here on the CPU and on the emulator of a GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import convkit as ck

pytest.importorskip("torch")
pytestmark = pytest.mark.peer

SCRIPTS = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu"


def run(script: str, folder: Path, *options: str) -> dict[str, Any]:
    command = [sys.executable, str(SCRIPTS / f"{script}.py"), "--out", str(folder), *options]
    command += ["--device", "cpu", "--tiny"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    text = (folder / f"{script}.md").read_text()
    assert text.startswith("# ") and "\ndate " in text
    assert text.split("\n", 2)[0] in done.stdout
    record: dict[str, Any] = json.loads((folder / f"{script}.json").read_text())
    return record


def test_steps(tmp_path: Path) -> None:
    record = run("steps", tmp_path, "--only", "LSTM(8) on rows", "--rounds", "2")
    (case,) = record["cases"]
    race = case["race"]
    assert [*race["contenders"]] == ["convkit", "eager", "whole-step graph"]
    assert race["disagreement"] < 1e-3 and not race["left_out"] and record["left"] == []
    assert all(len(row["samples_s"]) == 2 for row in race["contenders"].values())
    assert "2x best: no verdict" in (tmp_path / "steps.md").read_text()


def test_layouts_agree(tmp_path: Path) -> None:
    """A captured step takes its rows where the last one ended, in either layout."""
    from dataclasses import asdict
    from runpy import run_path

    from convkit.bench.peers.workload import Workload
    from convkit.bench.racing import disagreement

    captured = run_path(str(SCRIPTS / "torch_steps.py"))["Captured"]
    eager = run_path(str(SCRIPTS / "torch_steps.py"))["Eager"]
    work = asdict(Workload("lenet5", 3, samples=9))
    expected = eager(work, 1).outputs()
    for channels_last in (False, True):
        found = captured(work, 1, channels_last=channels_last)
        worst, wrong = disagreement(expected, found.outputs(), 1e-4)
        assert wrong == "" and worst >= 0
        found.run(7)
        assert int(found.at) == 3  # the seventh began at row 18 of nine


@pytest.mark.skipif(bool(ck.cuda.why_unavailable()), reason="no GPU, nor an emulator of one")
def test_kernels(tmp_path: Path) -> None:
    record = run("kernels", tmp_path, "--op", "activation")
    assert record["left"] == "all calls had their turn"
    rows = {(k["pass"], k["kernel"]) for k in record["kernels"]}
    assert rows >= {(p, "cuda_simple") for p in ("forward", "backward", "backward_from_output")}
    for k in record["kernels"]:
        assert k["same_bits"] and k["error"] < 1e-4 and "failed" not in k
        assert len(k["samples_s"]) == 9 and k["beside_s"]["copy"] > 0
