"""Calls of `rnn`: recurrent layers of introductory networks, and shapes that kernels trip over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from convkit.ops import registry
from convkit.ops.registry import Array, Context, Spec
from convkit.ops.rnn_rules import GATES, GRADIENTS, INPUTS, SAVED, rnn_params
from convkit.testing.calls import Call


@dataclass(frozen=True)
class Layer:
    """A recurrent layer on N sequences of T steps, from C features to H units.

    Attributes
    ----------
    name, cell : str
    n, t, c, h : int
    bias : int
        Rows of the bias: 0, 1 or 2.
    states : bool
        Whether it begins with states of its own.
    mask : str
        Which times are steps: "" all, "ragged" the last few of each sequence, or "holes".
    grads : str
        Gradients that come in: some of "y", "h" and, of the LSTM, "c".
    params : mapping
        As `rnn_params` takes them.
    numbers : bool
        Whether x holds numbers of one-hot rows.
    """

    name: str
    cell: str
    n: int
    t: int
    c: int
    h: int
    bias: int = 1
    states: bool = False
    mask: str = ""
    grads: str = "y"
    params: Mapping[str, Any] | None = None
    numbers: bool = False

    def flops(self) -> int:
        """Operations of a forward pass."""
        return 2 * self.n * self.t * GATES[self.cell] * self.h * (self.c + self.h)

    def calls(self) -> list[Call]:
        """Both passes."""
        cell, params = self.cell, rnn_params(**(self.params or {}))
        width = GATES[cell] * self.h
        bias = {0: None, 1: Spec((width,)), 2: Spec((2, width))}[self.bias]
        state = Spec((self.n, self.h))
        first = state if self.states else None
        mask = Spec((self.n, self.t), "uint8") if self.mask else None
        cells = (first,) if cell == "lstm" else ()
        specs: tuple[Spec | None, ...] = (
            Spec((self.n, self.t) if self.numbers else (self.n, self.t, self.c)),
            Spec((self.c, width)), Spec((self.h, width)), bias,
            first, *cells, mask,
        )  # fmt: skip
        pass_name = f"{cell}_forward"
        forward = Call(self.name, "rnn", pass_name, specs, params, fill=self.operands)
        outputs = forward.outputs()
        after = [outputs[0], *outputs[len(GRADIENTS[cell]) :]]
        sequence = Spec((self.n, self.t, self.h))
        gradients = [sequence if "y" in self.grads else None]
        gradients += [state if s in self.grads else None for s in "hc"[: len(GRADIENTS[cell]) - 1]]

        def fill(rng: np.random.Generator) -> list[Array | None]:
            operands = self.operands(rng)
            wide = [
                a.astype(np.float64) if a is not None and a.dtype.kind == "f" else a
                for a in operands
            ]
            reference = registry.get("rnn")[pass_name].reference
            results = reference(Context(params, outputs), *wide)
            kept = [results[0], *results[len(GRADIENTS[cell]) :]]
            assert len(kept) == len(SAVED[cell])
            incoming = [None if s is None else rng.standard_normal(s.shape) for s in gradients]
            arrays = [*incoming, *operands, *kept]
            return [
                None if a is None else a.astype("f4") if a.dtype.kind == "f" else a for a in arrays
            ]

        backward = (*gradients, *specs, *after)
        return [forward, Call(self.name, "rnn", f"{cell}_backward", backward, params, fill=fill)]

    def operands(self, rng: np.random.Generator) -> list[Array | None]:
        """x, w, u and the other inputs of the forward pass.

        The rows of u have absolute values of about 1 in sum, so that a rounding does not grow from
        step to step; with normal weights nothing would be left of the error bound to hold.
        """

        def normal(*shape: int) -> Array:
            return rng.standard_normal(shape, "f4")

        width = GATES[self.cell] * self.h
        x = normal(self.n, self.t, self.c)
        if self.numbers:
            x = rng.integers(0, self.c, (self.n, self.t)).astype("f4")
        w = normal(self.c, width) / np.float32(max(self.c, 1) ** 0.5)
        u = normal(self.h, width) / np.float32(max(self.h, 1))
        b = {0: None, 1: normal(width), 2: normal(2, width)}[self.bias]
        first = [normal(self.n, self.h) if self.states else None for _ in INPUTS[self.cell][4:-1]]
        mask = None
        if self.mask == "ragged":
            length = rng.integers(0, self.t + 1, self.n)
            mask = np.arange(self.t) >= self.t - length[:, None]
        elif self.mask:
            mask = rng.random((self.n, self.t)) < 0.6
        return [x, w, u, b, *first, None if mask is None else mask.astype(np.uint8)]


def _per_cell(name: str, n: int, t: int, c: int, h: int) -> list[Layer]:
    """A layer of each cell, as Keras makes them: the GRU with two biases."""
    gru = Layer(f"{name}, gru", "gru", n, t, c, h, bias=2, params={"reset_after": 1})
    others = [Layer(f"{name}, {cell}", cell, n, t, c, h) for cell in ("simple", "lstm")]
    return [*others, gru]


# The rows of MNIST as sequences; character models of Shakespeare's plays (65 characters).
LAYERS = (
    *_per_cell("mnist rows", 64, 28, 28, 128),
    Layer("char rnn 512", "simple", 64, 100, 65, 512),
    Layer("char lstm 256, first", "lstm", 50, 100, 65, 256),
    Layer("char lstm 256, second", "lstm", 50, 100, 256, 256),
)
FLOPS = 20_000_000


def named_rnn(small: bool) -> list[Call]:
    """All passes of the layers of real networks, `small` ones with fewer sequences and units."""
    found = []
    for layer in LAYERS:
        n, c, h = layer.n, layer.c, layer.h
        while small and layer.flops() > FLOPS:
            n, c, h = (n // 2, c, h) if n > 9 else (n, (c + 1) // 2, h // 2)
            layer = replace(layer, n=n, c=c, h=h)
        name = f"{layer.name}, batch {n}" + ("" if h == layer.h else f", scaled to {h} units")
        found += replace(layer, name=name).calls()
    return found


# N, T, C, H.
SHAPES: dict[str, tuple[int, int, int, int]] = {
    "size 1": (1, 1, 1, 1),
    "primes": (3, 5, 7, 11),
    "one step": (5, 1, 3, 17),
    "one sequence": (1, 23, 5, 9),
    "one unit": (4, 6, 3, 1),
    "one feature": (7, 9, 1, 16),
    "15 to 33": (17, 4, 33, 15),
    "33 units": (2, 7, 16, 33),
    "many units": (2, 3, 5, 131),
    "66 units": (5, 2, 3, 66),
    "many sequences": (67, 3, 2, 5),
    "empty batch": (0, 4, 3, 5),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "no bias": {"bias": 0},
    "states": {"states": True, "grads": "yhc"},
    "last state only": {"grads": "h", "states": True},
    "ragged": {"mask": "ragged", "grads": "yhc"},
    "holes, states": {"mask": "holes", "states": True, "grads": "yhc"},
    "backwards": {"params": {"go_backwards": 1}, "states": True},
    "backwards, holes": {
        "params": {"go_backwards": 1, "processing_order": 1},
        "mask": "holes",
        "states": True,
        "grads": "yh",
    },
    "truncated": {"params": {"truncate": 3}, "states": True, "grads": "yhc"},
    "truncated, ragged": {"params": {"truncate": 2}, "mask": "ragged", "grads": "yhc"},
    "cut at every step": {"params": {"truncate": 1}},
}


def _cells() -> list[tuple[str, str, int, dict[str, Any]]]:
    """Name, cell, rows of the bias and parameters of every recurrence."""
    return [
        ("simple", "simple", 1, {}),
        ("lstm", "lstm", 1, {}),
        ("gru", "gru", 1, {}),
        ("gru, reset after", "gru", 2, {"reset_after": 1}),
    ]


def awkward_rnn() -> list[list[Call]]:
    """All passes on a fixed list of awkward shapes, and with each option."""
    layers = []
    for title, cell, bias, params in _cells():
        for name, (n, t, c, h) in SHAPES.items():
            layers.append(Layer(f"{title}, {name}", cell, n, t, c, h, bias, params=params))
        for name, options in OPTIONS.items():
            given = {"bias": bias, **options, "params": {**params, **options.get("params", {})}}
            layers.append(Layer(f"{title}, {name}", cell, 5, 7, 6, 13, **given))
        for mask in ("", "ragged"):
            name = f"{title}, numbers{mask and ', ragged'}"
            layers.append(Layer(name, cell, 17, 5, 11, 37, bias, True, mask, "yh", params, True))
        if cell != "gru":
            layers.append(Layer(f"{title}, two biases", cell, 4, 3, 5, 6, 2, params=params))
    for kind in ("sigmoid", "relu", "linear"):
        layers.append(Layer(f"simple, {kind}", "simple", 5, 6, 7, 19, params={"activation": kind}))
    return [layer.calls() for layer in layers]
