"""Losses against PyTorch, where the definitions coincide or differ by a stated factor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from convkit import losses, ops

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer
F = torch.nn.functional
SHAPE = (33, 7)


def data(kind: str) -> tuple[Any, Any]:
    """Targets and predictions."""
    rng = np.random.default_rng(0)
    p, t = 3 * rng.standard_normal((2, *SHAPE))
    if kind == "labels":
        return rng.integers(0, SHAPE[1], SHAPE[0]), p
    if kind == "binary":
        return rng.integers(0, 2, SHAPE).astype(float), p
    if kind == "soft":
        return rng.random(SHAPE), p
    if kind == "signs":
        return np.sign(t), p
    if kind == "distributions":
        e = np.exp(np.stack([t, p]) / 3)
        return tuple(e / e.sum(axis=-1, keepdims=True))
    if kind == "counts":
        return rng.poisson(3, SHAPE).astype(float), np.abs(p) + 0.1
    return t, p


def probability_of_target(p: Any, t: Any) -> Any:
    q = torch.sigmoid(p)
    return t * q + (1 - t) * (1 - q)


def binary_focal(p: Any, t: Any) -> Any:
    """As torchvision.ops.sigmoid_focal_loss has it."""
    entropy = F.binary_cross_entropy_with_logits(p, t, reduction="none")
    weight = 0.25 * t + 0.75 * (1 - t)
    return (weight * (1 - probability_of_target(p, t)) ** 2 * entropy).mean()


def categorical_focal(p: Any, t: Any) -> Any:
    log_q = torch.log_softmax(p, -1).gather(1, t[:, None])[:, 0]
    return (0.25 * (1 - log_q.exp()) ** 2 * -log_q).mean()


# Name: (our loss, targets, PyTorch's mean of it).
PAIRS: dict[str, tuple[losses.Loss, str, Callable[[Any, Any], Any]]] = {
    "sparse cross-entropy": (
        losses.SparseCategoricalCrossentropy(True), "labels", F.cross_entropy,
    ),
    "smoothed cross-entropy": (
        losses.CategoricalCrossentropy(True, 0.1), "distributions",
        lambda p, t: F.cross_entropy(p, t, label_smoothing=0.1),
    ),
    "binary cross-entropy": (
        losses.BinaryCrossentropy(True), "soft", F.binary_cross_entropy_with_logits,
    ),
    "binary cross-entropy, smoothed": (
        losses.BinaryCrossentropy(True, 0.2), "binary",
        lambda p, t: F.binary_cross_entropy_with_logits(p, 0.8 * t + 0.1),
    ),
    "binary focal": (
        losses.BinaryFocalCrossentropy(True, from_logits=True), "binary", binary_focal,
    ),
    "categorical focal": (
        losses.SparseCategoricalFocalCrossentropy(from_logits=True), "labels", categorical_focal,
    ),
    "squared error": (losses.MeanSquaredError(), "numbers", F.mse_loss),
    "sum of squares": (
        losses.SumSquaredError(), "numbers", lambda p, t: F.mse_loss(p, t, reduction="sum"),
    ),
    "root": (losses.RootMeanSquaredError(), "numbers", lambda p, t: F.mse_loss(p, t).sqrt()),
    "absolute error": (losses.MeanAbsoluteError(), "numbers", F.l1_loss),
    "huber": (losses.Huber(1.5), "numbers", lambda p, t: F.huber_loss(p, t, delta=1.5)),
    "log cosh": (losses.LogCosh(), "numbers", lambda p, t: torch.log(torch.cosh(p - t)).mean()),
    "divergence": (
        losses.KLDivergence(), "distributions",
        lambda p, t: F.kl_div(p.log(), t, reduction="batchmean"),
    ),
    "poisson": (
        losses.Poisson(), "counts",
        lambda p, t: F.poisson_nll_loss(p, t, log_input=False, eps=1e-7),
    ),
    "hinge": (
        # max(0, 1 - p t) is PyTorch's embedding loss of the distance p t for targets of -1.
        losses.Hinge(), "signs",
        lambda p, t: F.hinge_embedding_loss(p * t, -torch.ones_like(t), margin=1.0),
    ),
    "cosine": (
        losses.CosineSimilarity(), "numbers", lambda p, t: -F.cosine_similarity(p, t).mean(),
    ),
    "cosine distance": (
        losses.CosineSimilarity(), "numbers",
        lambda p, t: F.cosine_embedding_loss(p, t, torch.ones(len(p))) - 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-12), ("float32", 2e-5)])
@pytest.mark.parametrize("name", PAIRS)
def test_loss_and_gradient(name: str, dtype: str, rtol: float) -> None:
    loss, kind, peer = PAIRS[name]
    t, p = data(kind)
    p = np.asarray(p, dtype)
    t = t if kind == "labels" else np.asarray(t, dtype)
    leaf = torch.tensor(p, requires_grad=True)
    value = peer(leaf, torch.tensor(t))
    value.backward()
    assert loss(t, p) == pytest.approx(value.item(), rel=rtol)
    scale = 1.0 if loss.reduction == "sum" else 1 / len(p)
    smoothing = loss.label_smoothing
    _, _, dp = ops.loss_backward(p, t, loss.kind, None, smoothing, scale, **loss.op_options)
    wanted = leaf.grad.numpy()
    np.testing.assert_allclose(dp, wanted, rtol=10 * rtol, atol=rtol * np.abs(wanted).max())
