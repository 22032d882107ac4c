"""Test accuracy on CIFAR-10: AlexNet and VGG16 for images of 32 x 32.

Run as ``CONVKIT_DATA=... python benchmarks/accuracy/cifar10.py [NAME ...]``; writes
``benchmarks/results/accuracy-cifar10-NAME.md`` after every epoch, so that a run that is cut off
leaves its curve. Published for the like: 75.3 % of Caffe's "quick" network on all 50,000 images.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import reports

import convkit as ck
from convkit.bench.machine import without_blas_limits

# Mean and deviation of each channel over the training images.
MEAN = np.array([125.3, 123.0, 113.9], np.float32)
DEVIATION = np.array([63.0, 62.1, 66.7], np.float32)
BATCH = 64


@dataclass(frozen=True)
class Recipe:
    """A network and how it is trained: momentum 0.9, the rate falls as a half cosine to 0."""

    build: Callable[[], Any]
    epochs: int
    rate: float
    weight_decay: float
    shift: int
    goal: float


RECIPES = {
    "alexnet": Recipe(lambda: ck.models.alexnet("cifar"), 14, 0.01, 5e-4, 4, 0.65),
    "vgg16": Recipe(lambda: ck.models.vgg16("cifar"), 8, 0.01, 5e-4, 2, 0.70),
}


def augmented(x: np.ndarray, y: np.ndarray, most: int, seed: int, epoch: int) -> Iterator[Any]:
    """One epoch of shuffled batches: shifted by `most` pixels at most, half of them mirrored."""
    rng = np.random.default_rng((seed, epoch))
    order = rng.permutation(len(x))
    padded = np.pad(x, ((0, 0), (most, most), (most, most), (0, 0)))
    for first in range(0, len(x) - BATCH + 1, BATCH):
        chosen = order[first : first + BATCH]
        batch = np.empty((BATCH, 32, 32, 3), np.float32)
        shifts = rng.integers(0, 2 * most + 1, (BATCH, 2))
        mirrored = rng.random(BATCH) < 0.5
        for i, (image, (top, left)) in enumerate(zip(chosen, shifts, strict=True)):
            part = padded[image, top : top + 32, left : left + 32]
            batch[i] = part[:, ::-1] if mirrored[i] else part
        yield batch, y[chosen]


def train(name: str, seed: int, epochs: int | None) -> None:
    recipe = RECIPES[name]
    epochs = epochs or recipe.epochs
    (x, y), (x_test, y_test) = ck.datasets.cifar10.load_data()
    x, x_test = ((a - MEAN) / DEVIATION for a in (x, x_test))
    steps = len(x) // BATCH
    total = steps * epochs

    def rate(step: int) -> float:
        warm = min(1.0, (step + 1) / steps)
        return recipe.rate * warm * 0.5 * (1 + math.cos(math.pi * step / total))

    ck.set_seed(seed)
    model = recipe.build()
    optimizer = ck.optimizers.SGD(
        rate, momentum=0.9, weight_decay=recipe.weight_decay, decoupled=False
    )
    model.compile(optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    head = [
        *reports.head(f"Test accuracy on CIFAR-10: {name}"),
        f"{len(x):,} training and {len(x_test):,} test images. {model.count_params():,} "
        f"parameters, seed {seed}; SGD, momentum 0.9, rate {recipe.rate} after one epoch of "
        f"warm-up, falling as a half cosine to 0, L2 {recipe.weight_decay}, batch {BATCH}, "
        f"{epochs} epochs; images shifted by up to {recipe.shift} pixels and mirrored. No epoch "
        "is picked by the test images.",
    ]
    columns = "epoch | training loss | test loss | test accuracy | minutes | CPU minutes"
    rows: list[str] = []
    start, cpu_start = time.perf_counter(), time.process_time()
    for epoch in range(epochs):
        history = model.fit(
            augmented(x, y, recipe.shift, seed, epoch), epochs=1, steps_per_epoch=steps, verbose=0
        )
        loss, accuracy = model.evaluate(x_test, y_test, batch_size=100, verbose=0)
        minutes = (time.perf_counter() - start) / 60
        cpu = (time.process_time() - cpu_start) / 60
        rows.append(
            f"{epoch + 1} | {history.history['loss'][-1]:.4f} | {loss:.4f} | {accuracy:.2%} "
            f"| {minutes:.1f} | {cpu:.1f}"
        )
        print(f"{name} | {rows[-1]} |", flush=True)
        verdict = reports.verdict(accuracy, recipe.goal)
        done = "" if epoch + 1 == epochs else f" The run was cut off after {epoch + 1} epochs."
        last = f"Last epoch: {accuracy:.2%}; goal {recipe.goal:.0%} {verdict}.{done}"
        parts = [*head, reports.table(columns, rows), last]
        reports.write_report(f"accuracy-cifar10-{name}", parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECIPES)}")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int)
    options = parser.parse_args()
    without_blas_limits()
    for name in options.names or RECIPES:
        train(name, options.seed, options.epochs)


if __name__ == "__main__":
    main()
