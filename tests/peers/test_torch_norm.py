"""Normalization against PyTorch, whose conventions differ where the tests say so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer

SHAPE = (8, 6, 5, 7)  # (N, H, W, C)


def channels_first(x: Any) -> Any:
    """A leaf of PyTorch's, (N, C, H, W)."""
    return torch.tensor(np.moveaxis(x, -1, 1).copy(), requires_grad=True)


def channels_last(t: Any) -> Any:
    return np.moveaxis(t.detach().numpy(), 1, -1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 1e-4)])
def test_batch_norm(dtype: str, rtol: float, training: bool) -> None:
    rng = np.random.default_rng(0)
    x, dy = (3 + 2 * rng.standard_normal((2, *SHAPE))).astype(dtype)
    gamma, beta, mean, variance = (0.5 + rng.random((4, SHAPE[-1]))).astype(dtype)
    peer = torch.nn.BatchNorm2d(SHAPE[-1], eps=1e-3, dtype=getattr(torch, dtype))
    with torch.no_grad():
        for own, value in (
            (peer.weight, gamma), (peer.bias, beta),
            (peer.running_mean, mean), (peer.running_var, variance),
        ):  # fmt: skip
            own.copy_(torch.tensor(value))
    peer.train(training)
    leaf = channels_first(x)
    out = peer(leaf)
    out.backward(channels_first(dy).detach())
    if training:
        y, mean, variance = ck.ops.batch_norm(x, gamma, beta)
    else:
        y = ck.ops.batch_norm_inference(x, mean, variance, gamma, beta)
    grads = ck.ops.batch_norm_backward(dy, x, mean, variance, gamma, training=training)
    expected = (channels_last(leaf.grad), peer.weight.grad.numpy(), peer.bias.grad.numpy())
    np.testing.assert_allclose(y, channels_last(out), rtol=rtol, atol=rtol)
    for got, wanted in zip(grads, expected, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=rtol * np.abs(wanted).max())


def test_moving_statistics() -> None:
    """PyTorch's momentum is 1 minus ours, and its running variance takes the unbiased one."""
    rng = np.random.default_rng(0)
    momentum, n = 0.9, int(np.prod(SHAPE[:-1]))
    x = (3 + 2 * rng.standard_normal((4 * SHAPE[0], *SHAPE[1:]))).astype(np.float32)
    model = ck.Sequential(
        [ck.Input(SHAPE[1:]), layers.BatchNormalization(momentum=momentum, name="norm")]
    )
    model.compile(ck.optimizers.SGD(0.0), "mse")
    model.fit(x, np.zeros_like(x), batch_size=SHAPE[0], shuffle=False, verbose=0)
    peer = torch.nn.BatchNorm2d(SHAPE[-1], eps=1e-3, momentum=1 - momentum)
    for start in range(0, len(x), SHAPE[0]):
        peer(channels_first(x[start : start + SHAPE[0]]))
    mean, variance = model.get_layer("norm").get_weights()[2:]
    np.testing.assert_allclose(mean, peer.running_mean.numpy(), rtol=1e-5)
    # Both began at 1, of which momentum**4 is left.
    left = momentum**4
    biased = left + (peer.running_var.numpy() - left) * (n - 1) / n
    np.testing.assert_allclose(variance, biased, rtol=1e-5)


def test_training_takes_the_same_steps() -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((64, 10)).astype(np.float32)
    t = rng.standard_normal((64, 3)).astype(np.float32)
    model = ck.Sequential([ck.Input((10,)), layers.Dense(3), layers.BatchNormalization()])
    model.compile(ck.optimizers.SGD(0.1), "mse")
    w, b = model.get_weights()[:2]
    peer = torch.nn.Sequential(
        torch.nn.Linear(10, 3), torch.nn.BatchNorm1d(3, eps=1e-3, momentum=0.01)
    )
    with torch.no_grad():
        peer[0].weight.copy_(torch.tensor(w.T))
        peer[0].bias.copy_(torch.tensor(b))
    optimizer = torch.optim.SGD(peer.parameters(), 0.1)
    losses = []
    for start in (*range(0, 64, 16),) * 5:
        optimizer.zero_grad()
        batch = slice(start, start + 16)
        loss = ((peer(torch.tensor(x[batch])) - torch.tensor(t[batch])) ** 2).mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach().item())
    history = model.fit(x, t, batch_size=16, epochs=5, shuffle=False, verbose=0)
    epochs = np.reshape(losses, (5, 4)).mean(axis=1)
    np.testing.assert_allclose(history.history["loss"], epochs, rtol=1e-5)
    np.testing.assert_allclose(model.get_weights()[0], peer[0].weight.detach().numpy().T, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 4, 5])
def test_local_response_normalization(size: int) -> None:
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal((2, *SHAPE))
    peer = torch.nn.LocalResponseNorm(size, alpha=0.7, beta=0.75, k=1.5)
    leaf = channels_first(x)
    out = peer(leaf)
    out.backward(channels_first(dy).detach())
    options: dict[str, Any] = {"size": size, "alpha": 0.7, "beta": 0.75, "k": 1.5}
    y = ck.ops.local_response_normalization(x, **options, alpha_per="size")
    dx = ck.ops.local_response_normalization_backward(dy, x, **options, alpha_per="size")
    np.testing.assert_allclose(y, channels_last(out), rtol=1e-12)
    np.testing.assert_allclose(dx, channels_last(leaf.grad), rtol=1e-11, atol=1e-13)
