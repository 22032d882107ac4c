"""Peak memory of whole training steps against PyTorch.

Run as ``python benchmarks/models/bench_memory.py [--batch N]`` with the extra ``bench`` installed;
writes ``benchmarks/results/memory.md``. It needs about 6 GB.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from convkit import _core
from convkit.bench.machine import measure
from convkit.bench.memory import CONTENDERS, NETWORKS, measure_memory
from convkit.bench.suites import require_torch, without_blas_limits

NOTES = """\
Two steps each of forward, loss, backward and update (SGD with momentum) on full-size images, each
contender in a process of its own with two threads. The peak is that of the whole process, the
interpreter and the library's code included, from just before the first step. All start from the
same weights; the loss of the batch at the beginning, without dropout, was compared first.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(NETWORKS)}")
    options = parser.parse_args()
    without_blas_limits()
    require_torch()
    rows = [
        "| network | batch | contender | peak MB | of PyTorch's least | loss |",
        "|---|---|---|---|---|---|",
    ]
    for network in options.networks or NETWORKS:
        found = {
            contender: measure_memory(
                contender, network, options.batch, threads=_core.usable_cpus()
            )
            for contender in CONTENDERS
        }
        losses = [result["loss"] for result in found.values()]
        if max(losses) - min(losses) > 1e-3 * max(losses):
            raise ArithmeticError(f"{network}: the contenders' losses differ: {losses}")
        least = min(found[name]["peak_mb"] for name in CONTENDERS[1:])
        for contender, result in found.items():
            rows.append(
                f"| {network} | {options.batch} | {contender} | {result['peak_mb']:,.0f} "
                f"| {result['peak_mb'] / least:.0%} | {result['loss']:.4f} |"
            )
            print(rows[-1], flush=True)
    text = ["# Peak memory of training steps", f"```\n{measure()}\n```", "\n".join(rows), NOTES]
    results = Path(__file__).parents[1] / "results"
    results.mkdir(exist_ok=True)
    (results / "memory.md").write_text("\n\n".join(text))


if __name__ == "__main__":
    main()
