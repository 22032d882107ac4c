"""Fine-tuning: a trained network gets a new head, first alone, then all of it at smaller rates.

It was trained to tell the ten digits, and learns to tell odd from even with two labels for each.
"""

from __future__ import annotations

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
    """Train, and print the accuracies on digits that were not seen.

    Returns
    -------
    dict of str to float
    """
    ck.set_seed(0)
    (x, y), (x_test, y_test) = ck.datasets.digits.load_data()
    x, x_test = x[..., None], x_test[..., None]
    trained = network(10)
    train(trained, x[:750], y[:750], epochs)

    ck.set_seed(1)
    x, y = x[750:], y[750:]
    few = np.concatenate([np.flatnonzero(y == digit)[:PER_DIGIT] for digit in range(10)])
    odd, odd_test = y[few] % 2, y_test % 2
    scratch = network(2)
    train(scratch, x[few], odd, 20 * epochs)

    model = models.replace_head(trained, layers.Dense(2, "softmax", name="head"))  # on a copy
    train(model, x[few], odd, 20 * epochs)
    frozen = float(model.evaluate(x_test, odd_test, verbose=0)[1])
    model.trainable = True
    for layer in model.layers[:-1]:
        layer.lr_multiplier = 0.3  # what was learnt before changes more slowly
    train(model, x[few], odd, 2 * epochs, rate=0.001)
    result = {
        "from scratch": float(scratch.evaluate(x_test, odd_test, verbose=0)[1]),
        "new head": frozen,
        "fine-tuned": float(model.evaluate(x_test, odd_test, verbose=0)[1]),
    }
    print(f"odd or even, {len(few)} labels:", {k: f"{v:.1%}" for k, v in result.items()})
    return result


if __name__ == "__main__":
    main()
