"""Every op on the layers of real networks: what checks and benchmarks run over."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

from convkit.ops import registry
from convkit.ops.accuracy import ACCURACIES
from convkit.ops.loss import LOSSES
from convkit.testing import calls
from convkit.testing.augment_calls import named_augment
from convkit.testing.calls import Call, distinct
from convkit.testing.conv2d_pool_calls import named_conv2d_pool
from convkit.testing.hopfield_calls import named_hopfield
from convkit.testing.metric_calls import named_confusion, named_histogram, named_moments
from convkit.testing.named_layers import (
    ACTIVATION_LAYERS,
    ALEXNET_2012_CONV,
    CONV_LAYERS,
    DENSE_LAYERS,
    LENET_CONV,
    POOL_LAYERS,
    SOFTMAX_LAYERS,
    Conv,
    Dense,
)
from convkit.testing.normalization_calls import named_batch_norm, named_channel_scale, named_lrn
from convkit.testing.pad2d_calls import named_pad2d
from convkit.testing.rbf_calls import named_rbf, named_scatter
from convkit.testing.rnn_calls import named_rnn
from convkit.testing.sequence_calls import named_embedding, named_mask
from convkit.testing.transfer_calls import named_domain_distance, named_gradient_scale
from convkit.testing.transpose_calls import named_transpose
from convkit.testing.update_calls import dense_update_calls, update_calls
from convkit.testing.upsample2d_calls import named_upsample2d

# Images in a batch, by network: what training uses, or what a reference can follow.
BATCH = {"lenet": 128, "alexnet": 8, "alexnet2012": 8, "vgg16": 1, "mobilenet": 8}
# What keeps a NumPy reference well under a second: operations of a convolution, weights of a dense
# layer, elements of a map.
FLOPS, WEIGHTS, ELEMENTS = 80_000_000, 1 << 21, 1 << 18
# Rules that keep up to three numbers of state for each weight leave no room for VGG's first layer.
UPDATED_LAYERS = tuple(layer for layer in DENSE_LAYERS if layer.c * layer.k < 1 << 26)


def batch_of(layer: str) -> int:
    """Batch size for a layer, by its network."""
    return BATCH[layer.partition(".")[0]]


def calls_of(op: str, *, small: bool = False) -> list[Call]:
    """All passes of an op on the layers of real networks.

    Parameters
    ----------
    op : str
    small : bool
        Scale down what would keep a NumPy reference busy for a second, and leave channels,
        filters and strides as they are where that is possible.

    Returns
    -------
    list of Call
        With equal layers once.

    Raises
    ------
    ValueError
        If the op is unknown, or has no kernels.
    """
    if registry.get(op).python_only:
        raise ValueError(f"[{op}] has no kernels to check or to race: it is what a user brings")
    return _CALLS[op](small)


def conv2d(layers: Iterable[Conv], small: bool = False) -> list[Call]:
    """All passes of convolutions."""
    found = []
    for layer in distinct((layer.scaled(FLOPS) if small else layer for layer in layers), _shapes):
        n = batch_of(layer.name)
        if small:
            n = min(n, max(1, FLOPS // layer.flops()))
        x, name = (n, layer.h, layer.w, layer.c), f"{layer.name}, batch {n}"
        name += f", {layer.h} x {layer.w}" if small else ""
        options: dict[str, Any] = {
            "stride": layer.stride,
            "padding": layer.padding,
            "groups": layer.groups,
        }
        found += calls.conv2d(name, x, layer.w_shape, **options)
    return found


def dense(
    layers: Iterable[Dense],
    small: bool = False,
    make: Callable[[str, tuple[int, ...], int, int], list[Call]] = calls.dense,
    weights: int = WEIGHTS,
) -> list[Call]:
    """All passes of fully connected layers."""
    found: list[Call] = []
    seen: set[tuple[int, int]] = set()
    for layer in distinct(layers, _shapes):
        c, k = layer.c, layer.k
        while small and c * k > weights:
            c, k = (c + 1) // 2, (k + 1) // 2
        n = max(32, batch_of(layer.name))
        scaled = "" if c == layer.c else f", scaled to {c} x {k}"
        made = make(f"{layer.name}, batch {n}{scaled}", (n,), c, k)
        # The gradient of the bias knows nothing of C.
        found += [m for m in made if m.pass_name != "backward_bias" or (n, layer.k) not in seen]
        seen.add((n, layer.k))
    return found


def _shapes(layer: Any) -> Any:
    """All of a layer but its name."""
    return layer[1:]


def _map(layer: Any, small: bool) -> tuple[int, int, int, int]:
    """Shape of a batch of a layer's inputs."""
    n, h, w = batch_of(layer.name), layer.h, layer.w
    while small and n > 1 and n * h * w * layer.c > ELEMENTS:
        n //= 2
    while small and n * h * w * layer.c > ELEMENTS:
        h, w = (h + 1) // 2, (w + 1) // 2
    return n, h, w, layer.c


def _outputs(small: bool) -> list[tuple[str, calls.Shape]]:
    """What the convolutions give, by name."""
    maps = ((layer.name, _map(layer, small)) for layer in ACTIVATION_LAYERS)
    return [(f"{name}, batch {x[0]}", x) for name, x in maps if x[1:3] != (1, 1)]


def _pool2d(small: bool) -> list[Call]:
    found = []
    for layer in distinct(POOL_LAYERS, _shapes):
        x = _map(layer, small)
        name = f"{layer.name}, batch {x[0]}"
        found += calls.pool2d(name, layer.kind, x, size=layer.size, stride=layer.stride)
        found.append(calls.through(found[-1], "tanh" if "lenet" in layer.name else "relu"))
    return found


def _activation(small: bool) -> list[Call]:
    found = []
    for layer in ACTIVATION_LAYERS:
        x = _map(layer, small)
        name = f"{layer.kind} of {layer.name}, batch {x[0]}"
        found += calls.activation(name, layer.kind, x)
    return found


def _softmax(small: bool) -> list[Call]:
    named = [calls.softmax(f"{s.name}, batch 128", (128, s.k)) for s in SOFTMAX_LAYERS]
    return [call for found in named for call in found]


def _loss(small: bool) -> list[Call]:
    return [
        call
        for layer in SOFTMAX_LAYERS
        for kind in LOSSES
        for call in calls.loss(f"{kind} of 128 x {layer.k}", kind, (128, layer.k))
    ]


def _accuracy(small: bool) -> list[Call]:
    return [
        call
        for layer in SOFTMAX_LAYERS
        for kind in ACCURACIES
        for call in calls.accuracy(f"{kind}, 128 x {layer.k}", kind, (128, layer.k))
    ]


def _dropout(small: bool) -> list[Call]:
    found = []
    for layer in DENSE_LAYERS:
        n = min(128, ELEMENTS // layer.c) if small else 128
        found += calls.dropout(f"input of {layer.name}, batch {n}", (n, layer.c))
    return found


def _add(small: bool) -> list[Call]:
    """Maps that a residual connection would join."""
    found = calls.add("lenet.conv2, batch 128", (128, 14, 14, 6))
    joined = [layer for layer in CONV_LAYERS if layer.c == layer.k]
    for layer in distinct(joined, lambda layer: _map(layer, small)):
        x = _map(layer, small)
        found += calls.add(f"{layer.name}, batch {x[0]}", x)
    return found


def _concatenate(small: bool) -> list[Call]:
    """The maps of two towers."""
    found = []
    for layer in (*LENET_CONV, *ALEXNET_2012_CONV):
        n, h, w, k = _map(layer._replace(c=layer.k), small)
        half = (n, h, w, k // 2)
        found += calls.concatenate(f"two halves of {layer.name}, batch {n}", (half, half), 3)
    return found


def _gather_rows(small: bool) -> list[Call]:
    """Batches of real data sets."""
    found = []
    for name, sample, source, target, scale in (
        ("MNIST images", (28, 28, 1), "uint8", "float32", 1 / 255),
        ("MNIST images, floats", (28, 28, 1), "float32", "float32", 1.0),
        ("CIFAR-10 images", (32, 32, 3), "uint8", "float32", 1 / 255),
        ("labels", (), "int64", "int32", 1.0),
    ):
        rows = min(8192, max(256, ELEMENTS // math.prod(sample))) if small else 8192
        options: dict[str, Any] = {
            "source": source,
            "target": target,
            "scale": scale,
            "sample": rows // 2,
        }
        found += calls.gather_rows(f"{name}, batch 128", (rows, *sample), 128, **options)
    return found


def _flat(make: Callable[[str, int], list[Call]], small: bool) -> list[Call]:
    """The parameters of whole networks and of a large layer."""
    sizes = {"lenet5": 61_706, "mlp 784-128-10": 101_770, "alexnet.fc7": 4096 * 4097}
    found = []
    for name, n in sizes.items():
        found += make(name, min(n, ELEMENTS) if small else n)
    return found


_CALLS: dict[str, Callable[[bool], list[Call]]] = {
    "accuracy": _accuracy,
    "activation": _activation,
    "add": _add,
    "augment": lambda small: named_augment(lambda layer: _map(layer, small)),
    "batch_norm": lambda small: named_batch_norm(_outputs(small)),
    "channel_scale": lambda small: named_channel_scale(_outputs(small)),
    "concatenate": _concatenate,
    "confusion": named_confusion,
    "conv2d": lambda small: conv2d(CONV_LAYERS, small),
    "conv2d_pool": lambda small: named_conv2d_pool(small, batch_of, FLOPS),
    "dense": lambda small: dense(DENSE_LAYERS, small),
    "dense_update": lambda small: dense(UPDATED_LAYERS, small, dense_update_calls, WEIGHTS // 4),
    "domain_distance": named_domain_distance,
    "dropout": _dropout,
    "embedding": named_embedding,
    "gather_rows": _gather_rows,
    "gradient_scale": named_gradient_scale,
    "histogram": named_histogram,
    "hopfield": named_hopfield,
    "loss": _loss,
    "lrn": named_lrn,
    "mask": named_mask,
    "moments": named_moments,
    "pad2d": lambda small: named_pad2d(lambda layer: _map(layer, small)),
    "penalty": lambda small: _flat(calls.penalty, small),
    "pool2d": _pool2d,
    "rbf": named_rbf,
    "rnn": named_rnn,
    "scatter": named_scatter,
    "softmax": _softmax,
    "transpose": lambda small: named_transpose(lambda layer: _map(layer, small)),
    "update": lambda small: _flat(update_calls, small),
    "upsample2d": lambda small: named_upsample2d(lambda layer: _map(layer, small)),
}
