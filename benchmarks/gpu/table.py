"""The table of kernels in docs/cuda.md: those of this build, and what kernels.py has found.

Run as ``python benchmarks/gpu/table.py [kernels.json]``; it prints Markdown.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from convkit.bench.tables import Table
from convkit.cuda import native as cuda
from convkit.ops import registry

HEADER = ("op", "kernel", "passes", "dtypes", "proved", "of cuBLAS, cuDNN", "of a copy")


def shares(entries: list[dict[str, Any]]) -> tuple[str, str]:
    """Of the library and of the copy: the median over layers, and the range."""
    found: dict[str, list[float]] = defaultdict(list)
    for entry in entries:
        if "samples_s" not in entry:
            continue
        t, beside = float(np.median(entry["samples_s"])), entry["beside_s"]
        libraries = [s for name, s in beside.items() if name != "copy"]
        if libraries:
            found["library"].append(min(libraries) / t)
        elif "copy" in beside:
            found["copy"].append(beside["copy"] / t)
    return tuple(  # type: ignore[return-value]
        f"{np.median(v):.0%} ({min(v):.0%}-{max(v):.0%})" if (v := found[name]) else ""
        for name in ("library", "copy")
    )


def main() -> None:
    record = json.loads(Path(sys.argv[1]).read_text())["kernels"] if len(sys.argv) > 1 else []
    timed = defaultdict(list)
    for entry in record:
        timed[entry["op"], entry["kernel"]].append(entry)
    rows = []
    for op in sorted(cuda.require().ops()):
        groups: dict[tuple[str, str, str], list[str]] = {}
        for row in registry.kernels(op, device="cuda"):
            if row.native:
                key = row.name, ", ".join(row.dtypes), row.proved
                groups.setdefault(key, []).append(row.pass_name)
        for (name, dtypes, proved), passes in groups.items():
            rows.append((op, name, ", ".join(passes), dtypes, proved, *shares(timed[op, name])))
    print(Table("", HEADER, rows).markdown())


if __name__ == "__main__":
    main()
