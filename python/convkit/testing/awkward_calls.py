"""Every op on shapes that kernels trip over: 1, primes, nothing, rests of vectors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from convkit.ops import registry
from convkit.ops.accuracy import ACCURACIES
from convkit.ops.activation import FROM_OUTPUT, KINDS
from convkit.ops.loss import LOSSES
from convkit.ops.through import goes_through
from convkit.testing import calls
from convkit.testing.augment_calls import awkward_augment
from convkit.testing.calls import Call, Shape
from convkit.testing.conv2d_pool_calls import awkward_conv2d_pool
from convkit.testing.hopfield_calls import awkward_hopfield
from convkit.testing.metric_calls import awkward_confusion, awkward_histogram, awkward_moments
from convkit.testing.normalization_calls import (
    awkward_batch_norm,
    awkward_channel_scale,
    awkward_lrn,
)
from convkit.testing.pad2d_calls import awkward_pad2d
from convkit.testing.rbf_calls import awkward_rbf, awkward_scatter
from convkit.testing.rnn_calls import awkward_rnn
from convkit.testing.sequence_calls import awkward_embedding, awkward_mask
from convkit.testing.transfer_calls import awkward_domain_distance, awkward_gradient_scale
from convkit.testing.transpose_calls import awkward_transpose
from convkit.testing.update_calls import dense_update_calls, update_calls
from convkit.testing.upsample2d_calls import awkward_upsample2d

CONV2D: dict[str, tuple[Shape, Shape, dict[str, Any]]] = {
    "size 1": ((1, 1, 1, 1), (1, 1, 1, 1), {}),
    "primes": ((3, 11, 13, 7), (3, 5, 7, 5), {"padding": (1, 2)}),
    "stride over filter": ((2, 10, 11, 3), (1, 2, 3, 4), {"stride": (3, 4)}),
    "filter as large as the image": ((2, 5, 6, 3), (5, 6, 3, 8), {}),
    "1 x 1, stride 2": ((2, 8, 9, 16), (1, 1, 16, 32), {"stride": 2}),
    "dilation": ((2, 12, 11, 4), (3, 3, 4, 6), {"dilation": 2, "padding": 2}),
    "dilation, one channel": ((17, 16, 5, 1), (2, 2, 1, 4), {"dilation": 2}),
    "groups": ((2, 8, 7, 12), (3, 3, 4, 9), {"groups": 3, "padding": 1}),
    "groups of 16": ((1, 6, 6, 32), (3, 3, 16, 32), {"groups": 2, "padding": 1}),
    "depthwise": ((2, 9, 8, 19), (3, 3, 1, 19), {"groups": 19, "padding": 1}),
    "depthwise, dilation": (
        (1, 9, 11, 16),
        (2, 3, 1, 16),
        {"groups": 16, "dilation": (3, 2), "padding": ((4, 0), (1, 5))},
    ),
    "depthwise, stride 2": ((2, 9, 8, 33), (3, 3, 1, 33), {"groups": 33, "stride": 2}),
    "uneven padding": ((2, 6, 7, 3), (3, 4, 3, 5), {"padding": ((2, 0), (1, 3))}),
    "padding over the filter": ((1, 3, 4, 2), (2, 2, 2, 3), {"padding": ((5, 4), (3, 6))}),
    "same, stride 2": ((2, 9, 10, 3), (4, 3, 3, 8), {"padding": "same", "stride": 2}),
    "empty batch": ((0, 5, 5, 3), (3, 3, 3, 4), {"padding": 1}),
    "15 to 31 channels": ((1, 9, 10, 15), (3, 3, 15, 31), {"padding": 1}),
    "17 to 33 channels": ((2, 6, 5, 17), (3, 3, 17, 33), {"padding": 1}),
    "long row": ((1, 2, 131, 3), (2, 3, 3, 5), {"padding": ((0, 0), (1, 1))}),
    "6 to 16 channels, 5 x 5": ((2, 9, 14, 6), (5, 5, 6, 16), {}),
    "12 images of 3 channels": ((12, 5, 10, 3), (3, 3, 3, 5), {"padding": 1}),
    "no bias": ((2, 6, 7, 5), (3, 3, 5, 9), {"bias": False, "padding": 1}),
}
DENSE: dict[str, tuple[Shape, int, int]] = {
    "size 1": ((1,), 1, 1),
    "one sample": ((), 5, 3),
    "primes": ((13,), 17, 19),
    "sequences": ((3, 5), 7, 11),
    "15 to 31 features": ((6,), 15, 31),
    "17 to 33 features": ((65,), 17, 33),
    "one class": ((9,), 40, 1),
    "one feature": ((9,), 1, 40),
    "long sum": ((2,), 1009, 3),
    "empty batch": ((0,), 4, 3),
}
POOL2D: dict[str, tuple[Shape, dict[str, Any]]] = {
    "size 1": ((1, 1, 1, 1), {"size": 1}),
    "primes": ((3, 11, 13, 7), {"size": (3, 5), "stride": (2, 3), "padding": (1, 2)}),
    "overlapping": ((2, 9, 10, 5), {"size": 3, "stride": 1, "padding": 1}),
    "stride over window": ((2, 11, 13, 3), {"size": 2, "stride": (3, 4)}),
    "rest left over": ((1, 7, 9, 19), {"size": 2}),
    "uneven padding": ((2, 6, 7, 3), {"size": 3, "stride": 2, "padding": ((2, 0), (0, 1))}),
    "same": ((1, 7, 10, 4), {"size": 3, "stride": 2, "padding": "same"}),
    "global": ((3, 5, 7, 33), {"size": "global"}),
    "more than 256 positions": ((1, 20, 18, 3), {"size": 17, "stride": 1}),
    "empty batch": ((0, 4, 4, 3), {"size": 2}),
    "17 channels": ((2, 4, 4, 17), {"size": 2}),
    "six channels": ((2, 6, 28, 6), {"size": 2}),
    "nine channels, long row": ((1, 3, 501, 9), {"size": 2, "padding": (0, 1)}),
    "2100 channels": ((1, 2, 4, 2100), {"size": (1, 2)}),
}
# For ops that work element by element.
MAPS: dict[str, Shape] = {
    "size 1": (1,),
    "primes": (3, 5, 7, 11),
    "15": (15,),
    "16": (16,),
    "33": (33,),
    "many": (5, 1009),
    "empty batch": (0, 5),
}
# Rows and classes.
ROWS: dict[str, tuple[int, int]] = {
    "size 1": (1, 1),
    "one class": (5, 1),
    "two classes": (7, 2),
    "primes": (13, 17),
    "15 classes": (4, 15),
    "33 classes": (3, 33),
    "many classes": (3, 1009),
    "empty batch": (0, 4),
}
PARTS: dict[str, tuple[tuple[Shape, ...], int]] = {
    "one part": (((2, 3),), 1),
    "size 1": (((1, 1), (1, 1)), 0),
    "primes": (((3, 5, 7), (3, 5, 11), (3, 5, 13)), 2),
    "first axis": (((3, 17), (1, 17)), 0),
    "middle axis": (((2, 5, 9), (2, 1, 9)), 1),
    "an empty part": (((4, 0), (4, 15)), 1),
    "empty batch": (((0, 3), (0, 4)), 1),
}
GATHERS: dict[str, tuple[Shape, int, dict[str, Any]]] = {
    "one value": ((1,), 1, {}),
    "in order": ((13, 7), 13, {}),
    "end of the index": ((13, 7), 3, {"sample": 10}),
    "scale and offset": ((11, 5, 3), 7, {"sample": 2, "scale": 1 / 255, "offset": -0.5}),
    "nothing": ((5, 3), 0, {"sample": 1}),
    "long rows": ((3, 5003), 2, {"sample": 1}),
}


def awkward_calls(op: str) -> list[Call]:
    """All passes of an op on a fixed list of awkward shapes.

    Raises
    ------
    ValueError
        If the op is unknown.
    """
    return [call for found in _CALLS[registry.get(op).name]() for call in found]


def _conv2d() -> list[list[Call]]:
    found = [calls.conv2d(name, x, w, **options) for name, (x, w, options) in CONV2D.items()]
    x, w = (2, 5, 6, 3), (3, 3, 3, 17)
    fused = [calls.conv2d(f"with {k}", x, w, activation=k, padding=1)[:1] for k in KINDS]
    found += fused
    return _with_through(found)


def _dense() -> list[list[Call]]:
    found = [calls.dense(name, *shape) for name, shape in DENSE.items()]
    fused = [calls.dense(f"with {k}", (5,), 7, 19, activation=k)[:1] for k in KINDS]
    found += [calls.dense("no bias", (5,), 7, 19, bias=False), *fused]
    return _with_through(found)


def _with_through(found: list[list[Call]]) -> list[list[Call]]:
    """The passes that make dx once more, each through another activation that gave their input."""
    able = [call for made in found for call in made if goes_through(call.op, call.pass_name)]
    kinds = itertools.cycle([kind for kind in KINDS if kind in FROM_OUTPUT and kind != "linear"])
    return [*found, [calls.through(call, kind) for call, kind in zip(able, kinds)]]


def _pool2d() -> list[list[Call]]:
    shapes = POOL2D.items()
    padded = {"size": 3, "padding": 1, "count_include_pad": True}
    found = [
        *(calls.pool2d(name, k, x, **o) for name, (x, o) in shapes for k in ("max", "average")),
        calls.pool2d("padding counts", "average", (2, 6, 7, 3), **padded),
    ]
    return _with_through(found)


def _losses(builder: Callable[..., list[Call]], kinds: tuple[str, ...]) -> list[list[Call]]:
    return [
        builder(f"{kind}, {name}" + (", weights" if weighted else ""), kind, s, weighted=weighted)
        for kind in kinds
        for name, s in ROWS.items()
        for weighted in ((False, True) if name == "primes" else (False,))
    ]


def _gather_rows() -> list[list[Call]]:
    return [
        calls.gather_rows(f"{name}, {source}", shape, count, source=source, **options)
        for name, (shape, count, options) in GATHERS.items()
        for source in ("float32", "uint8", "int32")
    ]


_CALLS: dict[str, Callable[[], list[list[Call]]]] = {
    "accuracy": lambda: _losses(calls.accuracy, ACCURACIES),
    "activation": lambda: [
        calls.activation(f"{k}, {name}", k, s) for k in KINDS for name, s in MAPS.items()
    ],
    "add": lambda: [calls.add(name, s) for name, s in MAPS.items()],
    "augment": awkward_augment,
    "batch_norm": awkward_batch_norm,
    "channel_scale": awkward_channel_scale,
    "concatenate": lambda: [calls.concatenate(name, *p) for name, p in PARTS.items()],
    "confusion": lambda: awkward_confusion(ROWS),
    "conv2d": _conv2d,
    "conv2d_pool": lambda: _with_through(awkward_conv2d_pool()),
    "dense": _dense,
    "dense_update": lambda: [dense_update_calls(name, *shape) for name, shape in DENSE.items()],
    "domain_distance": awkward_domain_distance,
    "dropout": lambda: [
        calls.dropout(f"{name}, rate {r}", s, r) for name, s in MAPS.items() for r in (0.0, 0.3)
    ],
    "embedding": awkward_embedding,
    "gather_rows": _gather_rows,
    "gradient_scale": awkward_gradient_scale,
    "histogram": lambda: awkward_histogram(ROWS),
    "hopfield": awkward_hopfield,
    "loss": lambda: _losses(calls.loss, LOSSES),
    "lrn": awkward_lrn,
    "mask": awkward_mask,
    "moments": lambda: awkward_moments(ROWS),
    "pad2d": awkward_pad2d,
    "penalty": lambda: [calls.penalty(f"{n} values", n) for n in (0, 1, 15, 16, 33, 1009)],
    "pool2d": _pool2d,
    "rbf": awkward_rbf,
    "rnn": awkward_rnn,
    "scatter": awkward_scatter,
    "softmax": lambda: [calls.softmax(name, s) for name, s in ROWS.items()],
    "transpose": awkward_transpose,
    "update": lambda: [update_calls(f"{n} parameters", n) for n in (0, 1, 15, 16, 33, 1009)],
    "upsample2d": awkward_upsample2d,
}
