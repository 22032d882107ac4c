"""``convkit predict MODEL --weights FILE``: the classes that a model sees."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from convkit.cli.common import add_data, add_model, load_data, make_model

__all__ = ["add_parser", "run"]


def add_parser(verbs: Any) -> None:
    """Declare the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "predict", help="predict classes with saved weights"
    )
    add_model(parser)
    add_data(parser)
    parser.add_argument("--weights", required=True, metavar="FILE", help="from train --save")
    parser.add_argument(
        "--input",
        metavar="FILE.npy",
        help="array of images (N, H, W) or (N, H, W, C), uint8 or 0..1; default: the test set",
    )
    parser.add_argument("--classes", type=int, help="number of classes (default: of --data)")
    parser.add_argument("--output", metavar="FILE.npy", help="write the probabilities here")
    parser.add_argument("--count", type=int, default=10, help="predictions to print (default 10)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print one line per image: its number, the class and its probability."""
    from convkit.models.weights import load_weights

    if options.input:
        x = np.load(options.input, allow_pickle=False)
        x = x[..., None] if x.ndim == 3 else x
        if x.dtype == np.uint8:
            x = x.astype(np.float32) / np.float32(255)
        shape, classes = tuple(x.shape[1:]), options.classes or 10
    else:
        data = load_data(options.data, options.device)
        x, shape, classes = data.x_test, data.shape, options.classes or data.classes
    model = make_model(options.model, shape, classes)
    load_weights(model, options.weights)
    probabilities = model.predict(x, batch_size=256, verbose=0)
    for i, row in enumerate(probabilities[: options.count]):
        best = int(row.argmax())
        print(f"{i}: class {best}, probability {row[best]:.4f}")
    if options.output:
        np.save(options.output, probabilities, allow_pickle=False)
        print(f"probabilities of {len(probabilities)} images written to {options.output}")
