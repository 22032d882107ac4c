"""All of it wants a GPU, or a build's emulator of one."""

from __future__ import annotations

import pytest

import convkit as ck


@pytest.fixture(autouse=True)
def _needs_a_gpu() -> None:
    problem = ck.cuda.why_unavailable()
    if problem:
        pytest.skip(problem)
