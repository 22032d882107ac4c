"""PyTorch as a second opinion: recurrent layers with the same weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.peer

EPS = 2.0**-24
N, T, C, H = 5, 20, 7, 12


def gates(w: Any, kind: str) -> Any:
    """Columns (or values) of PyTorch's weights in Keras's order of gates."""
    if kind != "GRU":
        return w
    r, z, n = np.split(w, 3, axis=-1)
    return np.concatenate([z, r, n], axis=-1)


def build(kind: str, depth: int, activation: str) -> tuple[Any, Any]:
    options: dict[str, Any] = {"return_sequences": True, "recurrent_bias": True}
    if kind == "SimpleRNN":
        options["activation"] = activation
        peer = torch.nn.RNN(C, H, depth, nonlinearity=activation, batch_first=True)
    else:
        peer = getattr(torch.nn, kind)(C, H, depth, batch_first=True)
    if kind == "GRU":  # its two biases are Keras's too
        del options["recurrent_bias"]
    peer = peer.double()
    model = ck.Sequential([ck.Input((T, C))])
    for _ in range(depth):
        model.add(getattr(layers, kind)(H, **options))
    weights = []
    for k in range(depth):
        w, u, b, c = (p.detach().numpy() for p in peer.all_weights[k])
        weights += [gates(w.T, kind), gates(u.T, kind), np.stack([gates(b, kind), gates(c, kind)])]
    model.compile(ck.optimizers.SGD(0.0), "mse", keep_grads=True)
    model.build()
    model.set_weights(weights)
    # Both begin with the weights that float32 can hold.
    for k in range(depth):
        w, u, b = (a.astype("f8") for a in model.get_weights()[3 * k : 3 * k + 3])
        with torch.no_grad():
            for p, a in zip(peer.all_weights[k], (w.T, u.T, b[0], b[1]), strict=True):
                a = ungated(a.T, kind).T
                p.copy_(torch.from_numpy(np.ascontiguousarray(a)))
    return model, peer


def ungated(w: Any, kind: str) -> Any:
    if kind != "GRU":
        return w
    z, r, n = np.split(w, 3, axis=-1)
    return np.concatenate([r, z, n], axis=-1)


@pytest.mark.parametrize(
    ("kind", "depth", "activation"),
    [
        ("SimpleRNN", 1, "tanh"),
        ("SimpleRNN", 2, "relu"),
        ("LSTM", 1, ""),
        ("LSTM", 2, ""),
        ("GRU", 1, ""),
        ("GRU", 2, ""),
    ],
)
def test_recurrent_layers(kind: str, depth: int, activation: str) -> None:
    """Outputs and gradients against PyTorch in float64, by the norm of each array.

    Errors are passed on from step to step: 16 units of roundoff for each step and layer.
    """
    ck.set_seed(0)
    torch.manual_seed(0)
    model, peer = build(kind, depth, activation)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((N, T, C)).astype(np.float32)
    t = rng.standard_normal((N, T, H)).astype(np.float32)
    bound = 16 * EPS * T * depth
    y, _ = peer(torch.from_numpy(x.astype("f8")))
    expected = y.detach().numpy()
    found = model.predict(x, verbose=0)
    assert np.linalg.norm(found - expected) <= bound * np.linalg.norm(expected)
    torch.nn.MSELoss()(y, torch.from_numpy(t.astype("f8"))).backward()
    model.train_on_batch(x, t)
    ours = [model.store.gradient(p).astype(np.float64) for p in model.parameters]
    for k in range(depth):
        w, u, b, c = (p.grad.numpy() for p in peer.all_weights[k])
        theirs = [gates(w.T, kind), gates(u.T, kind), np.stack([gates(b, kind), gates(c, kind)])]
        for a, g in zip(ours[3 * k : 3 * k + 3], theirs, strict=True):
            assert np.linalg.norm(a - g) <= bound * np.linalg.norm(g)
