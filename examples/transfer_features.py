"""Feature extraction: what a network has learnt about digits, put to use for another question.

It was trained to tell the ten digits. Whether a digit is even or odd is asked with two labels for
each. The trained layers run once over the images, what they make of them goes to a file, and a
softmax layer learns from that in no time. benchmarks/results/transfer.md has the same between MNIST
and these digits.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import convkit as ck
from convkit import layers, models

PER_DIGIT = 2


def network(classes: int) -> ck.Model:
    return ck.Sequential(
        [
            ck.Input((8, 8, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, "relu", name="features"),
            layers.Dense(classes, "softmax"),
        ]
    )


def train(model: ck.Model, x: np.ndarray, y: np.ndarray, epochs: int, rate: float = 0.003) -> None:
    loss = "sparse_categorical_crossentropy"
    model.compile(ck.optimizers.Adam(rate), loss, metrics=["accuracy"])
    model.fit(x, y, epochs=epochs, verbose=0)


def main(epochs: int = 15) -> dict[str, float]:
    """Train both ways, and print the accuracies on digits that were not seen.

    Returns
    -------
    dict of str to float
    """
    ck.set_seed(0)
    (x, y), (x_test, y_test) = ck.datasets.digits.load_data()
    x, x_test = x[..., None], x_test[..., None]
    base = network(10)
    train(base, x[:750], y[:750], epochs)

    ck.set_seed(1)
    x, y = x[750:], y[750:]
    few = np.concatenate([np.flatnonzero(y == digit)[:PER_DIGIT] for digit in range(10)])
    odd, odd_test = y[few] % 2, y_test % 2
    scratch = network(2)
    train(scratch, x[few], odd, 20 * epochs)

    extractor = models.feature_extractor(base, "features")
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "digits.features"
        features = models.extract_features(extractor, x[few], cache)
        features = models.extract_features(extractor, x[few], cache)  # read, not computed
    head = ck.Sequential([ck.Input(features.shape[1:]), layers.Dense(2, "softmax")])
    train(head, features, odd, 20 * epochs)

    seen = models.extract_features(extractor, x_test)
    result = {
        "from scratch": float(scratch.evaluate(x_test, odd_test, verbose=0)[1]),
        "features": float(head.evaluate(seen, odd_test, verbose=0)[1]),
    }
    print(f"odd or even, {len(few)} labels:", {k: f"{v:.1%}" for k, v in result.items()})
    return result


if __name__ == "__main__":
    main()
