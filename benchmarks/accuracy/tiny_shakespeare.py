"""Test loss of character models on tiny Shakespeare: the vanilla network of 512 units, and LSTMs.

Run as ``CONVKIT_DATA=... python benchmarks/accuracy/tiny_shakespeare.py [--quick] [NAME ...]``;
writes ``benchmarks/results/accuracy-tiny-shakespeare.md``, after each epoch anew. ``--quick``
trains one epoch on a fiftieth of the text and writes nothing.

The published figure for the vanilla network (one-hot characters, 512 units, 329,793 parameters,
100 steps, batch 64, Adam 1e-3, gradient norm clipped to 5) is a test loss of 1.85 after 31 epochs.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np
from curves import Curve, Report, Run

import convkit as ck
from convkit.bench.machine import without_blas_limits

STEPS, BATCH, RATE, CLIP = 100, 64, 1e-3, 5.0
# Arguments of models.char_rnn, a description, epochs, and the test loss to reach.
TASKS: dict[str, tuple[dict[str, Any], str, int, float]] = {
    "vanilla": ({}, "SimpleRNN of 512 units", 31, 1.90),
    "lstm": ({"cell": "lstm", "units": 256, "layers": 2}, "two LSTMs of 256 units", 16, 1.85),
}


def pieces(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Stretches of the text that follow each other, and the characters one further on."""
    count = (len(numbers) - 1) // STEPS
    x = numbers[: count * STEPS].reshape(count, STEPS)
    y = numbers[1 : count * STEPS + 1].reshape(count, STEPS)
    return x, y


def _shown(logs: Any) -> dict[str, float]:
    return {"perplexity": math.exp(logs["val_loss"]), "loss": logs["loss"]}


def train(report: Report, name: str, seed: int, quick: bool, data: Any) -> None:
    """One run, and a passage that the trained network writes."""
    options, what, epochs, goal = TASKS[name]
    epochs = 1 if quick else epochs
    (train_text, test_text), vocabulary = data
    ck.set_seed(seed)
    model = ck.models.char_rnn(len(vocabulary), steps=STEPS, **options)
    recipe = (
        f"{what}, {model.count_params():,} parameters, {STEPS} steps, batch {BATCH}, "
        f"Adam {RATE:g}, norm clipped to {CLIP:g}, {epochs} epochs"
    )
    report.begin(Run(name, recipe, goal, False, seed, epochs))
    model.compile(ck.optimizers.Adam(RATE, global_clipnorm=CLIP), "sparse_categorical_crossentropy")
    model.fit(
        *pieces(train_text), batch_size=BATCH, epochs=epochs,
        validation_data=pieces(test_text), callbacks=[Curve(report, "val_loss", _shown)], verbose=0,
    )  # fmt: skip
    length = 100 if quick else 600
    passage = "ROMEO:\n" + ck.models.generate(
        model, "ROMEO:\n", length, 0.8, seed=seed, vocabulary=vocabulary
    )
    print(passage, flush=True)
    report.note(f"Written by {what}, at temperature 0.8 and seed {seed}:\n\n```\n{passage}\n```")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TASKS)}")
    parser.add_argument("--quick", action="store_true", help="one epoch on a fiftieth of the text")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    options = parser.parse_args()
    without_blas_limits()
    (text, test), vocabulary = ck.datasets.tiny_shakespeare.load_data()
    share = 50 if options.quick else 1
    data = (text[: len(text) // share], test[: len(test) // share]), vocabulary
    report = Report(
        None if options.quick else "accuracy-tiny-shakespeare",
        "Test loss of character models on tiny Shakespeare",
        f"The first 90 % of the text, {len(text):,} characters of {len(vocabulary)} kinds, to "
        f"train on, the rest to test on, both in stretches of {STEPS} that do not overlap and "
        "begin with a state of zeros. The test loss is the mean cross-entropy of a character, in "
        "nats, after the last epoch: no epoch is picked by it.",
        "test loss",
        ".3f",
    )
    for name in options.names or TASKS:
        train(report, name, options.seed, options.quick, data)


if __name__ == "__main__":
    main()
