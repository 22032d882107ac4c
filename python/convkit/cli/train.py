"""``convkit train MODEL``: train a model on a data set and test it."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

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


class _Terminated(KeyboardInterrupt):
    """SIGTERM, which ends training like Ctrl-C: after a whole step."""


def _terminate(*_: object) -> NoReturn:
    raise _Terminated


@contextmanager
def _ending_in_order() -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _save(model: Any, path: str) -> str:
    """Write the model or its weights, and say so."""
    if path.endswith(".convkit"):
        return f"model written to {model.save(path)}"
    return f"weights written to {model.save_weights(path)}"


def run(options: argparse.Namespace) -> int:
    """Train, test, and save if asked; what an interrupt leaves is saved too.

    Returns
    -------
    int
        0, or 130 after Ctrl-C and 143 after SIGTERM.
    """
    import convkit as ck

    check_target("--save", options.save)  # before an hour of training
    optimizer = _optimizer(options.optimizer, options.lr)
    data = load_data(options.data)
    ck.set_seed(options.seed)
    model = make_model(options.model, data.shape, data.classes, variant=options.variant)
    model.to(options.device)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    try:
        with _ending_in_order():
            model.fit(
                data.x_train, data.y_train, batch_size=options.batch_size, epochs=options.epochs
            )
    except KeyboardInterrupt as stop:
        steps = optimizer.iterations
        saved = _save(model, options.save) if options.save and steps else "nothing saved"
        print(f"\nconvkit train: interrupted after {steps} whole steps; {saved}", file=sys.stderr)
        return 143 if isinstance(stop, _Terminated) else 130
    scores = model.evaluate(data.x_test, data.y_test, batch_size=256, verbose=0, return_dict=True)
    if options.save:
        print(_save(model, options.save))
    print(f"test accuracy {scores['accuracy']:.4f}")
    return 0
