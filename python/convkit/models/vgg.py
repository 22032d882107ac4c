"""VGG: stacks of 3x3 convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convkit.errors import did_you_mean
from convkit.layers import (
    Activation,
    BatchNormalization,
    Conv2D,
    Dense,
    Dropout,
    Flatten,
    Input,
    Layer,
    MaxPooling2D,
)
from convkit.models.sequential import Sequential

__all__ = ["vgg11", "vgg13", "vgg16", "vgg19"]

# Table 1 of the paper: convolutions in each of the five blocks (A, B, D and E), and their filters.
_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2,) * 5, 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
_FILTERS = (64, 128, 256, 512, 512)
# Of the moving averages: a small data set has few steps in an epoch to settle in.
_MOMENTUM = 0.9
_SHAPES = {"imagenet": (224, 224, 3), "cifar": (32, 32, 3)}


def _vgg(
    depth: int,
    variant: str,
    input_shape: Sequence[int] | None,
    classes: int | None,
    include_top: bool,
    batch_norm: bool | None,
    name: str | None,
) -> Sequential:
    title = f"vgg{depth}"
    if variant not in _SHAPES:
        raise ValueError(f"[{title}] unknown variant {variant!r}{did_you_mean(variant, _SHAPES)}")
    shape = _SHAPES[variant] if input_shape is None else tuple(input_shape)
    if len(shape) != 3 or min(shape[:2]) < 32:
        raise ValueError(
            f"[{title}] input_shape is {shape}, expected (H, W, C) of at least 32 x 32: five "
            "poolings halve it"
        )
    normalise = variant == "cifar" if batch_norm is None else bool(batch_norm)
    layers: list[Layer] = []
    for block, (count, filters) in enumerate(zip(_CONVOLUTIONS[depth], _FILTERS, strict=True), 1):
        for i in range(1, count + 1):
            layers += _convolution(filters, f"{block}_{i}", normalise)
        layers.append(MaxPooling2D(2, name=f"pool{block}"))
    if include_top:
        if variant == "cifar":
            layers += _small_top(classes or 10, normalise)
        else:
            layers += _top(classes or 1000)
    return Sequential([Input(shape), *layers], name=name or title)


def _convolution(filters: int, place: str, normalise: bool) -> list[Layer]:
    options: dict[str, Any] = {
        "padding": "same",
        "kernel_initializer": "he_normal",  # the paper begins deep nets with trained shallow ones
        "name": f"conv{place}",
    }
    if not normalise:
        return [Conv2D(filters, 3, activation="relu", **options)]
    return [
        Conv2D(filters, 3, use_bias=False, **options),
        BatchNormalization(momentum=_MOMENTUM, name=f"norm{place}"),
        Activation("relu", name=f"relu{place}"),
    ]


def _top(classes: int) -> list[Layer]:
    return [
        Flatten(name="flatten"),
        Dense(4096, "relu", name="fc6"),
        Dropout(0.5, name="drop6"),
        Dense(4096, "relu", name="fc7"),
        Dropout(0.5, name="drop7"),
        Dense(classes, "softmax", name="fc8"),
    ]


def _small_top(classes: int, normalise: bool) -> list[Layer]:
    hidden: list[Layer] = [Dense(512, "relu", name="fc6")]
    if normalise:
        hidden = [
            Dense(512, use_bias=False, name="fc6"),
            BatchNormalization(momentum=_MOMENTUM, name="norm6"),
            Activation("relu", name="relu6"),
        ]
    return [
        Flatten(name="flatten"),
        *hidden,
        Dropout(0.5, name="drop6"),
        Dense(classes, "softmax", name="fc7"),
    ]


def _builder(depth: int) -> Any:
    letter = {11: "A", 13: "B", 16: "D", 19: "E"}[depth]

    def build(
        variant: str = "imagenet",
        input_shape: Sequence[int] | None = None,
        classes: int | None = None,
        include_top: bool = True,
        batch_norm: bool | None = None,
        name: str | None = None,
    ) -> Sequential:
        return _vgg(depth, variant, input_shape, classes, include_top, batch_norm, name)

    build.__name__ = build.__qualname__ = f"vgg{depth}"
    build.__doc__ = f"""VGG with {depth} layers of weights, configuration {letter}.

    It is from Simonyan and Zisserman, "Very deep convolutional networks for large-scale image
    recognition", 2015, table 1: {sum(_CONVOLUTIONS[depth])} convolutions of 3 x 3 and three dense
    layers.

    "imagenet" takes images of 224 x 224 and has the paper's dense layers. "cifar" takes images of
    32 x 32; its convolutions are the same, each with batch normalisation, and one hidden layer of
    512 units follows.

    Parameters
    ----------
    variant : str
        "imagenet" or "cifar".
    input_shape : tuple of int, optional
        (H, W, C); by default (224, 224, 3) or (32, 32, 3).
    classes : int, optional
        By default 1,000 or 10.
    include_top : bool
        Whether the dense layers follow; without them the output is that of the last pooling.
    batch_norm : bool, optional
        Whether batch normalisation follows each convolution; by default in "cifar" only.
    name : str, optional

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError
        If the variant is unknown or the images are smaller than 32 x 32.
    """
    return build


vgg11, vgg13, vgg16, vgg19 = (_builder(depth) for depth in _CONVOLUTIONS)
