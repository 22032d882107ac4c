"""Kernels from a user's file, for the verbs that run kernels."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convkit.ops.registry import Row

__all__ = ["add_file", "load_file"]


def add_file(parser: argparse.ArgumentParser) -> None:
    """Add --file."""
    parser.add_argument(
        "--file",
        metavar="MODULE.py",
        help="run this file first; it registers kernels with ck.ops.register",
    )


def load_file(name: str) -> list[Row]:
    """Run a Python file and return the kernels that it registers.

    Raises
    ------
    OSError
        If there is no such file.
    ValueError
        If it fails or registers no kernel.
    """
    import runpy
    import sys
    from pathlib import Path

    from convkit.ops import registry

    if not Path(name).is_file():
        raise FileNotFoundError(f"--file: there is no file {name}")
    before = {id(row) for op in registry.ops() for row in registry.kernels(op)}
    sys.path.insert(0, str(Path(name).resolve().parent))  # it may import its neighbours
    try:
        runpy.run_path(name)
    except (Exception, SystemExit) as error:
        raise ValueError(f"--file {name}: {type(error).__name__}: {error}") from error
    finally:
        del sys.path[0]
    new = [r for op in registry.ops() for r in registry.kernels(op) if id(r) not in before]
    if not new:
        raise ValueError(f"--file {name} registers no kernel; call ck.ops.register in it")
    return new
