"""What transfer learning gains between MNIST and the UCI digits, both ways.

Run as ``CONVKIT_DATA=... python benchmarks/accuracy/transfer.py``; writes
``benchmarks/results/transfer.md``. Three ways: features of a trained network for a classifier with
few labelled digits, fine-tuning with as few, and domain adaptation with unlabelled digits of the
target alone.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import reports

import convkit as ck
from convkit import layers, models
from convkit.bench.machine import without_blas_limits

SEEDS = (0, 1, 2, 3, 4)
PER_CLASS = (2, 5, 10)
BATCH, FEW_BATCH, RATE, SLOW = 64, 32, 1e-3, 2e-4
FEW_EPOCHS, TUNE_EPOCHS = 200, 50
CORAL, MMD, DANN = 1000.0, 3.0, 0.3  # weights
ADAPTATION_RATE = 2e-3


class Domain(NamedTuple):
    """One of the two sets of digits, its images (N, 8, 8, 1) in 0..1."""

    name: str
    x: np.ndarray
    y: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


class Source(NamedTuple):
    """How much of a domain a network is trained on, and how long."""

    samples: int
    epochs: int
    adaptation_epochs: int


def mnist() -> Domain:
    """MNIST, its central 20 x 20 pixels as means over 2.5 x 2.5 of them: 8 x 8, as UCI's."""
    (x, y), (x_test, y_test) = ck.datasets.mnist.load_data()

    def small(images: np.ndarray) -> np.ndarray:
        halves = images[:, 4:24, 4:24].repeat(2, axis=1).repeat(2, axis=2)
        blocks = halves.reshape(-1, 8, 5, 8, 5).mean(axis=(2, 4), dtype=np.float32)
        return blocks[..., None] / np.float32(255)

    return Domain("MNIST", small(x), y, small(x_test), y_test)


def uci() -> Domain:
    (x, y), (x_test, y_test) = ck.datasets.digits.load_data()
    x, x_test = (images[..., None] / np.float32(255) for images in (x, x_test))
    return Domain("UCI", x, y, x_test, y_test)


SOURCES = {"MNIST": Source(30_000, 6, 6), "UCI": Source(1500, 30, 40)}


def base() -> list[Any]:
    """The layers before the classifier."""
    return [
        layers.Conv2D(16, 3, padding="same", activation="relu"),
        layers.Conv2D(32, 3, padding="same", activation="relu"),
        layers.MaxPooling2D(2),
        layers.Conv2D(64, 3, padding="same", activation="relu"),
        layers.Flatten(name="features"),
        layers.Dense(128, "tanh"),
    ]


def compiled(model: ck.Model, rate: float = RATE) -> ck.Model:
    loss = "sparse_categorical_crossentropy"
    model.compile(ck.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def network() -> ck.Model:
    return compiled(ck.Sequential([ck.Input((8, 8, 1)), *base(), layers.Dense(10, "softmax")]))


def accuracy(model: ck.Model, x: np.ndarray, y: np.ndarray) -> float:
    return float(model.evaluate(x, y, batch_size=500, verbose=0)[1])


def few(domain: Domain, per_class: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """So many labelled digits of each class."""
    order = np.random.default_rng(seed).permutation(len(domain.y))
    at = np.concatenate([order[domain.y[order] == c][:per_class] for c in range(10)])
    return domain.x[at], domain.y[at]


def few_labels(trained: ck.Model, target: Domain, per_class: int, seed: int) -> list[float]:
    """Accuracy of a network from scratch, of a classifier on features, and fine-tuned."""
    ck.set_seed(seed + 1000)  # a head with the first weights of the old one would begin half-way
    x, y = few(target, per_class, seed)
    scratch = network()
    scratch.fit(x, y, batch_size=FEW_BATCH, epochs=FEW_EPOCHS, verbose=0)
    extractor = models.feature_extractor(trained, "features")
    features = models.extract_features(extractor, x)
    head = ck.Sequential([ck.Input(features.shape[1:]), layers.Dense(10, "softmax")])
    compiled(head).fit(features, y, batch_size=FEW_BATCH, epochs=FEW_EPOCHS, verbose=0)
    new = [layers.Dense(128, "relu"), layers.Dense(10, "softmax")]
    tuned = models.replace_head(trained, new, "features")
    compiled(tuned).fit(x, y, batch_size=FEW_BATCH, epochs=FEW_EPOCHS, verbose=0)
    tuned.trainable = True
    compiled(tuned, SLOW).fit(x, y, batch_size=FEW_BATCH, epochs=TUNE_EPOCHS, verbose=0)
    seen = models.extract_features(extractor, target.x_test)
    return [
        accuracy(scratch, target.x_test, target.y_test),
        accuracy(head, seen, target.y_test),
        accuracy(tuned, target.x_test, target.y_test),
    ]


def adapted(
    kind: str, x: np.ndarray, y: np.ndarray, unlabelled: np.ndarray, epochs: int
) -> ck.Model:
    """A network trained on labelled digits of one domain and unlabelled ones of the other."""
    source, target = ck.Input((8, 8, 1)), ck.Input((8, 8, 1))
    shared = base()

    def features(node: Any) -> Any:
        for layer in shared:
            node = layer(node)
        return node

    of_source, of_target = features(source), features(target)
    classes = trained = layers.Dense(10, "softmax")(of_source)
    steps = epochs * -(-len(x) // BATCH)
    if kind == "CORAL":
        trained = layers.CORAL(CORAL)([classes, of_source, of_target])
    elif kind == "MMD":
        trained = layers.MMD(MMD)([classes, of_source, of_target])
    elif kind == "DANN":
        reversal = layers.GradientReversal(DANN, ramp_steps=steps)
        hidden, domain = layers.Dense(64, "relu"), layers.Dense(1, "sigmoid")
        for label, node in enumerate((of_source, of_target)):
            loss = layers.AuxiliaryLoss("binary_crossentropy", 0.5, target=label)
            trained = loss([trained, domain(hidden(reversal(node)))])
    inputs, data = ([source, target], [x, unlabelled]) if kind else (source, x)
    model = ck.Model(inputs, trained)
    rate = ck.schedules.Inv(ADAPTATION_RATE, gamma=10 / steps, power=0.75)
    loss = "sparse_categorical_crossentropy"
    model.compile(ck.optimizers.Adam(rate), loss)
    model.fit(data, y, batch_size=BATCH, epochs=epochs, verbose=0)
    return compiled(ck.Model(source, classes))


def adaptation(source: Domain, target: Domain, kind: str, seed: int) -> ck.Model:
    """With the same digits of both domains, in the same order, for every kind."""
    rng, recipe = np.random.default_rng(seed), SOURCES[source.name]
    at = rng.permutation(len(source.x))[: min(recipe.samples, 10_000)]
    unlabelled = target.x[rng.integers(0, len(target.x), len(at))]  # again and again, or some
    ck.set_seed(seed)
    return adapted(kind, source.x[at], source.y[at], unlabelled, recipe.adaptation_epochs)


def spread(values: list[float]) -> str:
    each = ", ".join(f"{value:.1%}" for value in values)
    return f"{statistics.mean(values):.1%} ± {statistics.stdev(values):.1%} | {each}"


def gain(values: list[float], without: list[float]) -> str:
    """Mean and spread of the difference, seed by seed."""
    gains = [100 * (a - b) for a, b in zip(values, without, strict=True)]
    return f"{statistics.mean(gains):+.1f} ± {statistics.stdev(gains):.1f}"


def rows_of_few(source: Domain, target: Domain, say: Callable[[str], None]) -> list[str]:
    recipe = SOURCES[source.name]
    found: dict[int, list[list[float]]] = {n: [] for n in PER_CLASS}
    for seed in SEEDS:
        ck.set_seed(seed)
        at = np.random.default_rng(seed).permutation(len(source.x))[: recipe.samples]
        trained = network()
        trained.fit(source.x[at], source.y[at], batch_size=BATCH, epochs=recipe.epochs, verbose=0)
        for n in PER_CLASS:
            found[n].append(few_labels(trained, target, n, seed))
            say(f"{source.name} to {target.name}, {n} a class, seed {seed}: {found[n][-1]}")
    rows = []
    for n in PER_CLASS:
        columns = [list(column) for column in zip(*found[n], strict=True)]
        for name, values in zip(("from scratch", "features", "fine-tuned"), columns, strict=True):
            better = "" if name == "from scratch" else gain(values, columns[0])
            rows.append(
                f"{source.name} to {target.name} | {n} | {name} | {spread(values)} | {better}"
            )
    return rows


def rows_of_adaptation(source: Domain, target: Domain, say: Callable[[str], None]) -> list[str]:
    way = f"{source.name} to {target.name}"
    rows, without = [], []
    for kind in ("", "CORAL", "MMD", "DANN"):
        values = []
        for seed in SEEDS:
            model = adaptation(source, target, kind, seed)
            values.append(accuracy(model, target.x_test, target.y_test))
            say(f"{way}, {kind or 'source alone'}, seed {seed}: {values[-1]}")
        without = without or values
        better = gain(values, without) if kind else ""
        rows.append(f"{way} | {kind or 'source alone'} | {spread(values)} | {better}")
    return rows


def main() -> None:
    without_blas_limits()
    start = time.perf_counter()
    head = reports.head("Transfer learning between MNIST and the UCI digits")
    domains = mnist(), uci()

    def say(line: str) -> None:
        print(f"{time.perf_counter() - start:5.0f} s  {line}", flush=True)

    directions = (domains, domains[::-1])
    few_rows = [row for pair in directions for row in rows_of_few(*pair, say)]
    adapted_rows = [row for pair in directions for row in rows_of_adaptation(*pair, say)]
    seconds = time.perf_counter() - start
    parts = [
        *head,
        "Both sets as 8 x 8 grey images: MNIST's central 20 x 20 pixels in means over 2.5 x 2.5, "
        "the UCI digits as they are. Accuracy on the target's test set (MNIST 10,000, UCI 297), "
        f"mean and standard deviation over the seeds {', '.join(map(str, SEEDS))} and each of "
        "them. A seed draws the weights, the source's digits and the target's; gains are paired by "
        "it, in percentage points. The network: convolutions of 16, 32 and 64 filters 3 x 3, "
        "pooling after the second, 128 tanh units, softmax.",
        "## Few labelled digits of the target",
        f"Trained on {SOURCES['MNIST'].samples:,} digits of MNIST for {SOURCES['MNIST'].epochs} "
        f"epochs, or on {SOURCES['UCI'].samples:,} of UCI for {SOURCES['UCI'].epochs} (Adam, "
        f"{RATE:g}, batch {BATCH}). Then, with few labels: all of it from scratch; a softmax layer "
        "on the flattened features of the last convolution, which are computed once; the "
        f"convolutions with new dense layers, first frozen, then all together for {TUNE_EPOCHS} "
        f"epochs at {SLOW:g}. Each {FEW_EPOCHS} epochs of Adam at {RATE:g}, batch {FEW_BATCH}.",
        reports.table(
            "from, to | labels a class | training | accuracy, mean | of each seed | gain", few_rows
        ),
        "## No labels of the target",
        "Labelled digits of the source (10,000 of MNIST, 1,500 of UCI) and as many unlabelled ones "
        "of the target's training set; the 128 features of the two are drawn together by the term "
        f"named (CORAL {CORAL:g}, MMD {MMD:g}, gradient reversal {DANN:g}, rising as in Ganin et "
        f"al. 2016, before 64 units). Adam, {ADAPTATION_RATE:g} falling as "
        f"(1 + 10 p)^-0.75 over the share p of the steps, batch {BATCH}, "
        f"{SOURCES['MNIST'].adaptation_epochs} epochs from MNIST and "
        f"{SOURCES['UCI'].adaptation_epochs} from UCI.",
        reports.table("from, to | training | accuracy, mean | of each seed | gain", adapted_rows),
        "Weights, rates and the layer to cut at were chosen on labelled images held out of the "
        "targets' training sets (500 of UCI, 5,000 of MNIST), which a target without any labels "
        "would not allow. No choice was made by a test set, but for one: the rows with two labels "
        "a class were added when those with five and ten had shown little from UCI to MNIST.",
        f"All of it took {seconds / 60:.0f} minutes.",
    ]
    reports.write_report("transfer", parts)


if __name__ == "__main__":
    main()
