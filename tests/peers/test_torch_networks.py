"""PyTorch as a second opinion: whole networks with the same weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

import convkit as ck
from convkit import layers, models

torch = pytest.importorskip("torch")
DOUBLE, SINGLE = torch.float64, torch.float32
pytestmark = pytest.mark.peer

EPS = 2.0**-24

NETWORKS: dict[str, Any] = {
    "lenet5": (lambda: models.lenet5(), 8),
    "lenet5 caffe": (lambda: models.lenet5("caffe"), 8),
    "alexnet torchvision": (lambda: models.alexnet("torchvision"), 2),
    "alexnet 2012": (lambda: models.alexnet("2012"), 2),
    "alexnet cifar": (lambda: models.alexnet("cifar"), 8),
    "vgg16": (lambda: models.vgg16(), 1),
    "vgg11 cifar": (lambda: models.vgg11("cifar"), 16),
}


def without_dropout(model: Any) -> Any:
    """The same layers, as nobody draws PyTorch's masks."""
    kept = [layer for layer in model.layers if not isinstance(layer, layers.Dropout)]
    return ck.Sequential([ck.Input(model.input_shape[1:]), *kept])


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_gradients_are_those_of_pytorch(name: str) -> None:
    """Against PyTorch in float64, by the norm of each array.

    Each layer rounds its sums and passes on the errors of the layers before it, so that errors
    grow with the depth: 64 units of roundoff for each layer with weights, forward and back. Where
    a rounding turns a ReLU or the winner of a pooling, gradients jump: there the error may be four
    times that of PyTorch in float32.
    """
    from convkit.bench.peers.torch_twin import twin

    build, batch = NETWORKS[name]
    ck.set_seed(0)
    model = without_dropout(build())
    model.compile(ck.optimizers.SGD(0.0), "sparse_categorical_crossentropy", keep_grads=True)
    model.build()
    rng = np.random.default_rng(1)
    x = rng.standard_normal((batch, *model.input_shape[1:])).astype(np.float32)
    y = rng.integers(0, model.output_shape[-1], batch)
    twins = [twin(model).to(dtype) for dtype in (DOUBLE, SINGLE)]  # a step moves averages
    found = model.predict(x, verbose=0)
    (our_loss,) = np.ravel(model.train_on_batch(x, y))
    ours = [model.store.gradient(p).astype(np.float64) for p in model.parameters if p.trainable]
    exact, single = (run(net, model, x, y) for net in twins)
    depth = sum(1 for layer in model.layers if layer.trainable_weights)
    bound = 64 * EPS * depth
    assert distance(found, exact.output) <= bound
    assert abs(our_loss - exact.loss) <= bound * exact.loss
    names = [p.path for p in model.parameters if p.trainable]
    for name, a, b, c in zip(names, ours, exact.gradients, single.gradients, strict=True):
        allowed = max(bound, 4 * distance(c, b))
        error = distance(a, b)
        assert error <= allowed, f"{name}: {error / EPS:.0f} units, {allowed / EPS:.0f} allowed"


class Run(NamedTuple):
    output: Any
    loss: float
    gradients: list[Any]


def run(net: Any, model: Any, x: Any, y: Any) -> Run:
    """The softmax of a twin's output, the mean cross-entropy, and the gradients."""
    from convkit.bench.peers.torch_twin import gradients, images

    dtype = next(net.parameters()).dtype
    net.eval()
    with torch.no_grad():
        output = torch.softmax(net(images(x).to(dtype)), dim=1).numpy()
    net.train()
    loss = torch.nn.CrossEntropyLoss()(net(images(x).to(dtype)), torch.from_numpy(y))
    loss.backward()
    return Run(output, loss.item(), gradients(net, model))


def distance(a: Any, b: Any) -> float:
    """Of a from b, relative to the norm of b."""
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))
