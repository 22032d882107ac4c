"""Calls of ops to time: named layers as shapes, parameters and data for each pass."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convkit.ops import registry
from convkit.ops.activation import activate
from convkit.ops.activation_formulas import FROM_OUTPUT, activation_params
from convkit.ops.conv2d import conv2d_params
from convkit.ops.pool2d import pool2d_params
from convkit.ops.registry import Array, Context, Spec, Step
from convkit.testing.named_layers import Conv, Dense, Map, Pool, Softmax

Fill = Callable[[np.random.Generator], Sequence[Array | None]]

# Images in a batch, by network: what training uses, or what a reference can follow.
BATCH = {"lenet": 128, "alexnet": 8, "alexnet2012": 8, "vgg16": 1}


@dataclass(frozen=True, eq=False)
class Call:
    """One pass of an op on given shapes.

    Attributes
    ----------
    name, op, pass_name : str
    specs : tuple of Spec or None
        Of inputs and updates.
    params : mapping
    out : tuple of Spec or None, optional
        Where the pass cannot infer it.
    step : Step
    fill : callable, optional
        Makes the inputs and updates; by default they are normal.
    """

    name: str
    op: str
    pass_name: str
    specs: tuple[Spec | None, ...]
    params: Mapping[str, Any] = field(default_factory=dict)
    out: tuple[Spec | None, ...] | None = None
    step: Step = field(default_factory=Step)
    fill: Fill | None = None

    def outputs(self) -> list[Spec | None]:
        """Specs of the outputs."""
        if self.out is not None:
            return list(self.out)
        infer = registry.get(self.op)[self.pass_name].infer
        assert infer is not None, f"{self.op}.{self.pass_name} needs explicit output specs"
        return list(infer(self.params, self.specs))

    def arrays(self) -> list[Array | None]:
        """Inputs and updates, the same in every run."""
        rng = np.random.Generator(np.random.Philox(7))
        if self.fill is not None:
            made = list(self.fill(rng))
        else:
            made = [None if s is None else rng.standard_normal(s.shape, "f4") for s in self.specs]
        return [
            None if a is None or s is None else np.ascontiguousarray(a, s.dtype)
            for a, s in zip(made, self.specs, strict=True)
        ]

    @property
    def flops(self) -> int:
        """Floating-point operations; 0 where the op does not count them."""
        count = registry.get(self.op)[self.pass_name].flops
        return 0 if count is None else count(self.params, self.specs, self.outputs())

    @property
    def bytes(self) -> int:
        """Bytes of the operands, each moved once, updates in both directions."""
        updates = len(registry.get(self.op)[self.pass_name].updates)
        changed = self.specs[len(self.specs) - updates :]
        every = [*self.specs, *changed, *self.outputs()]
        return sum(s.nbytes for s in every if s is not None)


def batch_of(layer: str) -> int:
    """Batch size for a layer, by its network."""
    return BATCH[layer.partition(".")[0]]


def _distinct(layers: Iterable[Any]) -> list[Any]:
    """Layers whose shapes no earlier one has."""
    return list({layer[1:]: layer for layer in reversed(list(layers))}.values())[::-1]


def conv2d(layers: Iterable[Conv]) -> list[Call]:
    """All passes of convolutions."""
    calls = []
    for layer in _distinct(layers):
        n = batch_of(layer.name)
        x, w = Spec((n, layer.h, layer.w, layer.c)), Spec(layer.w_shape)
        b = Spec((layer.k,))
        params = conv2d_params(x.shape, w.shape, layer.stride, layer.padding, groups=layer.groups)
        name = f"{layer.name}, batch {n}"
        forward = Call(name, "conv2d", "forward", (x, w, b), params)
        y = forward.outputs()[0]
        calls += [
            forward,
            Call(name, "conv2d", "backward_input", (y, w), params, (x,)),
            Call(name, "conv2d", "backward_weight", (y, x), params, (w, b)),
        ]
    return calls


def dense(layers: Iterable[Dense]) -> list[Call]:
    """All passes of fully connected layers."""
    calls = []
    for layer in _distinct(layers):
        n = max(32, batch_of(layer.name))
        x, w, b, y = (Spec(s) for s in ((n, layer.c), (layer.c, layer.k), (layer.k,), (n, layer.k)))
        params, name = activation_params(), f"{layer.name}, batch {n}"
        calls += [
            Call(name, "dense", "forward", (x, w, b), params),
            Call(name, "dense", "backward_input", (y, w), params, (x,)),
            Call(name, "dense", "backward_weight", (y, x), params, (w, b)),
        ]
    return calls


def _winners(x: Spec, params: Mapping[str, Any], y: Spec, argmax: Spec) -> Fill:
    """Fills dy and argmax: the winners of a real forward pass."""

    def fill(rng: np.random.Generator) -> list[Array | None]:
        context = Context(params, [y, argmax])
        image = rng.standard_normal(x.shape, "f4").astype(np.float64)
        winners = registry.get("pool2d")["max_forward"].reference(context, image)[1]
        return [rng.standard_normal(y.shape, "f4"), winners]

    return fill


def pool2d(layers: Iterable[Pool]) -> list[Call]:
    """Both passes of poolings."""
    calls = []
    for layer in _distinct(layers):
        n = batch_of(layer.name)
        x = Spec((n, layer.h, layer.w, layer.c))
        params = pool2d_params(x.shape, layer.size, layer.stride)
        name = f"{layer.name}, batch {n}"
        forward = Call(name, "pool2d", f"{layer.kind}_forward", (x,), params)
        out = forward.outputs()
        y = out[0]
        assert y is not None
        fill = None
        if layer.kind == "max":
            assert out[1] is not None
            fill = _winners(x, params, y, out[1])
        backward = f"{layer.kind}_backward"
        calls += [forward, Call(name, "pool2d", backward, tuple(out), params, (x,), fill=fill)]
    return calls


def activation(layers: Iterable[Map]) -> list[Call]:
    """All passes of activations."""
    calls = []
    for layer in layers:
        n = batch_of(layer.name)
        x = Spec((n, layer.h, layer.w, layer.c))
        params = activation_params(layer.kind)

        def from_output(
            rng: np.random.Generator, x: Spec = x, params: dict[str, Any] = params
        ) -> list[Array | None]:
            y = activate(rng.standard_normal(x.shape), params["activation"], params["alpha"])
            return [rng.standard_normal(x.shape, "f4"), y]

        name = f"{layer.kind} of {layer.name}, batch {n}"
        calls.append(Call(name, "activation", "forward", (x,), params))
        calls.append(Call(name, "activation", "backward", (x, x), params))
        if layer.kind in FROM_OUTPUT:
            passed = "backward_from_output"
            calls.append(Call(name, "activation", passed, (x, x), params, fill=from_output))
    return calls


def softmax(layers: Iterable[Softmax]) -> list[Call]:
    """All passes of softmax and log-softmax, 128 rows each."""
    calls = []
    for layer in layers:
        x = Spec((128, layer.k))
        for prefix in ("", "log_"):

            def fill(
                rng: np.random.Generator, x: Spec = x, log: str = prefix
            ) -> list[Array | None]:
                z = rng.standard_normal(x.shape)
                y = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
                return [rng.standard_normal(x.shape, "f4"), np.log(y) if log else y]

            name = f"{layer.name}, batch 128"
            calls.append(Call(name, "softmax", f"{prefix}forward", (x,)))
            calls.append(Call(name, "softmax", f"{prefix}backward", (x, x), fill=fill))
    return calls
