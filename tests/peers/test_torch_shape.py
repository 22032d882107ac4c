"""A second opinion from PyTorch: transposed and depthwise convolutions, and bilinear upsampling."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer

RNG = np.random.default_rng(0)


def normal(*shape: int) -> Any:
    return RNG.standard_normal(shape).astype(np.float32)


def channels_first(x: Any) -> Any:
    return torch.tensor(x.transpose(0, 3, 1, 2).copy(), requires_grad=True)


def channels_last(x: Any) -> Any:
    return x.detach().numpy().transpose(0, 2, 3, 1)


def close(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kernel", "options", "theirs"),
    [
        (3, {}, {}),
        (3, {"strides": 2}, {"stride": 2}),
        (4, {"strides": 2, "padding": "same"}, {"stride": 2, "padding": 1}),
        (3, {"padding": "same"}, {"padding": 1}),
        (2, {"strides": 3, "output_padding": 2}, {"stride": 3, "output_padding": 2}),
        (3, {"dilation_rate": 2}, {"dilation": 2}),
        (
            3,
            {"strides": 2, "padding": "same", "output_padding": 0},
            {"stride": 2, "padding": 1},
        ),
    ],
    ids=str,
)
def test_conv2d_transpose(kernel: int, options: Any, theirs: Any) -> None:
    layer = layers.Conv2DTranspose(5, kernel, **options)
    model = ck.Sequential([ck.Input((6, 7, 3)), layer])
    w, b, x = normal(kernel, kernel, 5, 3), normal(5), normal(2, 6, 7, 3)
    model.set_weights([w, b])
    weight = torch.tensor(w.transpose(3, 2, 0, 1).copy())
    y = torch.nn.functional.conv_transpose2d(channels_first(x), weight, torch.tensor(b), **theirs)
    close(model.predict(x, verbose=0), channels_last(y))


@pytest.mark.parametrize("multiplier", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_depthwise(stride: int, multiplier: int) -> None:
    x, w, b = normal(2, 9, 8, 19), normal(3, 3, 19, multiplier), normal(19 * multiplier)
    options: Any = {"stride": stride, "padding": 1, "groups": 19}
    model = ck.Sequential(
        [
            ck.Input((9, 8, 19)),
            layers.DepthwiseConv2D(3, stride, padding=1, depth_multiplier=multiplier),
        ]
    )
    model.set_weights([w, b])
    their_x = channels_first(x)
    filters = w.reshape(3, 3, 1, -1).transpose(3, 2, 0, 1).copy()
    weight = torch.tensor(filters, requires_grad=True)
    y = torch.nn.functional.conv2d(their_x, weight, torch.tensor(b), **options)
    close(model.predict(x, verbose=0), channels_last(y))
    dy = normal(*channels_last(y).shape)
    y.backward(channels_first(dy).detach())
    grouped = w.reshape(3, 3, 1, -1)
    close(
        ck.ops.conv2d_backward_input(dy, grouped, x.shape, **options), channels_last(their_x.grad)
    )
    dw, db = ck.ops.conv2d_backward_weight(dy, x, grouped.shape, **options)
    close(dw, weight.grad.numpy().transpose(2, 3, 1, 0))
    close(db, dy.sum(axis=(0, 1, 2)))


@pytest.mark.parametrize("size", [2, 3, (4, 1)], ids=str)
@pytest.mark.parametrize("kind", ["nearest", "bilinear"])
def test_upsampling(kind: str, size: Any) -> None:
    x = normal(2, 5, 4, 3)
    their_x = channels_first(x)
    corners = {"align_corners": False} if kind == "bilinear" else {}
    factors = size if isinstance(size, tuple) else (size, size)
    scale = tuple(map(float, factors))
    y = torch.nn.functional.interpolate(their_x, scale_factor=scale, mode=kind, **corners)
    close(ck.ops.upsample2d(x, size, kind), channels_last(y))
    dy = normal(*channels_last(y).shape)
    y.backward(channels_first(dy).detach())
    close(ck.ops.upsample2d_backward(dy, size, kind), channels_last(their_x.grad))
