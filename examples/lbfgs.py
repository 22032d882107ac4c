"""Two words change the optimizer: steepest descent, conjugate gradients and L-BFGS beside Adam.

A multilayer perceptron on the bundled digits, or on MNIST where its files are there. All get the
same number of passes over the training data; a line search needs several for one step.

Run as ``python examples/lbfgs.py``, with ``mnist`` for MNIST.
"""

from __future__ import annotations

import itertools
import sys
import time

import numpy as np

import convkit as ck

OPTIMIZERS = ("adam", "steepest_descent", "cg", "lbfgs")


def load(dataset: str) -> tuple[np.ndarray, ...]:
    """Pixels from 0 to 1, one row for each image, and labels."""
    (x, y), (x_test, y_test) = getattr(ck.datasets, dataset).load_data()
    x, x_test = (part.reshape(len(part), -1).astype(np.float32) / 255 for part in (x, x_test))
    return x, y, x_test, y_test


class Passes(ck.callbacks.Callback):
    """Ends training after so many passes over the data."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.done = 0.0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.done += (logs or {}).get("evaluations", 1.0)
        if self.done >= self.most:
            self.stop(f"{self.done:.0f} passes done")


def main(dataset: str = "digits", passes: int = 60, hidden: int = 32) -> dict[str, float]:
    """Train a perceptron of one hidden layer by each optimizer.

    Returns
    -------
    dict of str to float
        Accuracies on the test set.
    """
    x, y, x_test, y_test = load(dataset)
    accuracies = {}
    print(f"{'':17} {'epochs':>7} {'passes':>7} {'seconds':>8} {'loss':>8} {'test accuracy':>14}")
    for name in OPTIMIZERS:
        ck.set_seed(0)
        model = ck.models.mlp([x.shape[1], hidden, 10], "tanh", "softmax")
        model.compile(name, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        limit = Passes(passes)
        start = time.perf_counter()
        history = model.fit(x, y, epochs=passes, callbacks=[limit], verbose=0)
        seconds = time.perf_counter() - start
        loss = history.history["loss"]
        if name != "adam":
            assert all(after <= before for before, after in itertools.pairwise(loss))
        accuracies[name] = model.evaluate(x_test, y_test, verbose=0)[1]
        print(
            f"{name:17} {len(loss):7} {limit.done:7.0f} {seconds:8.2f} {loss[-1]:8.4f} "
            f"{accuracies[name]:14.1%}"
        )
    return accuracies


if __name__ == "__main__":
    main(*sys.argv[1:2])
