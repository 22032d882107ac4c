"""`convkit bench`, with suites that take no time."""

from __future__ import annotations

import json

import numpy as np
import pytest

from convkit.bench import kernels, machine, suites
from convkit.bench.kernels import Timing
from convkit.bench.machine import BLAS_VARIABLES, Machine, Rates
from convkit.bench.racing import Race
from convkit.bench.report import Report
from convkit.cli import main
from convkit.ops import registry

RATES = Rates((100.0, 90.0), (20.0,), (3.5,))
YARDSTICK = Machine("a cpu", "avx2", "a BLAS", 2, 4, 0.5, {"python": "3.11"}, RATES)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """No measuring, and no second process without OpenBLAS's settings."""
    for name in BLAS_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(machine, "measure", lambda: YARDSTICK)
    monkeypatch.setattr(machine, "_COPY_BYTES", 1 << 20)


@pytest.fixture
def asked(monkeypatch):
    """What `run_suite` was asked for; it gives one case, and another that failed."""
    found = {}

    def run_suite(name, *, progress, json, **options):
        found.update(name=name, **options)
        report = Report(name, "A title", "", {})
        report.machine = YARDSTICK
        seconds = {"convkit": np.full(5, 0.001), "peer": np.full(5, 0.003)}
        race = Race("a case", tuple(seconds), seconds, 1e-6, 2, RATES, {"gone": "it died"})
        report.add("a case", race, 2.0, {})
        report.seconds = {"a case": 2.0, "another": 1.0}
        progress(report, "a case")
        if options["quick"]:
            report.failed["another"] = "it disagrees"
            progress(report, "another")
        report.write(json)
        return report

    monkeypatch.setattr(suites, "run_suite", run_suite)
    return found


def test_prints_each_case_and_the_tables(asked, capsys, tmp_path):
    path = tmp_path / "out.json"
    assert main(["bench", "--json", str(path)]) == 0
    assert asked["name"] == "models" and asked["cases"] is None and asked["timeout"] == 600.0
    out = capsys.readouterr().out
    first, *rest = out.splitlines()
    assert first == "a case: 1.000 ms, 3.00x faster (peer); left out: gone (2 s)"
    assert "a cpu, 4 cpus, 2 threads, avx2, 0.5 other busy processors" in rest
    assert "3.00 (3.00-3.00)" in out and "2 reached" in out
    assert "a case: left out gone: it died" in rest
    assert json.loads(path.read_text())["machine"]["cpu"] == "a cpu"


def test_a_failed_case_is_named_and_the_exit_code_says_so(asked, capsys):
    arguments = (
        "rnn --quick --cases LSTM --cases GRU --peers torch --rounds 9 --threads 2 --isa avx2"
    )
    assert main(["bench", *arguments.split()]) == 1
    assert asked == {
        "name": "rnn", "cases": ["LSTM", "GRU"], "peers": ["torch"], "rounds": 9, "quick": True,
        "threads": 2, "isa": "avx2", "batch": None, "timeout": 600.0, "wheel": None,
        "markdown": None, "plot": None,
    }  # fmt: skip
    assert "another: it disagrees (1 s)" in capsys.readouterr().out


def test_a_missing_library_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr("convkit.bench.cases.find_spec", lambda name: None)
    assert main(["bench"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "convkit bench: racing against PyTorch needs torch, which is not installed: "
        'pip install "convkit[bench]"'
    ]


def fake_rows(monkeypatch, seen):
    def time_rows(call, *, names=(), yardstick=None, **options):
        seen.append((call, names))
        yardstick.sample(0.0001)
        rows = registry.kernels(call.op, call.pass_name)
        rows = kernels.chosen(rows, names) if names else rows
        return [Timing(call, row, np.full(5, 1e-3 * (i + 1)), 0.25) for i, row in enumerate(rows)]

    monkeypatch.setattr(kernels, "time_rows", time_rows)


def table_of(capsys):
    out = capsys.readouterr().out.splitlines()
    start = next(i for i, line in enumerate(out) if line.startswith("| case | pass | kernel |"))
    return out[:start], out[start + 2 :]


def test_kernels_of_an_op_without_torch(monkeypatch, capsys):
    seen = []
    fake_rows(monkeypatch, seen)
    monkeypatch.setattr("convkit.bench.cases.find_spec", lambda name: None)
    assert main(["bench", "kernels", "--op", "add", "--quick"]) == 0
    head, rows = table_of(capsys)
    assert "a cpu" in head[0]
    assert len(rows) == len(seen) * len(registry.kernels("add"))
    assert "| forward | cpu_naive | 2000.0 (2000.0-2000.0) |" in "\n".join(rows)


def test_one_row_races_against_another(monkeypatch, capsys):
    seen = []
    fake_rows(monkeypatch, seen)
    two = "--pass forward --kernel cpu_naive --kernel cpu_im2col --cases lenet.conv1"
    assert main(["bench", "--op", "conv2d", "--quick", *two.split()]) == 0
    _, rows = table_of(capsys)
    assert [row.split(" | ")[1:3] for row in rows] == [
        ["forward", "cpu_naive"], ["forward", "cpu_im2col"],
    ]  # fmt: skip
    assert "| 2.00 (2.00-2.00) | 0.25 |" in rows[1]
    # Of a single one it is that and the best of the others.
    assert main(["bench", "--op", "add", "--kernel", "cpu_naive", "--quick"]) == 0
    _, rows = table_of(capsys)
    best = registry.kernels("add")[0].name
    assert {row.split(" | ")[2] for row in rows} == {"cpu_naive", best}


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    text = "import convkit as ck\n"
    text += "ck.ops.register('dropout', 'mine', lambda ctx, x: x, pass_name='backward')\n"
    path.write_text(text)
    yield str(path)
    registry.unregister("dropout", "mine", pass_name="backward")


def test_kernels_of_a_file_race_in_their_pass(monkeypatch, capsys, mine):
    fake_rows(monkeypatch, [])
    assert main(["bench", "kernels", "--quick", "--file", mine]) == 0
    _, rows = table_of(capsys)
    text = "\n".join(rows)
    assert "| backward | mine |" in text and "| backward | cpu_simd |" in text
    assert "| forward |" not in text


def test_a_row_of_ones_own_against_one_of_ours(monkeypatch, capsys, mine):
    fake_rows(monkeypatch, [])
    assert main(["bench", "--file", mine, "--kernel", "cpu_naive", "--quick"]) == 0
    _, rows = table_of(capsys)
    assert [row.split(" | ")[2] for row in rows[:2]] == ["mine", "cpu_naive"]
    assert {row.split(" | ")[2] for row in rows} == {"mine", "cpu_naive"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("trainig", "unknown suite 'trainig'"),
        ("modls", "unknown suite 'modls'; did you mean 'models'?"),
        ("models --cases lenet6", "[models] no case contains 'lenet6'"),
        ("models --threads 0", "threads must be from 1 to"),
        ("models --isa avx3", "unknown ISA 'avx3' on this processor"),
        ("models --json nowhere/x.json", "cannot write nowhere/x.json: there is no folder"),
        ("models --json /proc/self/x.json", "x.json"),  # nobody may write there, root neither
        ("models --op add", "--op is for `convkit bench kernels`"),
        ("models --pass forward", "--pass is for `convkit bench kernels`"),
        ("models --wheel x", "--wheel is for `convkit bench memory`"),
        ("kernels", "name an op: convkit bench kernels --op conv2d"),
        ("kernels --op danse", "unknown op 'danse'; did you mean 'dense'"),
        ("kernels --op add --json x", "--json is for races against other libraries"),
        ("kernels --op add --pass backward", "[add] unknown pass 'backward'; known: forward"),
        (
            "kernels --op add --kernel cpu_smid",
            "unknown kernel 'cpu_smid'; did you mean 'cpu_simd'",
        ),
        ("kernels --op add --cases nothing", "[kernels] no case contains 'nothing'"),
        ("kernels --op add --rounds 0", "--rounds must be at least 1, got 0"),
        ("kernels --op add --threads 99999", "threads must be from 1 to"),
        ("kernels --op add --isa avx3", "unknown ISA 'avx3'"),
        ("kernels --file nowhere.py", "--file: there is no file nowhere.py"),
    ],
)
def test_what_is_refused(monkeypatch, capsys, arguments, message):
    monkeypatch.setattr("convkit.bench.cases.find_spec", lambda name: name)
    assert main(["bench", *arguments.split()]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and len(captured.err.splitlines()) == 1
    assert captured.out == ""


def test_a_wrong_row_is_a_case_without_result(monkeypatch, capsys):
    def time_calls(*_, **__):
        raise ArithmeticError("[add] forward: mine is wrong")

    monkeypatch.setattr(kernels, "time_calls", time_calls)
    assert main(["bench", "kernels", "--op", "add", "--quick"]) == 1
    assert "convkit bench: [add] forward: mine is wrong" in capsys.readouterr().err
