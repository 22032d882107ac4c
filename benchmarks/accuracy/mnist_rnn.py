"""Test accuracy on MNIST of recurrent networks that read an image row by row, and of a hybrid.

Run as ``CONVKIT_DATA=... python benchmarks/accuracy/mnist_rnn.py [--quick] [NAME ...]``; writes
``benchmarks/results/accuracy-mnist-rnn.md``, after each epoch anew. ``--quick`` trains one epoch on
2,000 images and writes nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from curves import Curve, Report, Run

import convkit as ck
from convkit.bench.machine import without_blas_limits

EPOCHS, BATCH, RATE = 10, 128, 1e-3


@dataclass(frozen=True)
class Task:
    """A model, how to call it, and the accuracy to reach."""

    what: str
    goal: float
    model: Callable[[], Any]


def _rows(cell: str) -> Callable[[], Any]:
    return lambda: ck.models.rnn_classifier(cell, 128)


TASKS = {
    "lstm": Task("LSTM of 128 units on rows", 0.985, _rows("lstm")),
    "gru": Task("GRU of 128 units on rows", 0.985, _rows("gru")),
    "simple": Task("SimpleRNN of 128 units on rows", 0.96, _rows("simple")),
    "hybrid": Task(
        "CNN on strips of 7 rows (16 and 32 filters), LSTM of 64 units on the strips", 0.985,
        lambda: ck.models.cnn_rnn((4, 7, 28, 1)),
    ),
}  # fmt: skip


def _shown(logs: Any) -> dict[str, float]:
    return {"loss": logs["loss"], "accuracy": logs["accuracy"]}


def train(report: Report, name: str, seed: int, epochs: int, data: Any) -> None:
    """One run."""
    task = TASKS[name]
    recipe = f"{task.what}, Adam {RATE:g}, norm clipped to 1, batch {BATCH}, {epochs} epochs"
    report.begin(Run(name, recipe, task.goal, True, seed, epochs))
    ck.set_seed(seed)
    model = task.model()
    shape = model.input_shape[1:]
    (x, y), (x_test, y_test) = ((a.reshape(len(a), *shape), b) for a, b in data)
    model.compile(
        ck.optimizers.Adam(RATE, global_clipnorm=1.0),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    model.fit(
        x, y, batch_size=BATCH, epochs=epochs, validation_data=(x_test, y_test),
        validation_batch_size=500, callbacks=[Curve(report, "val_accuracy", _shown)], verbose=0,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TASKS)}")
    parser.add_argument("--quick", action="store_true", help="one epoch on 2,000 images")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="default 0")
    options = parser.parse_args()
    without_blas_limits()
    (x, y), (x_test, y_test) = ck.datasets.mnist.load_data()
    few = 2000 if options.quick else len(x)
    scale = np.float32(1 / 255)
    data = ((x[:few] * scale, y[:few]), (x_test[:few] * scale, y_test[:few]))
    report = Report(
        None if options.quick else "accuracy-mnist-rnn",
        "Test accuracy of recurrent networks on MNIST",
        "60,000 training and 10,000 test images of pixels from 0 to 1. A recurrent layer reads the "
        "28 rows of an image as 28 steps; the hybrid's convolutions see strips of it. The accuracy "
        "is that on the test images after the last epoch: no epoch is picked by them.",
        "test accuracy",
        ".2%",
    )
    for name in options.names or TASKS:
        for seed in options.seeds:
            train(report, name, seed, 1 if options.quick else EPOCHS, data)


if __name__ == "__main__":
    main()
