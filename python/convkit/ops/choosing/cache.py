"""Verdicts of measurements in the user's cache folder.

A file holds the times of the candidates for one call on one machine: processor, instruction set,
number of threads, and the build of convkit with its tables. Files are written whole or not at all,
and the first that is written counts, so that processes that measure at the same time agree.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import secrets
import warnings
import zlib
from functools import cache
from pathlib import Path
from typing import Any

from convkit import _core
from convkit.ops import registry
from convkit.places import cache_dir

__all__ = ["folder", "machine", "read_verdict", "write_verdict"]

FORMAT = 1
_warned: set[str] = set()  # what was said once in this process


def machine() -> dict[str, str]:
    """What a verdict holds on: another machine, or another build, measures anew."""
    return {
        "cpu": _core.cpu_name(),
        "isa": _core.isa(),
        "threads": str(_core.num_threads()),
        "build": _build(),
    }


@cache
def _build() -> str:
    """The version, and a sum over the native module and the names of its rows."""
    from convkit import __version__

    total = zlib.crc32(Path(_core.__file__).read_bytes())
    rows = [r for op in registry.ops() for r in registry.kernels(op) if r.native]
    names = "\n".join(f"{r.op}.{r.pass_name}.{r.name}" for r in rows)
    return f"{__version__}-{zlib.crc32(names.encode(), total):08x}"


def folder() -> Path:
    """Where verdicts of this machine are; it may not exist yet."""
    told = json.dumps(machine(), sort_keys=True)
    return cache_dir() / "kernels" / hashlib.sha256(told.encode()).hexdigest()[:16]


def _path(text: str) -> Path:
    return folder() / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"


def read_verdict(text: str) -> dict[str, float] | None:
    """The times of a call that are known on this machine.

    Parameters
    ----------
    text : str
        Of `call_text`.

    Returns
    -------
    dict of str to float or None
        Seconds by the row's name. A file that is damaged or of another call or machine is ignored
        with a warning.
    """
    path = _path(text)
    try:
        raw = path.read_bytes()
    except OSError:
        return None
    try:
        found = json.loads(raw)
        seconds = {str(k): float(v) for k, v in found["seconds"].items()}
        whole = found["format"] == FORMAT and found["call"] == text
        whole = whole and found["machine"] == machine()
        whole = whole and all(math.isfinite(t) and t >= 0 for t in seconds.values())
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        _warn(
            f"{path} is no verdict of convkit's on this call; it is ignored and written anew", path
        )
        with contextlib.suppress(OSError):
            path.unlink()
        return None
    return seconds


def write_verdict(text: str, seconds: dict[str, float], needed: set[str]) -> dict[str, float]:
    """Keep the times of a call.

    Parameters
    ----------
    text : str
    seconds : dict of str to float
        By the row's name.
    needed : set of str
        Names that the verdict must have.

    Returns
    -------
    dict of str to float
        Those that count: another process's, if it was first and has the names.
    """
    path = _path(text)
    told = {"format": FORMAT, "machine": machine(), "call": text, "seconds": seconds}
    draft = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(told, indent=1))
        try:
            os.link(draft, path)  # fails where there is a file: the first one counts
        except FileExistsError:
            first = read_verdict(text)
            if first is not None and needed <= set(first):
                return first
            os.replace(draft, path)
        except OSError:  # a file system without links
            os.replace(draft, path)
    except OSError as error:
        _warn(
            f"measurements of kernels are not kept, as {path.parent} cannot be written to "
            f"({error.strerror}); set CONVKIT_CACHE to a folder that can",
            "folder",
        )
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
    return seconds


def _warn(message: str, what: Any) -> None:
    """Say it once in this process."""
    if str(what) not in _warned:
        _warned.add(str(what))
        warnings.warn(message, UserWarning, stacklevel=3)
