"""LeNet-5, in its two common forms and as it was in 1998."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convkit.errors import did_you_mean
from convkit.initializers import UniformFanIn
from convkit.layers import (
    AveragePooling2D,
    Conv2D,
    Dense,
    EuclideanRBF,
    Flatten,
    Input,
    Layer,
    MaxPooling2D,
    Subsampling2D,
)
from convkit.models.sequential import Sequential

__all__ = ["LENET5_C3", "lenet5"]

# Table I of LeCun et al. 1998: which of the 6 maps of S2 (rows) each of the 16 maps of C3 (columns)
# sees. The first six take three neighbours, the next six four, then three take four that are not
# neighbours, and the last takes all: 60 connections.
LENET5_C3 = np.array([
    list("X...XXX..XXXX.XX"),
    list("XX...XXX..XXXX.X"),
    list("XXX...XXX..X.XXX"),
    list(".XXX..XXXX..X.XX"),
    list("..XXX..XXXX.XX.X"),
    list("...XXX..XXXX.XXX"),
]) == "X"  # fmt: skip
LENET5_C3.flags.writeable = False


def lenet5(
    variant: str = "modern",
    input_shape: Sequence[int] | None = None,
    classes: int = 10,
    activation: Any = None,
    name: str = "lenet5",
) -> Sequential:
    """LeNet-5, as it is taught today, as Caffe has it, or as it was in 1998.

    It is from LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
    recognition", 1998.

    "modern" keeps the paper's layers, with softmax in place of its radial basis functions and
    average pooling without weights; all maps of c3 see all of s2. It has 61,706 parameters.
    "caffe" is the network of Caffe's ``lenet.prototxt``: wider, with maximum pooling, one ReLU
    after the first dense layer and none after the convolutions. It has 431,080 parameters.
    "1998" is the paper's network with its 60,000 parameters: trainable subsampling, the connections
    of table I (`LENET5_C3`), ``1.7159 tanh(2x/3)``, weights drawn within 2.4 / fan in (biases,
    of which the paper does not speak, begin at 0), and squared distances to fixed bitmaps of the
    digits as output, here negated and with softmax: it predicts probabilities, the largest where
    the penalty is smallest. Compile it with ``loss="discriminative_map"``, the paper's equation 9;
    the cross-entropies are that without its rubbish class. The paper's inputs are -0.1 for the
    background and 1.175 for ink, and its images 32 x 32 with a border of background.

    Parameters
    ----------
    variant : str
        "modern", "caffe" or "1998".
    input_shape : tuple of int, optional
        By default (28, 28, 1), and (32, 32, 1) for "1998". 32 x 32 images are taken without
        padding, as in the paper, where "modern" and "1998" give all others a border of zeros.
    classes : int
        At most 10 for "1998", whose codes are digits.
    activation : str or ActivationFunction, optional
        By default "tanh" for "modern", "relu" for "caffe", "scaled_tanh" for "1998".
    name : str

    Returns
    -------
    Sequential

    Examples
    --------
    >>> from convkit import models
    >>> [models.lenet5(variant).count_params() for variant in ("modern", "caffe", "1998")]
    [61706, 431080, 60000]
    """
    variant = str(variant)
    builders = {"modern": _modern, "caffe": _caffe, "1998": _1998}
    if variant not in builders:
        known = did_you_mean(variant, builders)
        raise ValueError(f"[lenet5] unknown variant {variant!r}{known}")
    default = (32, 32, 1) if variant == "1998" else (28, 28, 1)
    shape = default if input_shape is None else tuple(input_shape)
    layers = builders[variant](shape, classes, activation)
    return Sequential([Input(shape), *layers], name=name)


def _border(shape: tuple[int, ...]) -> str:
    """The paper's 32 x 32 images are digits of 28 x 28 with a border; "same" supplies it."""
    return "valid" if shape[:2] == (32, 32) else "same"


def _modern(shape: tuple[int, ...], classes: int, activation: Any) -> list[Layer]:
    f = "tanh" if activation is None else activation
    return [
        Conv2D(6, 5, padding=_border(shape), activation=f, name="c1"),
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


def _1998(shape: tuple[int, ...], classes: int, activation: Any) -> list[Layer]:
    f = "scaled_tanh" if activation is None else activation
    weights: dict[str, Any] = {"activation": f, "kernel_initializer": UniformFanIn(2.4)}
    # A unit of s2 and s4 adds up 4 pixels.
    four = UniformFanIn(2.4, fan_in=4)
    maps: dict[str, Any] = {"activation": f, "coefficient_initializer": four}
    return [
        Conv2D(6, 5, padding=_border(shape), name="c1", **weights),
        Subsampling2D(2, name="s2", **maps),
        Conv2D(16, 5, connections=LENET5_C3, name="c3", **weights),
        Subsampling2D(2, name="s4", **maps),
        Flatten(name="flatten"),
        Dense(120, name="c5", **weights),
        Dense(84, name="f6", **weights),
        EuclideanRBF(classes, negate=True, activation="softmax", name="output"),
    ]
