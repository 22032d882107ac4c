"""Every CUDA kernel on small awkward shapes, once: what compute-sanitizer watches.

Run as ``compute-sanitizer --tool memcheck python benchmarks/gpu/sanitize.py``. A kernel is run and
not judged; the tests do that.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from convkit.cuda import native as cuda
from convkit.ops import registry
from convkit.testing.awkward_calls import awkward_calls

MOST_FLOPS, MOST_BYTES = 2_000_000, 1 << 20  # a checked thread is slow


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="begin nothing after these")
    parser.add_argument("--op", default="", help="this one only")
    options = parser.parse_args()
    until = time.monotonic() + options.seconds
    seen: dict[str, int] = {}
    for op in cuda.require().ops():
        if options.op not in ("", op):
            continue
        for call in awkward_calls(op):
            if call.flops > MOST_FLOPS or call.bytes > MOST_BYTES or time.monotonic() > until:
                continue
            out = call.outputs()
            for row in registry.kernels(op, call.pass_name, device="cuda"):
                if not row.native or not row.supports([*call.specs, *out], call.params):
                    continue
                arrays = call.arrays()
                outputs = [None if s is None else np.zeros(s.shape, s.dtype) for s in out]
                registry.run(row, call.params, arrays, outputs, call.step)
                name = f"{op}.{row.pass_name} {row.name}"
                seen[name] = seen.get(name, 0) + 1
    for op in cuda.require().ops():
        if options.op not in ("", op):
            continue
        for row in registry.kernels(op, device="cuda"):
            name = f"{op}.{row.pass_name} {row.name}"
            if row.native and name not in seen:
                print(f"not run: {name}")
    print(f"{sum(seen.values())} calls of {len(seen)} kernels")


if __name__ == "__main__":
    main()
