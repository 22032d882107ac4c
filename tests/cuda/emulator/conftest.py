"""The emulator by itself wants a compiler, but no build that has it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _needs_a_gpu() -> None:
    """Takes the place of the one that skips the rest of tests/cuda."""
