"""Domain adaptation: labels for clean digits only, and yet a network for dimmed, noisy ones.

The source has labels, the target none. Beside the loss of the source's labels, a term draws the
features of both together: CORAL their covariances, MMD their distributions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import convkit as ck
from convkit import layers


def spoilt(images: np.ndarray, seed: int) -> np.ndarray:
    """Another domain: less contrast on a brighter paper, with noise."""
    noise = np.random.default_rng(seed).standard_normal(images.shape, np.float32)
    return 0.35 + 0.5 * images + 0.12 * noise


def trained(
    term: Any, x: np.ndarray, y: np.ndarray, unlabelled: np.ndarray, epochs: int
) -> ck.Model:
    """A network for images like the unlabelled ones; without a term it does not look at them."""
    ck.set_seed(0)
    source, target = ck.Input((8, 8, 1)), ck.Input((8, 8, 1))
    base = [
        layers.Conv2D(16, 3, activation="relu"),
        layers.Conv2D(32, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(64, "tanh"),
    ]
    of_source, of_target = source, target
    for layer in base:
        of_source, of_target = layer(of_source), layer(of_target)
    classes = layers.Dense(10, "softmax")(of_source)
    loss = "sparse_categorical_crossentropy"
    if term is None:
        trainer, data = ck.Model(source, classes), x
    else:
        trainer = ck.Model([source, target], term([classes, of_source, of_target]))
        data = [x, unlabelled]
    trainer.compile(ck.optimizers.Adam(0.001), loss)
    trainer.fit(data, y, batch_size=64, epochs=epochs, verbose=0)
    model = ck.Model(source, classes)
    model.compile("adam", loss, metrics=["accuracy"])
    return model


def main(epochs: int = 15) -> dict[str, float]:
    """Train three ways, and print the accuracies on digits of the target.

    Returns
    -------
    dict of str to float
    """
    (x, y), (x_test, y_test) = ck.datasets.digits.load_data()
    x, x_test = (images[..., None] / np.float32(255) for images in (x, x_test))
    labelled, unlabelled = slice(None, 750), slice(750, None)  # of different images
    target = spoilt(x[unlabelled], seed=1)
    terms = {"source alone": None, "CORAL": layers.CORAL(100.0), "MMD": layers.MMD(1.0)}
    result = {}
    for name, term in terms.items():
        model = trained(term, x[labelled], y[labelled], target, epochs)
        accuracy = model.evaluate(spoilt(x_test, seed=2), y_test, verbose=0)[1]
        result[name] = float(accuracy)
        print(f"{name}: {accuracy:.1%} on the target")
    return result


if __name__ == "__main__":
    main()
