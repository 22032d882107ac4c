"""Data that does not fit in memory, and its preparation in the background."""

from __future__ import annotations
