"""Initial values of weights, as in Keras.

An initializer is called with a shape and a generator and returns a float32 array:

>>> import numpy as np
>>> from convkit import initializers
>>> initializers.get("zeros")((2,), np.random.default_rng(0))
array([0., 0.], dtype=float32)
"""

from convkit.initializers.base import Initializer
from convkit.initializers.fixed import Constant, Identity, Ones, Zeros
from convkit.initializers.names import get
from convkit.initializers.random import (
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    LecunUniform,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    UniformFanIn,
    VarianceScaling,
    compute_fans,
)

__all__ = [
    "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "Initializer",
    "LecunNormal", "LecunUniform", "Ones", "Orthogonal", "RandomNormal", "RandomUniform",
    "TruncatedNormal", "UniformFanIn", "VarianceScaling", "Zeros", "compute_fans", "get",
]  # fmt: skip
