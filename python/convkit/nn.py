"""`convkit.activations` under TensorFlow's name, for code that says ``tf.nn.sigmoid``."""

from convkit.activations import (
    elu,
    exponential,
    gelu,
    hard_sigmoid,
    hardtanh,
    leaky_relu,
    linear,
    log_softmax,
    relu,
    scaled_tanh,
    selu,
    sigmoid,
    silu,
    softmax,
    softplus,
    softsign,
    swish,
    tanh,
)

__all__ = [
    "elu", "exponential", "gelu", "hard_sigmoid", "hardtanh", "leaky_relu", "linear",
    "log_softmax", "relu", "scaled_tanh", "selu", "sigmoid", "silu", "softmax", "softplus",
    "softsign", "swish", "tanh",
]  # fmt: skip
