"""Measure what ``import convkit`` adds to ``import numpy``, and the parts of a wheel.

Run as ``python benchmarks/import_time.py [WHEEL]``; writes ``benchmarks/results/import.md``.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from pathlib import Path

from convkit.bench.machine import measure
from convkit.bench.machine import without_blas_limits

ROUNDS = 15
STATEMENTS = {
    "nothing": "pass",
    "numpy": "import numpy",
    "convkit": "import numpy, convkit",
    "convkit, a model built": (
        "import numpy, convkit; convkit.models.mlp((784, 128, 10)).count_params()"
    ),
}
NOTES = """\
Each statement in a fresh interpreter, from its start to its end, in turns; medians of {rounds}
(quartiles in brackets). The last column is the median, over the rounds, of the difference from the
line that it names in the same round.
"""


def seconds(statement: str) -> float:
    """One fresh interpreter, from start to end."""
    with tempfile.TemporaryDirectory() as folder:  # not a folder that could shadow a module
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True, cwd=folder)
        return time.perf_counter() - start


def import_table() -> list[str]:
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for round_ in range(ROUNDS + 1):
        for name, statement in STATEMENTS.items():
            took = seconds(statement)
            if round_:  # the first round reads the files and writes the byte code
                times[name].append(took)
    lines = ["| statement imports | ms | more than | by ms |", "|---|---|---|---|"]
    base = ""
    for name, values in times.items():
        low, median, high = (1e3 * q for q in statistics.quantiles(values, n=4))
        row = f"| {name} | {median:.1f} ({low:.1f}-{high:.1f}) "
        if base:
            more = statistics.median(a - b for a, b in zip(values, times[base], strict=True))
            row += f"| {base} | {more * 1e3:.1f} |"
        else:
            row += "| | |"
        lines.append(row)
        base = "numpy" if name == "convkit" else name
    return lines


def wheel_table(path: Path) -> list[str]:
    """Packed and unpacked bytes of a wheel by kind of file."""
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
    lines = ["| part | packed kB | unpacked kB |", "|---|---|---|"]
    for kind, size in packed.most_common():
        lines.append(f"| {kind} | {size / 1e3:.0f} | {plain[kind] / 1e3:.0f} |")
    total = path.stat().st_size
    lines.append(f"| {path.name} | {total / 1e3:.0f} | {sum(plain.values()) / 1e3:.0f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", nargs="?", type=Path)
    options = parser.parse_args()
    without_blas_limits()
    parts = ["# What importing costs", f"```\n{measure()}\n```", "\n".join(import_table())]
    parts.append(NOTES.format(rounds=ROUNDS))
    if options.wheel:
        parts += ["## The wheel", "\n".join(wheel_table(options.wheel))]
    print(*parts, sep="\n\n")
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    (results / "import.md").write_text("\n\n".join(parts) + "\n")


if __name__ == "__main__":
    main()
