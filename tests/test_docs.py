"""The code in the documents runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


DOCUMENTS = ("README.md", "docs/benchmarks.md", "docs/choosing.md", "docs/training.md")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_code_runs(name: str, capsys: Any, monkeypatch: Any, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)  # where the files go that it writes
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.S)
    assert blocks
    scope: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, name, "exec"), scope)  # the project's own text
