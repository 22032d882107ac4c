"""AlexNet: as it was published, in one tower, as torchvision has it, and for small images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from convkit.errors import did_you_mean
from convkit.layers import (
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    Layer,
    LocalResponseNormalization,
    MaxPooling2D,
)
from convkit.models.sequential import Sequential

__all__ = ["alexnet"]


def alexnet(
    variant: str = "2012",
    input_shape: Sequence[int] | None = None,
    classes: int | None = None,
    name: str = "alexnet",
) -> Sequential:
    """AlexNet, the network that won ImageNet's competition of 2012.

    It is from Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional
    neural networks", 2012.

    "2012" is the paper's: two towers, which are two groups in conv2, conv4 and conv5, local
    response normalisation after conv1 and conv2, overlapping pooling, dropout; 60,965,224
    parameters. The paper speaks of images of 224 x 224; its layer sizes need 227 x 227.
    "one-tower" has the same layers without groups and without normalisation; 62,378,344 parameters.
    "torchvision" is that library's: images of 224 x 224, the fewer filters of Krizhevsky's "One
    weird trick for parallelizing convolutional neural networks", 2014; 61,100,840 parameters.
    "cifar" has five convolutions of that kind for images of 32 x 32.

    Parameters
    ----------
    variant : str
        "2012", "one-tower", "torchvision" or "cifar".
    input_shape : tuple of int, optional
        (H, W, C); by default the variant's.
    classes : int, optional
        By default 1,000, or 10 for "cifar".
    name : str

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        If the variant is unknown or the images are too small for its layers.

    Examples
    --------
    >>> from convkit import models
    >>> models.alexnet("torchvision").count_params()
    61100840
    """
    if variant not in _VARIANTS:
        known = did_you_mean(variant, _VARIANTS)
        raise ValueError(f"[alexnet] unknown variant {variant!r}{known}")
    build, shape, count = _VARIANTS[variant]
    shape = shape if input_shape is None else tuple(input_shape)
    return Sequential([Input(shape), *build(classes or count)], name=name)


def _conv(filters: int, size: int, place: int, **options: Any) -> Conv2D:
    options.setdefault("padding", "same")
    return Conv2D(
        filters, size, activation="relu", kernel_initializer="he_normal", name=f"conv{place}",
        **options,
    )  # fmt: skip


def _pool(place: int) -> MaxPooling2D:
    return MaxPooling2D(3, 2, name=f"pool{place}")


def _dense_layers(units: int, classes: int, *, dropout_first: bool) -> list[Layer]:
    """Three dense layers; the paper has dropout behind the first two, torchvision before them."""
    layers: list[Layer] = [Flatten(name="flatten")]
    for place in (6, 7):
        pair = [Dense(units, "relu", name=f"fc{place}"), Dropout(0.5, name=f"drop{place}")]
        layers += reversed(pair) if dropout_first else pair
    return [*layers, Dense(classes, "softmax", name="fc8")]


def _paper(groups: int, normalise: bool, classes: int) -> list[Layer]:
    def norm(place: int) -> list[Layer]:
        return [LocalResponseNormalization(name=f"norm{place}")] if normalise else []

    return [
        _conv(96, 11, 1, strides=4, padding="valid"),
        *norm(1),
        _pool(1),
        _conv(256, 5, 2, groups=groups),
        *norm(2),
        _pool(2),
        _conv(384, 3, 3),
        _conv(384, 3, 4, groups=groups),
        _conv(256, 3, 5, groups=groups),
        _pool(5),
        *_dense_layers(4096, classes, dropout_first=False),
    ]


def _two_towers(classes: int) -> list[Layer]:
    return _paper(2, True, classes)


def _one_tower(classes: int) -> list[Layer]:
    return _paper(1, False, classes)


def _torchvision(classes: int) -> list[Layer]:
    return [
        _conv(64, 11, 1, strides=4, padding=2),
        _pool(1),
        _conv(192, 5, 2),
        _pool(2),
        _conv(384, 3, 3),
        _conv(256, 3, 4),
        _conv(256, 3, 5),
        _pool(5),
        *_dense_layers(4096, classes, dropout_first=True),
    ]


def _cifar(classes: int) -> list[Layer]:
    return [
        _conv(64, 5, 1),
        _pool(1),
        _conv(192, 3, 2),
        _pool(2),
        _conv(384, 3, 3),
        _conv(256, 3, 4),
        _conv(256, 3, 5),
        _pool(5),
        *_dense_layers(1024, classes, dropout_first=True),
    ]


_VARIANTS: dict[str, tuple[Callable[[int], list[Layer]], tuple[int, ...], int]] = {
    "2012": (_two_towers, (227, 227, 3), 1000),
    "one-tower": (_one_tower, (227, 227, 3), 1000),
    "torchvision": (_torchvision, (224, 224, 3), 1000),
    "cifar": (_cifar, (32, 32, 3), 10),
}
