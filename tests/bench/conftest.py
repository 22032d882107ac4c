"""What tests of races share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
