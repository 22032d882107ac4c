"""Training curves with Winograd's convolution and without it, on MNIST and CIFAR-10.

Run as ``CONVKIT_DATA=... python benchmarks/accuracy/winograd_curves.py [mnist] [cifar10]
[--epochs N] [--images N] [--seeds N]``; writes ``benchmarks/results/winograd-curves-NAME.md``. The
same weights and the same order of the images, twice: once with ``exact=True``, which leaves out the
rows with an error bound of their own, and once as usual. The curves part as those of two orders of
summation do; they are to differ by less than those of different seeds.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import reports

import convkit as ck
from convkit.bench.machine import without_blas_limits

BATCH = 64
EXACT, USUAL = "exact", "as usual"


def digits() -> ck.Sequential:
    """A network for MNIST whose convolutions but the first may be Winograd's."""
    layers = ck.layers
    return ck.Sequential([
        ck.Input((28, 28, 1)),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.Conv2D(32, 3, padding="same", activation="relu"), layers.MaxPooling2D(2),
        layers.Conv2D(64, 5, padding="same", activation="relu"), layers.MaxPooling2D(2),
        layers.Flatten(), layers.Dense(10, "softmax"),
    ])  # fmt: skip


@dataclass(frozen=True)
class Recipe:
    """Data, a network, and how it is trained."""

    data: Callable[[], Any]
    build: Callable[[], Any]
    rate: float
    epochs: int
    images: int


RECIPES = {
    "mnist": Recipe(ck.datasets.mnist.load_data, digits, 0.02, 3, 60_000),
    "cifar10": Recipe(
        ck.datasets.cifar10.load_data, lambda: ck.models.alexnet("cifar"), 0.01, 4, 50_000
    ),
}


class Curve(NamedTuple):
    """Of one run: the figures after each epoch, and which kernels there were."""

    losses: list[float]
    accuracies: list[float]
    rows: set[str]


def scaled(x: np.ndarray) -> np.ndarray:
    """From -1 to 1, with an axis of channels."""
    x = x[..., None] if x.ndim == 3 else x
    return (x.astype(np.float32) - 127.5) / 127.5


def train(recipe: Recipe, seed: int, how: str, epochs: int, images: int) -> Curve:
    (x, y), (x_test, y_test) = recipe.data()
    x, y, x_test = scaled(x[:images]), y[:images], scaled(x_test)
    ck.set_seed(seed)
    model = recipe.build()
    model.compile(
        ck.optimizers.SGD(recipe.rate, momentum=0.9), loss="sparse_categorical_crossentropy",
        metrics=["accuracy"], exact=how == EXACT,
    )  # fmt: skip
    curve = Curve([], [], set())
    for _ in range(epochs):
        history = model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0)
        curve.losses.append(history.history["loss"][-1])
        curve.accuracies.append(model.evaluate(x_test, y_test, batch_size=100, verbose=0)[1])
    curve.rows.update(name for call, name in model.kernels().items() if call.startswith("conv2d"))
    print(seed, how, [f"{a:.4f}" for a in curve.accuracies], flush=True)
    return curve


def spread(values: Sequence[float]) -> float:
    """Largest difference of two."""
    return max((abs(a - b) for a, b in itertools.combinations(values, 2)), default=0.0)


def report(name: str, curves: dict[tuple[int, str], Curve], images: int) -> None:
    seeds = sorted({seed for seed, _ in curves})
    used = sorted(set().union(*(curve.rows for curve in curves.values())))
    rows = [
        f"{seed} | {how} | {reports.curve('loss', curve.losses)} | "
        f"{reports.curve('test accuracy', curve.accuracies)}"
        for (seed, how), curve in curves.items()
    ]
    final = {how: [curves[seed, how].accuracies[-1] for seed in seeds] for how in (EXACT, USUAL)}
    apart = max(abs(a - b) for a, b in zip(*final.values(), strict=True))
    between = max(spread(values) for values in final.values())
    parts = [
        *reports.head(f"Training with Winograd's convolution and without it: {name}"),
        f"{images:,} images, batch {BATCH}, SGD with momentum 0.9. Kernels of the convolutions: "
        f"{', '.join(used)}.",
        reports.table("seed | | loss of each epoch | accuracy after each epoch", rows),
        f"Last epoch: the two differ by {apart:.2%} at most with the same seed, seeds by "
        f"{between:.2%}.",
    ]
    reports.write_report(f"winograd-curves-{name}", parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(RECIPES)}")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--images", type=int)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    without_blas_limits()
    for name in options.names or RECIPES:
        recipe = RECIPES[name]
        epochs, images = options.epochs or recipe.epochs, options.images or recipe.images
        curves = {
            (seed, how): train(recipe, seed, how, epochs, images)
            for seed in range(options.seeds)
            for how in (EXACT, USUAL)
        }
        report(name, curves, images)


if __name__ == "__main__":
    main()
