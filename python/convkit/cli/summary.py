"""``convkit summary MODEL``: its layers, shapes and numbers of weights."""

from __future__ import annotations

import argparse
from typing import Any

from convkit.cli.common import add_model, make_model

__all__ = ["add_parser", "run"]


def add_parser(verbs: Any) -> None:
    """Declare the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser("summary", help="print a model's layers")
    add_model(parser)
    parser.add_argument(
        "--program", action="store_true", help="print the instructions of a training step as well"
    )
    parser.add_argument("--batch-size", type=int, help="of the program (default 32)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Print the table, and the program if asked."""
    batch = options.batch_size
    if batch is not None and not options.program:
        raise ValueError("--batch-size is that of the program: add --program, or leave it out")
    if batch is not None and batch < 1:
        raise ValueError(f"--batch-size is {batch}, expected at least 1")
    model = make_model(options.model, variant=options.variant)
    model.summary()
    if options.program:
        model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        print(model.program("train", batch or 32))
