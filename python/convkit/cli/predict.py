"""``convkit predict MODEL --weights FILE``: the classes that a model sees."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convkit.cli.common import add_data, add_model, load_data, make_model
from convkit.cli.files import check_target

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
        help="images (N, H, W) or (N, H, W, C): integers 0..255 or numbers 0..1; default: the test "
        "set",
    )
    parser.add_argument("--classes", type=int, help="number of classes (default: of --data)")
    parser.add_argument("--output", metavar="FILE.npy", help="write the probabilities here")
    parser.add_argument("--count", type=int, default=10, help="predictions to print (default 10)")
    parser.set_defaults(run=run)


def _images(path: str) -> NDArray[np.float32]:
    """Images from a file, scaled to 0..1 as they are in training."""
    try:
        x = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        x = None
    if not isinstance(x, np.ndarray):
        raise ValueError(f"--input {path} is not a .npy file with one array: write it with np.save")
    if x.dtype.kind not in "biuf" or x.ndim not in (3, 4):
        raise ValueError(
            f"--input {path} holds {x.dtype} {x.shape}, expected numbers (N, H, W) or (N, H, W, C)"
        )
    if not np.isfinite(x).all():
        raise ValueError(f"--input {path} holds NaN or infinity")
    top = 255 if x.dtype.kind in "iu" else 1
    if x.size and not (x.min() >= 0 and x.max() <= top):
        raise ValueError(
            f"--input {path}: its values go from {x.min():g} to {x.max():g}, expected "
            + ("integers 0..255" if top == 255 else "0..1: divide pixels by 255")
        )
    x = x[..., None] if x.ndim == 3 else x
    return x.astype(np.float32) / np.float32(top)


def run(options: argparse.Namespace) -> None:
    """Print one line per image: its number, the class and its probability."""
    from convkit.saving.weights import load_weights

    if options.count < 0:
        raise ValueError(f"--count is {options.count}, expected at least 0")
    if options.classes is not None and options.classes < 1:
        raise ValueError(f"--classes is {options.classes}, expected at least 1")
    check_target("--output", options.output)
    if options.input:
        x = _images(options.input)
        shape, classes = tuple(x.shape[1:]), options.classes or 10
    else:
        data = load_data(options.data)
        x, shape, classes = data.x_test, data.shape, options.classes or data.classes
    model = make_model(options.model, shape, classes, variant=options.variant)
    model.to(options.device)
    load_weights(model, options.weights)
    probabilities = model.predict(x, batch_size=256, verbose=0)
    for i, row in enumerate(probabilities[: options.count]):
        best = int(row.argmax())
        print(f"{i}: class {best}, probability {row[best]:.4f}")
    if options.output:
        np.save(options.output, probabilities, allow_pickle=False)
        print(f"probabilities of {len(probabilities)} images written to {options.output}")
