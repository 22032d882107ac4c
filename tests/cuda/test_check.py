"""The checks of `convkit check`, on rows for a GPU."""

from __future__ import annotations

import pytest

import convkit as ck
from convkit.cli import main


def test_a_row_is_held_against_its_reference(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "add", "--device", "cuda"]) == 0
    out = capsys.readouterr().out
    assert "PASS  add.forward cuda_simple float32" in out and "reference" not in out


def test_by_name() -> None:
    report = ck.testing.check_kernel("softmax", "cuda_simple")
    assert report.passed and report.cases, str(report)


def test_an_unknown_row_is_told() -> None:
    with pytest.raises(ValueError, match="has no kernel 'cuda_simpel'; did you mean 'cuda_simple'"):
        ck.testing.check_kernel("softmax", "cuda_simpel")
