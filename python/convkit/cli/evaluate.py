"""``convkit evaluate MODEL --weights FILE``: test saved weights."""

from __future__ import annotations

import argparse
from typing import Any

from convkit.cli.common import add_data, add_model, load_data, make_model

__all__ = ["add_parser", "run"]


def add_parser(verbs: Any) -> None:
    """Declare the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser("evaluate", help="test saved weights")
    add_model(parser)
    add_data(parser)
    parser.add_argument("--weights", required=True, metavar="FILE", help="from train --save")
    parser.add_argument("--batch-size", type=int, default=256, help="default 256")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print loss and accuracy on the test set."""
    from convkit.saving.weights import load_weights

    data = load_data(options.data)
    model = make_model(options.model, data.shape, data.classes, variant=options.variant)
    model.to(options.device)
    load_weights(model, options.weights)
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    scores = model.evaluate(
        data.x_test, data.y_test, batch_size=options.batch_size, verbose=0, return_dict=True
    )
    print(f"test loss {scores['loss']:.4f}")
    print(f"test accuracy {scores['accuracy']:.4f}")
