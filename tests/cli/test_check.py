"""`convkit check`: a line per row, exit code 1 for a wrong one, kernels from a file."""

from __future__ import annotations

import sys

import pytest

from convkit.cli import main
from convkit.ops import registry

MINE = """
import numpy as np
import convkit as ck
from neighbour import scale

def mine(ctx, a, b):
    return (a + b) * scale(a.dtype)

ck.ops.register("add", "mine", mine)
"""


@pytest.fixture
def file(tmp_path):
    """Writes a file that registers a kernel of add, which is multiplied by a factor."""

    def write(factor):
        (tmp_path / "neighbour.py").write_text(f"def scale(dtype): return dtype.type({factor})\n")
        path = tmp_path / "mine.py"
        path.write_text(MINE)
        return str(path)

    before = {id(r) for r in registry.kernels("add")}
    sys.modules.pop("neighbour", None)
    yield write
    sys.modules.pop("neighbour", None)
    for row in registry.kernels("add"):
        if id(row) not in before:
            registry.unregister("add", row.name)


def lines(capsys):
    return capsys.readouterr().out.splitlines()


def test_prints_a_line_per_row_of_an_op(capsys):
    assert main(["check", "add"]) == 0
    *rows, last = lines(capsys)
    expected = [f"PASS  add.forward {row.name} float32: " for row in registry.kernels("add")]
    assert len(rows) == len(expected)
    assert all(line.startswith(start) for line, start in zip(rows, expected, strict=True))
    assert last == f"{len(rows)} rows checked, none wrong"


def test_one_kernel_one_pass_float64(capsys):
    arguments = ["--kernel", "cpu_naive", "--pass", "log_backward", "--dtype", "float64"]
    assert main(["check", "softmax", *arguments]) == 0
    row, last = lines(capsys)
    assert row.startswith("PASS  softmax.log_backward cpu_naive float64: 0.")
    assert " of the bound, dx[" in row
    assert last == "1 row checked, none wrong"


def test_without_an_op_all_are_checked(capsys):
    assert main(["check", "--kernel", "reference", "--pass", "backward"]) == 0
    ops = [line.split()[1] for line in lines(capsys)[:-1]]
    assert ops == [
        f"{op}.backward"
        for op in registry.ops()
        if any(p.name == "backward" for p in registry.get(op).passes)
    ]


def test_a_kernel_from_a_file(capsys, file):
    assert main(["check", "--file", file(1)]) == 0
    row, last = lines(capsys)
    assert row.startswith("PASS  add.forward mine float32: exact; ")
    assert last == "1 row checked, none wrong"


def test_a_wrong_kernel_from_a_file_is_exit_code_1(capsys, file):
    assert main(["check", "add", "--file", file(1.001)]) == 1
    out = lines(capsys)
    assert out[0].startswith("FAIL  add.forward mine float32: ")
    assert "expected" in out[0] and "cases wrong" in out[0]
    assert out[-1] == f"{len(registry.kernels('add'))} rows checked, 1 wrong"


def test_a_dtype_that_a_row_does_not_take_is_said(capsys):
    registry.register("add", "single", lambda ctx, a, b: a + b, dtypes=("float32",))
    try:
        assert main(["check", "add", "--kernel", "single", "--dtype", "float64"]) == 1
    finally:
        registry.unregister("add", "single")
    assert lines(capsys) == [
        "SKIP  add.forward single takes no float64",
        "0 rows checked, none wrong",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["danse"], "unknown op 'danse'; did you mean 'dense'"),
        (["add", "--kernel", "cpu_smid"], "[add] has no kernel 'cpu_smid'; did you mean"),
        (["--pass", "forwrd"], "there is no pass 'forwrd'; did you mean 'forward'"),
        (["--file", "nowhere.py"], "--file: there is no file nowhere.py"),
    ],
)
def test_mistakes_are_one_line(capsys, arguments, message):
    assert main(["check", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1 and message in captured.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("pass", "registers no kernel"),
        ("raise SystemExit(0)", "SystemExit: 0"),
    ],
)
def test_a_file_that_fails_is_one_line(capsys, tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    assert main(["check", "--file", str(path)]) == 2
    captured = capsys.readouterr().err
    assert len(captured.splitlines()) == 1 and message in captured
