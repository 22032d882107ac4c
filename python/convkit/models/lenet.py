"""LeNet-5, in its two common forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from convkit.errors import did_you_mean
from convkit.layers import AveragePooling2D, Conv2D, Dense, Flatten, Input, Layer, MaxPooling2D
from convkit.models.sequential import Sequential

__all__ = ["lenet5"]


def lenet5(
    variant: str = "modern",
    input_shape: Sequence[int] | None = None,
    classes: int = 10,
    activation: Any = None,
    name: str = "lenet5",
) -> Sequential:
    """LeNet-5, as it is taught today or as Caffe has it.

    It is from LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
    recognition", 1998.

    "modern" keeps the paper's layers, with softmax in place of its radial basis functions and
    average pooling without weights; all maps of c3 see all of s2. It has 61,706 parameters.
    "caffe" is the network of Caffe's ``lenet.prototxt``: wider, with maximum pooling, one ReLU
    after the first dense layer and none after the convolutions. It has 431,080 parameters.

    Parameters
    ----------
    variant : str
        "modern" or "caffe".
    input_shape : tuple of int, optional
        By default (28, 28, 1). A modern one on 32 x 32 images takes them without padding, as in the
        paper.
    classes : int
    activation : str or ActivationFunction, optional
        By default "tanh" for "modern", "relu" for "caffe".
    name : str

    Returns
    -------
    Sequential

    Examples
    --------
    >>> from convkit import models
    >>> models.lenet5().count_params(), models.lenet5("caffe").count_params()
    (61706, 431080)
    """
    builders = {"modern": _modern, "caffe": _caffe}
    if variant not in builders:
        known = did_you_mean(variant, builders)
        raise ValueError(f"[lenet5] unknown variant {variant!r}{known}")
    shape = (28, 28, 1) if input_shape is None else tuple(input_shape)
    layers = builders[variant](shape, classes, activation)
    return Sequential([Input(shape), *layers], name=name)


def _modern(shape: tuple[int, ...], classes: int, activation: Any) -> list[Layer]:
    f = "tanh" if activation is None else activation
    # The paper's 32 x 32 images are digits of 28 x 28 with a border; "same" supplies it.
    border = "valid" if shape[:2] == (32, 32) else "same"
    return [
        Conv2D(6, 5, padding=border, activation=f, name="c1"),
        AveragePooling2D(2, name="s2"),
        Conv2D(16, 5, activation=f, name="c3"),
        AveragePooling2D(2, name="s4"),
        Flatten(name="flatten"),
        Dense(120, f, name="c5"),
        Dense(84, f, name="f6"),
        Dense(classes, "softmax", name="output"),
    ]


def _caffe(shape: tuple[int, ...], classes: int, activation: Any) -> list[Layer]:
    f = "relu" if activation is None else activation
    xavier = "lecun_uniform"  # what Caffe calls "xavier" looks at the fan in only
    return [
        Conv2D(20, 5, kernel_initializer=xavier, name="conv1"),
        MaxPooling2D(2, name="pool1"),
        Conv2D(50, 5, kernel_initializer=xavier, name="conv2"),
        MaxPooling2D(2, name="pool2"),
        Flatten(name="flatten"),
        Dense(500, f, kernel_initializer=xavier, name="ip1"),
        Dense(classes, "softmax", kernel_initializer=xavier, name="ip2"),
    ]
