"""Layers: Keras's names, arguments and defaults."""

from __future__ import annotations

from convkit.layers.activations import ELU, Activation, LeakyReLU, ReLU, Softmax
from convkit.layers.adaptation import CORAL, MMD, AuxiliaryLoss, GradientReversal
from convkit.layers.augmentation import (
    RandomCrop,
    RandomFlip,
    RandomRotation,
    RandomTranslation,
    RandomZoom,
)
from convkit.layers.base import Layer
from convkit.layers.conv_transpose import Conv2DTranspose, Convolution2DTranspose
from convkit.layers.convolution import Conv2D, Convolution2D
from convkit.layers.core import Dense, Flatten, Rescaling, Reshape
from convkit.layers.depthwise import DepthwiseConv2D, SeparableConv2D, SeparableConvolution2D
from convkit.layers.dropout import Dropout
from convkit.layers.embedding import CategoryEncoding, Embedding
from convkit.layers.input import Input, InputLayer
from convkit.layers.lambdas import Lambda
from convkit.layers.merge import Add, Concatenate, add, concatenate
from convkit.layers.names import reset_names
from convkit.layers.normalization import BatchNormalization, LocalResponseNormalization
from convkit.layers.own import Function
from convkit.layers.parameter import Parameter
from convkit.layers.pooling import (
    AveragePooling2D,
    AvgPool2D,
    GlobalAveragePooling2D,
    GlobalAvgPool2D,
    GlobalMaxPool2D,
    GlobalMaxPooling2D,
    MaxPool2D,
    MaxPooling2D,
)
from convkit.layers.rbf import RBF, EuclideanRBF
from convkit.layers.recurrent import GRU, LSTM, SimpleRNN
from convkit.layers.sequences import Masking, RepeatVector
from convkit.layers.shape import Cropping2D, Permute, UpSampling2D, ZeroPadding2D
from convkit.layers.standardization import Normalization
from convkit.layers.subsampling import Subsampling2D
from convkit.layers.wrappers import Bidirectional, TimeDistributed

__all__ = [
    "CORAL",
    "ELU",
    "GRU",
    "LSTM",
    "MMD",
    "RBF",
    "Activation",
    "Add",
    "AuxiliaryLoss",
    "AveragePooling2D",
    "AvgPool2D",
    "BatchNormalization",
    "Bidirectional",
    "CategoryEncoding",
    "Concatenate",
    "Conv2D",
    "Conv2DTranspose",
    "Convolution2D",
    "Convolution2DTranspose",
    "Cropping2D",
    "Dense",
    "DepthwiseConv2D",
    "Dropout",
    "Embedding",
    "EuclideanRBF",
    "Flatten",
    "Function",
    "GlobalAveragePooling2D",
    "GlobalAvgPool2D",
    "GlobalMaxPool2D",
    "GlobalMaxPooling2D",
    "GradientReversal",
    "Input",
    "InputLayer",
    "Lambda",
    "Layer",
    "LeakyReLU",
    "LocalResponseNormalization",
    "Masking",
    "MaxPool2D",
    "MaxPooling2D",
    "Normalization",
    "Parameter",
    "Permute",
    "RandomCrop",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "SeparableConv2D",
    "SeparableConvolution2D",
    "SimpleRNN",
    "Softmax",
    "Subsampling2D",
    "TimeDistributed",
    "UpSampling2D",
    "ZeroPadding2D",
    "add",
    "concatenate",
    "reset_names",
]  # fmt: skip


def __getattr__(name: str) -> object:
    from convkit.errors import did_you_mean

    raise AttributeError(
        f"module 'convkit.layers' has no attribute {name!r}{did_you_mean(name, __all__)}"
    )
