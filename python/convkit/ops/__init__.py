"""Ops: mathematical functions with their gradients, and the kernels that compute them.

The functions take and return NumPy arrays. `kernels` lists the rows of an op's table, best first;
every function takes ``kernel=`` to name one.
"""

from __future__ import annotations

from convkit.ops.accuracy import accuracy
from convkit.ops.activation import (
    activation,
    activation_backward,
    elu,
    exponential,
    gelu,
    hard_sigmoid,
    hardtanh,
    leaky_relu,
    linear,
    relu,
    scaled_tanh,
    selu,
    sigmoid,
    silu,
    softplus,
    softsign,
    step,
    tanh,
)
from convkit.ops.add import add
from convkit.ops.augment import augment, augment_backward
from convkit.ops.batch_norm import (
    batch_norm,
    batch_norm_backward,
    batch_norm_inference,
    batch_norm_update,
)
from convkit.ops.channel_scale import (
    channel_scale,
    channel_scale_backward_input,
    channel_scale_backward_weight,
)
from convkit.ops.concatenate import concatenate, concatenate_backward
from convkit.ops.confusion import confusion
from convkit.ops.conv2d import conv2d, conv2d_backward_input, conv2d_backward_weight
from convkit.ops.conv2d_pool import (
    conv2d_pool,
    conv2d_pool_backward_input,
    conv2d_pool_backward_weight,
)
from convkit.ops.dense import (
    dense,
    dense_backward_bias,
    dense_backward_input,
    dense_backward_weight,
)
from convkit.ops.dense_update import dense_update
from convkit.ops.domain_distance import domain_distance, domain_distance_backward
from convkit.ops.dropout import dropout, dropout_backward
from convkit.ops.embedding import embedding, embedding_backward
from convkit.ops.gather_rows import gather_rows
from convkit.ops.gradient_scale import gradient_scale_backward
from convkit.ops.histogram import histogram
from convkit.ops.hopfield import hopfield_asynchronous, hopfield_energy, hopfield_synchronous
from convkit.ops.loss import loss, loss_backward
from convkit.ops.lrn import (
    local_response_normalization,
    local_response_normalization_backward,
)
from convkit.ops.mask import (
    find_mask,
    mask_steps,
    mask_steps_backward,
    mask_weight,
    reverse_mask,
)
from convkit.ops.moments import moments
from convkit.ops.pad2d import crop2d, pad2d
from convkit.ops.penalty import penalty, penalty_backward
from convkit.ops.pool2d import (
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d,
    max_pool2d_backward,
)
from convkit.ops.rbf import (
    rbf_distance,
    rbf_distance_backward_input,
    rbf_distance_backward_weight,
    rbf_gaussian,
    rbf_gaussian_backward,
)
from convkit.ops.registry import kernels, ops, register, unregister
from convkit.ops.rnn import (
    gru,
    gru_backward,
    lstm,
    lstm_backward,
    simple_rnn,
    simple_rnn_backward,
)
from convkit.ops.scatter import scatter, scatter_backward
from convkit.ops.softmax import (
    log_softmax,
    log_softmax_backward,
    softmax,
    softmax_backward,
)
from convkit.ops.transpose import transpose
from convkit.ops.update_adam import adam, adamax, nadam
from convkit.ops.update_steps import adadelta, adagrad, clip_by_global_norm, lion, rmsprop, sgd
from convkit.ops.upsample2d import upsample2d, upsample2d_backward

__all__ = [
    "accuracy",
    "activation",
    "activation_backward",
    "adadelta",
    "adagrad",
    "adam",
    "adamax",
    "add",
    "augment",
    "augment_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_inference",
    "batch_norm_update",
    "channel_scale",
    "channel_scale_backward_input",
    "channel_scale_backward_weight",
    "clip_by_global_norm",
    "concatenate",
    "concatenate_backward",
    "confusion",
    "conv2d",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "conv2d_pool",
    "conv2d_pool_backward_input",
    "conv2d_pool_backward_weight",
    "crop2d",
    "dense",
    "dense_backward_bias",
    "dense_backward_input",
    "dense_backward_weight",
    "dense_update",
    "domain_distance",
    "domain_distance_backward",
    "dropout",
    "dropout_backward",
    "elu",
    "embedding",
    "embedding_backward",
    "exponential",
    "find_mask",
    "gather_rows",
    "gelu",
    "gradient_scale_backward",
    "gru",
    "gru_backward",
    "hard_sigmoid",
    "hardtanh",
    "histogram",
    "hopfield_asynchronous",
    "hopfield_energy",
    "hopfield_synchronous",
    "kernels",
    "leaky_relu",
    "linear",
    "lion",
    "local_response_normalization",
    "local_response_normalization_backward",
    "log_softmax",
    "log_softmax_backward",
    "loss",
    "loss_backward",
    "lstm",
    "lstm_backward",
    "mask_steps",
    "mask_steps_backward",
    "mask_weight",
    "max_pool2d",
    "max_pool2d_backward",
    "moments",
    "nadam",
    "ops",
    "pad2d",
    "penalty",
    "penalty_backward",
    "rbf_distance",
    "rbf_distance_backward_input",
    "rbf_distance_backward_weight",
    "rbf_gaussian",
    "rbf_gaussian_backward",
    "register",
    "relu",
    "reverse_mask",
    "rmsprop",
    "scaled_tanh",
    "scatter",
    "scatter_backward",
    "selu",
    "sgd",
    "sigmoid",
    "silu",
    "simple_rnn",
    "simple_rnn_backward",
    "softmax",
    "softmax_backward",
    "softplus",
    "softsign",
    "step",
    "tanh",
    "transpose",
    "unregister",
    "upsample2d",
    "upsample2d_backward",
]
