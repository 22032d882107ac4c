"""``convkit train MODEL``: train a model on a data set and test it."""

from __future__ import annotations

import argparse
from typing import Any

from convkit.cli.common import add_data, add_model, load_data, make_model
from convkit.cli.files import check_target

__all__ = ["add_parser", "run"]

# Learning rates with which LeNet-5 and the like train well in few epochs.
RATES = {"adam": 0.002, "sgd": 0.05}


def add_parser(verbs: Any) -> None:
    """Declare the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser("train", help="train a model and test it")
    add_model(parser)
    add_data(parser)
    parser.add_argument("--epochs", type=int, default=20, help="default 20")
    parser.add_argument("--batch-size", type=int, default=32, help="default 32")
    parser.add_argument(
        "--optimizer", default="adam", help="adam (default), sgd (momentum 0.9), ..."
    )
    parser.add_argument("--lr", type=float, help="learning rate (adam 0.002, sgd 0.05, or its own)")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    parser.add_argument(
        "--save", metavar="FILE", help="write the weights to this file, or to .convkit the model"
    )
    parser.set_defaults(run=run)


def _optimizer(name: str, rate: float | None) -> Any:
    """The optimizer by name."""
    from convkit import optimizers

    optimizer = optimizers.get(name)
    key = name.lower()
    if key == "sgd":
        optimizer = optimizers.SGD(momentum=0.9)
    optimizer.learning_rate = RATES.get(key, optimizer.learning_rate) if rate is None else rate
    return optimizer


def run(options: argparse.Namespace) -> None:
    """Train, test, and save if asked."""
    import convkit as ck

    check_target("--save", options.save)  # before an hour of training
    optimizer = _optimizer(options.optimizer, options.lr)
    data = load_data(options.data, options.device)
    ck.set_seed(options.seed)
    model = make_model(options.model, data.shape, data.classes, variant=options.variant)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(data.x_train, data.y_train, batch_size=options.batch_size, epochs=options.epochs)
    scores = model.evaluate(data.x_test, data.y_test, batch_size=256, verbose=0, return_dict=True)
    if options.save and options.save.endswith(".convkit"):
        print(f"model written to {model.save(options.save)}")
    elif options.save:
        print(f"weights written to {model.save_weights(options.save)}")
    print(f"test accuracy {scores['accuracy']:.4f}")
