"""Every example runs to its end, in seconds, on data that comes with the package."""

import importlib.util
from pathlib import Path

import pytest

from convkit import layers

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, monkeypatch, capsys):
    monkeypatch.delenv("CONVKIT_DATA", raising=False)
    layers.reset_names()
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main()
    assert capsys.readouterr().out.strip(), f"{path.name} says nothing"
