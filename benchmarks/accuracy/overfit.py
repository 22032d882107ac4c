"""Can the full-size networks learn a batch by heart?

Run as ``python benchmarks/accuracy/overfit.py [NETWORK ...]``; writes
``benchmarks/results/overfit.md``. VGG16 takes a few minutes on two cores.
"""

from __future__ import annotations

import argparse

import numpy as np
import reports

import convkit as ck
from convkit.bench.machine import without_blas_limits
from convkit.bench.memory import NETWORKS

BATCH, MOST, ENOUGH, RATE, CELLS = 8, 100, 0.05, 1e-4, 8


def patterns(shape: tuple[int, int, int]) -> np.ndarray:
    """Images of CELLS x CELLS patches, each of a random colour.

    Noise pixel by pixel would not do: to a deep network all images of it look alike.
    """
    rng = np.random.Generator(np.random.Philox(2))
    patches = rng.standard_normal((BATCH, CELLS, CELLS, shape[2]), dtype=np.float32)
    at = [np.arange(n) * CELLS // n for n in shape[:2]]
    return patches[:, at[0][:, None], at[1][None, :]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(NETWORKS)}")
    options = parser.parse_args()
    without_blas_limits()
    rows, curves = [], []
    for name in options.networks or NETWORKS:
        ck.set_seed(0)
        model = NETWORKS[name]()
        optimizer = ck.optimizers.Adam(RATE)
        model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
        x = patterns(model.input_shape[1:])
        y = np.random.Generator(np.random.Philox(3)).permutation(1000)[:BATCH]
        losses: list[float] = []
        loss, accuracy = float("inf"), 0.0
        for step in range(1, MOST + 1):
            model.fit(x, y, batch_size=BATCH, verbose=0)
            loss, accuracy = model.evaluate(x, y, batch_size=BATCH, verbose=0)
            losses.append(loss)
            print(f"{name} step {step}: loss {loss:.4f}, accuracy {accuracy:.0%}", flush=True)
            if loss < ENOUGH and accuracy == 1:
                break
        rows.append(f"{name} | {len(losses)} | {loss:.4f} | {accuracy:.0%}")
        curves.append(reports.curve(name, losses, ".3f"))
        parts = [
            *reports.head("Learning a batch by heart"),
            f"{BATCH} images of {CELLS} x {CELLS} patches of random colours, with random labels of "
            f"1,000 classes, seed 0; Adam {RATE:g}, dropout as in the network. Trained until the "
            f"loss without dropout is below {ENOUGH}, {MOST} steps at most.",
            reports.table("network | steps | loss | accuracy", rows),
            "Loss without dropout after each step:",
            reports.block("\n".join(curves)),
        ]
        reports.write_report("overfit", parts)


if __name__ == "__main__":
    main()
