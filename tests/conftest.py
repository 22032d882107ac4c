"""Tests take a build's emulator of a GPU for one."""

from __future__ import annotations

import os

os.environ.setdefault("CONVKIT_CUDA_EMULATOR", "1")
