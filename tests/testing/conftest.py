"""The state that these tests change is given back."""

from program.conftest import restored

__all__ = ["restored"]
