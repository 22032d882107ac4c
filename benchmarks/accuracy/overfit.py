"""Can the full-size networks learn a batch by heart?

Run as ``python benchmarks/accuracy/overfit.py [NETWORK ...]``; writes
``benchmarks/results/overfit.md``. VGG16 takes a few minutes on two cores.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import convkit as ck
from convkit.bench.machine import measure
from convkit.bench.memory import NETWORKS
from convkit.bench.suites import without_blas_limits

BATCH, MOST, ENOUGH = 8, 60, 0.05
RATES = {"VGG16": 2e-3}  # the deepest one needs a smaller step than 5e-3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(NETWORKS)}")
    options = parser.parse_args()
    without_blas_limits()
    rows = ["| network | rate | steps | loss | accuracy | minutes |", "|---|---|---|---|---|---|"]
    curves = []
    for name in options.networks or NETWORKS:
        ck.set_seed(0)
        model = NETWORKS[name]()
        rate = RATES.get(name, 5e-3)
        optimizer = ck.optimizers.SGD(rate, momentum=0.9, global_clipnorm=10.0)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        rng = np.random.Generator(np.random.Philox(2))
        x = rng.standard_normal((BATCH, *model.input_shape[1:]), dtype=np.float32)
        y = rng.integers(0, 1000, BATCH)
        start, losses = time.perf_counter(), []
        loss, accuracy = float("inf"), 0.0
        for step in range(1, MOST + 1):
            model.fit(x, y, batch_size=BATCH, verbose=0)
            loss, accuracy = model.evaluate(x, y, batch_size=BATCH, verbose=0)
            losses.append(loss)
            print(f"{name} step {step}: loss {loss:.4f}, accuracy {accuracy:.0%}", flush=True)
            if loss < ENOUGH and accuracy == 1:
                break
        minutes = (time.perf_counter() - start) / 60
        rows.append(
            f"| {name} | {rate} | {len(losses)} | {loss:.4f} | {accuracy:.0%} | {minutes:.1f} |"
        )
        curves.append(f"{name}: " + " ".join(f"{value:.3f}" for value in losses))
        text = [
            "# Learning a batch by heart",
            f"```\n{measure()}\n```",
            f"{BATCH} images of noise with random labels of 1,000 classes, seed 0; SGD with "
            "momentum 0.9, the gradient clipped to a norm of 10, dropout as in the network. "
            f"Trained until the loss without dropout is below {ENOUGH}, {MOST} steps at most.",
            "\n".join(rows),
            "Loss without dropout after each step:",
            "```\n" + "\n".join(curves) + "\n```",
        ]
        results = Path(__file__).parents[1] / "results"
        results.mkdir(exist_ok=True)
        (results / "overfit.md").write_text("\n\n".join(text) + "\n")


if __name__ == "__main__":
    main()
