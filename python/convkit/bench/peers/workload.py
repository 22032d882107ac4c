"""What a contender computes: the same network, weights, data and optimizer for everybody."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

import convkit as ck
from convkit import layers
from convkit.ops.registry import Array

__all__ = ["ADAM_EPSILON", "Workload", "changes", "without_dropout"]

# Keras and PyTorch add epsilon before and after the bias correction; at their defaults the first
# steps would differ by percents, and there would be no telling a mistake from that.
ADAM_EPSILON = 1e-12


@dataclass(frozen=True)
class Workload:
    """Steps of a network.

    Attributes
    ----------
    network : str
        A name of `convkit.models`.
    options : dict
        Arguments of its builder.
    batch : int
    mode : str
        "train", or "predict" for outputs of one batch after the other.
    optimizer : str
        "momentum" (SGD, 0.9) or "adam".
    rate : float
        Its learning rate.
    compared : int
        Training steps whose losses are compared.
    samples : int
        In the data, at least; 2 batches in any case.
    device : str
        "cpu" or "cuda": where weights and data are, for everybody.
    precision : str
        What products on a GPU may round their operands to: "full" (nothing), "tf32" or "bf16".
    """

    network: str
    batch: int
    options: dict[str, Any] = field(default_factory=dict)
    mode: str = "train"
    optimizer: str = "momentum"
    rate: float = 0.01
    compared: int = 8
    samples: int = 2048
    device: str = "cpu"
    precision: str = "full"

    def model(self) -> Any:
        """The network, built, its weights the same in every process."""
        ck.set_seed(0)
        model = ck.models.get(self.network)(**self.options)
        model.build()
        return model

    def compile(self, model: Any) -> Any:
        """Make the network ready to train, and return it."""
        if self.optimizer == "adam":
            optimizer: Any = ck.optimizers.Adam(self.rate, epsilon=ADAM_EPSILON)
        else:
            optimizer = ck.optimizers.SGD(self.rate, momentum=0.9)
        loss = "sparse_categorical_crossentropy"
        allowed = {f"allow_{p}": self.precision == p for p in ("tf32", "bf16")}
        model.compile(optimizer=optimizer, loss=loss, device=self.device, **allowed)
        return model

    def data(self, model: Any) -> tuple[Array, Array]:
        """Inputs in 0..1, or numbers of characters, and labels; whole batches, two at least."""
        count = max(self.samples // self.batch, 2) * self.batch
        shape, classes = tuple(model.input_shape[1:]), int(model.output_shape[-1])
        rng = np.random.Generator(np.random.Philox(2))
        if self.network == "char_rnn":
            x: Array = rng.integers(0, classes, (count, *shape)).astype(np.int32)
        else:
            x = rng.random((count, *shape), dtype=np.float32)
        y = rng.integers(0, classes, (count, *model.output_shape[1:-1])).astype(np.int64)
        return x, y


def without_dropout(model: Any) -> Any:
    """The same layers without dropout: no two libraries draw the same masks."""
    kept = [layer for layer in model.layers if not isinstance(layer, layers.Dropout)]
    if len(kept) == len(model.layers):
        return model
    model = ck.Sequential([ck.Input(model.input_shape[1:]), *kept])
    model.build()
    return model


def changes(before: list[Array], after: list[Array]) -> dict[str, list[float]]:
    """Norm of the change of each weight: unlike that of the weight it tells steps apart.

    Parameters
    ----------
    before, after : list of ndarray
        The trainable weights in the model's order, in any layout.
    """
    pairs = zip(before, after, strict=True)
    norms = [float(np.linalg.norm((b - a).astype(np.float64))) for a, b in pairs]
    return {f"change of weight {i}": [norm] for i, norm in enumerate(norms)}
