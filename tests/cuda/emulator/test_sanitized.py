"""The rows of all ops on the emulator under the sanitizers, some tests of each file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
# ThreadSanitizer takes a second or two for a test, where the other takes some milliseconds.
MOST = {"address": 60, "thread": 2}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ on the PATH")
@pytest.mark.parametrize("mode", MOST)
def test_kernels_are_silent_under_the_sanitizer(mode: str) -> None:
    command = [sys.executable, HERE / "sanitized.py", mode, "--most", str(MOST[mode])]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-10_000:]
    assert " passed" in done.stdout
