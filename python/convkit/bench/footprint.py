"""What ``import convkit`` adds to ``import numpy``, and the parts of a wheel."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

__all__ = ["check_wheel", "import_times", "wheel_parts"]

# A statement, and the one that it is compared with.
_STATEMENTS = {
    "nothing": ("pass", ""),
    "numpy": ("import numpy", "nothing"),
    "convkit": ("import numpy, convkit", "numpy"),
    "convkit, a model built": (
        "import numpy, convkit; convkit.models.mlp((784, 128, 10)).count_params()", "numpy",
    ),
}  # fmt: skip


def _seconds(statement: str) -> float:
    """One fresh interpreter, from start to end."""
    with tempfile.TemporaryDirectory() as folder:  # not a folder that could shadow a module
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True, cwd=folder)
        return time.perf_counter() - start


def import_times(rounds: int) -> dict[str, dict[str, Any]]:
    """Seconds of fresh interpreters, in turns.

    Parameters
    ----------
    rounds : int
        At least 2 are made; one more before them reads the files and writes the byte code.

    Returns
    -------
    dict of str to dict
        "median_s" and "quartiles_s"; "more_than", another statement, and "more_s", the median over
        the rounds of the difference from it in the same round.
    """
    rounds = max(rounds, 2)  # one has no quartiles
    times: dict[str, list[float]] = {name: [] for name in _STATEMENTS}
    for n in range(rounds + 1):
        for name, (statement, _) in _STATEMENTS.items():
            taken = _seconds(statement)
            if n:
                times[name].append(taken)
    found: dict[str, dict[str, Any]] = {}
    for name, values in times.items():
        low, median, high = statistics.quantiles(values, n=4)
        base = _STATEMENTS[name][1]
        differences = [a - b for a, b in zip(values, times[base or name], strict=True)]
        found[name] = {
            "median_s": median,
            "quartiles_s": [low, high],
            "more_than": base,
            "more_s": statistics.median(differences),
        }
    return found


def check_wheel(path: str) -> None:
    """Refuse what is no wheel.

    Raises
    ------
    OSError
        If there is no such file.
    ValueError
        If it is no wheel.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {path}")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is no wheel")


def wheel_parts(path: str) -> list[dict[str, Any]]:
    """Packed and unpacked bytes of a wheel by kind of file, the largest first, then their sum."""
    packed: Counter[str] = Counter()
    plain: Counter[str] = Counter()
    with zipfile.ZipFile(path) as wheel:
        for info in wheel.infolist():
            name = Path(info.filename)
            kind = f"{name.suffix or 'other'} files"
            if ".so" in name.suffixes:
                kind = f"{name.name.partition('.')[0]} (shared library)"
            packed[kind] += info.compress_size
            plain[kind] += info.file_size
    parts = [{"part": k, "packed": size, "plain": plain[k]} for k, size in packed.most_common()]
    total = Path(path).stat().st_size
    return [*parts, {"part": Path(path).name, "packed": total, "plain": sum(plain.values())}]
