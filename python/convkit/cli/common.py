"""What several verbs share: models, data sets and weights by name."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from convkit.errors import did_you_mean

__all__ = ["Data", "add_data", "add_model", "load_data", "make_model"]

# Models whose input is not images, and where they are trained.
_NO_IMAGES = {
    "char_rnn": "text, see examples/char_rnn.py",
    "forecaster": "series of numbers, see examples/forecast.py",
}
DATASETS = ("digits", "mnist", "fashion_mnist", "cifar10")


class Data(NamedTuple):
    """Images scaled to 0..1 with their channel axis, and labels."""

    x_train: NDArray[np.float32]
    y_train: NDArray[Any]
    x_test: NDArray[np.float32]
    y_test: NDArray[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.x_train.shape[1:]

    @property
    def classes(self) -> int:
        return int(self.y_train.max()) + 1


def add_model(parser: argparse.ArgumentParser) -> None:
    """Add MODEL and --variant."""
    parser.add_argument("model", metavar="MODEL", help="name of a model, such as lenet5 or mlp")
    parser.add_argument(
        "--variant", metavar="NAME", help="of lenet5, alexnet or vgg..., such as cifar"
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    """Add --data and --device."""
    parser.add_argument(
        "--data",
        default="digits",
        metavar="NAME",
        help=f"{', '.join(DATASETS)} (default digits, which is in the package)",
    )
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu (default) or cuda")


def load_data(name: str) -> Data:
    """A data set by name.

    Raises
    ------
    ValueError
        If the name is unknown.
    """
    from convkit import datasets

    name = name.replace("-", "_")
    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}{did_you_mean(name, DATASETS)}")
    options = {"size": 28} if name == "digits" else {}
    (x_train, y_train), (x_test, y_test) = getattr(datasets, name).load_data(**options)

    def scaled(x: NDArray[Any]) -> NDArray[np.float32]:
        x = x if x.ndim == 4 else x[..., None]
        return x.astype(np.float32) / np.float32(255)

    return Data(scaled(x_train), y_train.reshape(-1), scaled(x_test), y_test.reshape(-1))


def make_model(
    name: str,
    shape: tuple[int, ...] | None = None,
    classes: int | None = None,
    *,
    variant: str | None = None,
) -> Any:
    """A model by name, for images of a shape if one is given.

    Raises
    ------
    ValueError
        If name or variant is unknown, or the model does not take images of that shape.
    """
    import inspect

    from convkit import models

    build = models.get(name)
    known = inspect.signature(build).parameters
    options: dict[str, Any] = {}
    if variant is not None:
        if "variant" not in known:
            builders = {n: inspect.signature(models.get(n)).parameters for n in models.names()}
            having = [n for n, parameters in builders.items() if "variant" in parameters]
            raise ValueError(f"{name} has no variants; {', '.join(having)} have")
        options["variant"] = variant
    if shape is not None and name in _NO_IMAGES:
        raise ValueError(f"{name} reads {_NO_IMAGES[name]}")
    if shape is not None and "input_shape" in known:
        options["input_shape"] = shape
    if classes is not None and "classes" in known:
        options["classes"] = classes
    if shape is not None and "sizes" in known and "input_shape" not in known:
        options = {"sizes": (shape, 128, classes or 10)}
    if "variant" not in known or shape is None:
        return build(**options)
    build(**{k: v for k, v in options.items() if k == "variant"})  # an error is the variant's
    try:
        return build(**options)
    except ValueError as error:
        size = " x ".join(map(str, shape))
        raise ValueError(
            f"{name} does not take images of {size}: {error}; try another --variant or other data"
        ) from None
