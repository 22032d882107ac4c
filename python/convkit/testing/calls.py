"""Calls of ops: shapes, parameters and data for each pass. Checks and benchmarks share them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from convkit.ops import registry
from convkit.ops.accuracy import SPARSE_ACCURACIES, accuracy_params
from convkit.ops.activation import activate
from convkit.ops.activation_formulas import FROM_OUTPUT, activation_params
from convkit.ops.conv2d import conv2d_params
from convkit.ops.dense import dense_params
from convkit.ops.dropout import dropout_params
from convkit.ops.loss import loss_params
from convkit.ops.loss_formulas import BINARY_LOSSES, LABEL_LOSSES
from convkit.ops.penalty import penalty_params
from convkit.ops.pool2d import pool2d_params
from convkit.ops.registry import Array, Context, Spec, Step
from convkit.ops.through import through_params

Fill = Callable[[np.random.Generator], Sequence[Array | None]]
Shape = tuple[int, ...]
T = TypeVar("T")


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

    def at(self, dtype: str) -> Call:
        """The same call with `dtype` wherever this one has float32."""
        if dtype == "float32":
            return self
        out = None if self.out is None else tuple(_at(s, dtype) for s in self.out)
        return replace(self, specs=tuple(_at(s, dtype) for s in self.specs), out=out)

    def on_integers(self) -> Call:
        """The same call on small integers: their products and sums are exact in any order."""

        def fill(rng: np.random.Generator) -> list[Array | None]:
            return [None if s is None else rng.integers(-4, 5, s.shape) for s in self.specs]

        return replace(self, name=f"{self.name}, integers", fill=fill)

    def with_nan(self, operand: int) -> Call:
        """The same call with one NaN, in the midst of an operand that it has."""

        def fill(rng: np.random.Generator) -> list[Array | None]:
            arrays = self.arrays()
            chosen = arrays[operand]
            assert chosen is not None
            chosen.flat[chosen.size // 2] = np.nan
            return arrays

        return replace(self, name=f"{self.name}, a NaN", fill=fill)

    def outputs(self) -> list[Spec | None]:
        """Specs of the outputs."""
        if self.out is not None:
            return list(self.out)
        infer = registry.get(self.op)[self.pass_name].infer
        assert infer is not None, f"{self.op}.{self.pass_name} needs explicit output specs"
        return list(infer(self.params, self.specs))

    def arrays(self) -> list[Array | None]:
        """Inputs and updates, the same in every run and, float32 values, in every dtype."""
        rng = np.random.Generator(np.random.Philox(7))
        if self.fill is not None:
            made = list(self.fill(rng))
        else:
            made = [None if s is None else rng.standard_normal(s.shape, "f4") for s in self.specs]
        return [
            # One value keeps its number of axes, which np.ascontiguousarray would not.
            None if a is None or s is None else np.array(a, s.dtype, order="C")
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


def distinct(items: Iterable[T], key: Callable[[T], Hashable]) -> list[T]:
    """The items in order, of those with equal keys the first."""
    found: dict[Hashable, T] = {}
    for item in items:
        found.setdefault(key(item), item)
    return list(found.values())


def _at(spec: Spec | None, dtype: str) -> Spec | None:
    return Spec(spec.shape, dtype) if spec is not None and spec.dtype == "float32" else spec


def conv2d(name: str, x: Shape, w: Shape, *, bias: bool = True, **options: Any) -> list[Call]:
    """All passes for images (N, H, W, C) and filters (KH, KW, C/groups, K)."""
    params = conv2d_params(x, w, **options)
    b = Spec(w[3:]) if bias else None
    forward = Call(name, "conv2d", "forward", (Spec(x), Spec(w), b), params)
    y = forward.outputs()[0]
    return [
        forward,
        Call(name, "conv2d", "backward_input", (y, Spec(w), None), params, (Spec(x),)),
        Call(name, "conv2d", "backward_weight", (y, Spec(x)), params, (Spec(w), b)),
    ]


def through(call: Call, kind: str) -> Call:
    """A pass that makes dx, carried on through the activation that gave its input x."""
    (dx,) = call.outputs()
    assert dx is not None
    params, shape = through_params(kind), dx.shape

    def with_x(rng: np.random.Generator) -> list[Array | None]:
        x = activate(rng.standard_normal(shape), kind, params["through_alpha"])
        return [*call.arrays()[:-1], x.astype(np.float32)]

    return replace(
        call,
        name=f"{call.name}, through {kind}",
        specs=(*call.specs[:-1], dx),
        params={**call.params, **params},
        fill=with_x,
    )


def dense(
    name: str, rows: Shape, c: int, k: int, *, bias: bool = True, activation: str | None = None
) -> list[Call]:
    """All passes from C to K features."""
    x, w, y = Spec((*rows, c)), Spec((c, k)), Spec((*rows, k))
    b, params = Spec((k,)) if bias else None, dense_params(activation)
    return [
        Call(name, "dense", "forward", (x, w, b), params),
        Call(name, "dense", "backward_input", (y, w, None), params, (x,)),
        Call(name, "dense", "backward_weight", (y, x), params, (w, b)),
        Call(name, "dense", "backward_bias", (y,), params),
    ]


def _winners(x: Spec, params: Mapping[str, Any], y: Spec, argmax: Spec) -> Fill:
    """Fills dy and argmax: the winners of a real forward pass."""

    def fill(rng: np.random.Generator) -> list[Array | None]:
        context = Context(params, [y, argmax])
        image = rng.standard_normal(x.shape, "f4").astype(np.float64)
        winners = registry.get("pool2d")["max_forward"].reference(context, image)[1]
        return [rng.standard_normal(y.shape, "f4"), winners, None]

    return fill


def pool2d(name: str, kind: str, shape: Shape, **options: Any) -> list[Call]:
    """Both passes of a pooling, "max" or "average", of images (N, H, W, C)."""
    x, params = Spec(shape), pool2d_params(shape, **options)
    forward = Call(name, "pool2d", f"{kind}_forward", (x,), params)
    out = forward.outputs()
    fill = None
    if kind == "max":
        y, argmax = out
        assert y is not None and argmax is not None
        fill = _winners(x, params, y, argmax)
    given = (*out, None)
    backward = Call(name, "pool2d", f"{kind}_backward", given, params, (x,), fill=fill)
    return [forward, backward]


def activation(name: str, kind: str, shape: Shape) -> list[Call]:
    """All passes of an activation."""
    x, params = Spec(shape), activation_params(kind)

    def from_output(rng: np.random.Generator) -> list[Array | None]:
        y = activate(rng.standard_normal(shape), params["activation"], params["alpha"])
        return [rng.standard_normal(shape, "f4"), y.astype(np.float32)]

    calls = [
        Call(name, "activation", "forward", (x,), params),
        Call(name, "activation", "backward", (x, x), params),
    ]
    if kind in FROM_OUTPUT:
        last = "backward_from_output"
        calls.append(Call(name, "activation", last, (x, x), params, fill=from_output))
    return calls


def softmax(name: str, shape: Shape) -> list[Call]:
    """All passes of softmax and log-softmax."""
    calls, x = [], Spec(shape)
    for prefix in ("", "log_"):

        def fill(rng: np.random.Generator, log: str = prefix) -> list[Array | None]:
            e = np.exp(rng.standard_normal(shape))
            y = e / e.sum(axis=-1, keepdims=True)
            return [rng.standard_normal(shape, "f4"), (np.log(y) if log else y).astype(np.float32)]

        calls.append(Call(name, "softmax", f"{prefix}forward", (x,)))
        calls.append(Call(name, "softmax", f"{prefix}backward", (x, x), fill=fill))
    return calls


def loss(name: str, kind: str, shape: Shape, *, weighted: bool = False) -> list[Call]:
    """Both passes for predictions that suit the kind, and their mean over the rows."""
    n, k = shape
    labelled = kind in LABEL_LOSSES

    def fill(rng: np.random.Generator) -> list[Array | None]:
        p = rng.standard_normal(shape)
        if kind in ("cross_entropy", "focal_cross_entropy", "kl_divergence"):
            p = np.exp(p) / np.exp(p).sum(axis=1, keepdims=True)
        elif kind in BINARY_LOSSES and kind.startswith("binary"):
            p = 1 / (1 + np.exp(-p))
        elif kind in ("poisson", "squared_logarithmic_error"):
            p = np.abs(p)
        t = rng.integers(0, k, (n,)) if labelled else rng.random(shape, "f4")
        if kind in ("hinge", "squared_hinge"):
            t = 2 * np.rint(t) - 1
        weight = rng.choice([0.0, 0.5, 1.5], n) if weighted else None
        return [p.astype(np.float32), t, weight, None]

    t = Spec((n,), "int32") if labelled else Spec(shape)
    specs = (Spec(shape), t, Spec((n,)) if weighted else None, None)
    params = loss_params(kind, scale=1 / max(n, 1))
    passes = ("forward", "backward")
    return [Call(name, "loss", which, specs, params, fill=fill) for which in passes]


def accuracy(name: str, kind: str, shape: Shape, *, weighted: bool = False) -> list[Call]:
    """The pass for predictions of which every other one is right."""
    n, k = shape
    sparse = kind in SPARSE_ACCURACIES

    def fill(rng: np.random.Generator) -> list[Array | None]:
        p = rng.random(shape, "f4")
        t = rng.integers(0, k, (n,)) if sparse else rng.random(shape, "f4")
        t[::2] = p[::2].argmax(axis=1) if sparse else p[::2]
        return [p, t, rng.choice([0.0, 0.5, 3.0], n) if weighted else None]

    t = Spec((n,), "int32") if sparse else Spec(shape)
    specs = (Spec(shape), t, Spec((n,)) if weighted else None)
    return [Call(name, "accuracy", "forward", specs, accuracy_params(kind), fill=fill)]


def dropout(name: str, shape: Shape, rate: float = 0.5) -> list[Call]:
    """Both passes."""
    params, step = dropout_params(rate, stream=3), Step(step=7, seed=11)
    passes = ("forward", "backward")
    return [Call(name, "dropout", which, (Spec(shape),), params, step=step) for which in passes]


def add(name: str, shape: Shape) -> list[Call]:
    """The sum of two arrays."""
    return [Call(name, "add", "forward", (Spec(shape), Spec(shape)))]


def concatenate(name: str, shapes: Sequence[Shape], axis: int) -> list[Call]:
    """Both passes."""
    parts, params = tuple(Spec(s) for s in shapes), {"axis": axis}
    forward = Call(name, "concatenate", "forward", parts, params)
    whole = tuple(forward.outputs())
    return [forward, Call(name, "concatenate", "backward", whole, params, parts)]


def gather_rows(
    name: str,
    shape: Shape,
    count: int,
    *,
    source: str = "float32",
    target: str = "float32",
    scale: float = 1.0,
    offset: float = 0.0,
    sample: int | None = None,
) -> list[Call]:
    """A batch of `count` rows of a data set, by a shuffled index from `sample`, or in order."""
    n = shape[0]

    def fill(rng: np.random.Generator) -> list[Array | None]:
        data = rng.integers(0, 10 if len(shape) == 1 else 256, shape)
        return [data.astype(source), None if sample is None else rng.permutation(n)]

    specs = (Spec(shape, source), None if sample is None else Spec((n,), "int64"))
    params, out = {"scale": scale, "offset": offset}, (Spec((count, *shape[1:]), target),)
    step = Step(sample=sample or 0)
    return [Call(name, "gather_rows", "forward", specs, params, out, step, fill)]


def penalty(name: str, n: int) -> list[Call]:
    """All passes of the elastic net on n values."""
    x, params = Spec((n,)), penalty_params(1e-3, 1e-2, 0.5)
    return [
        Call(name, "penalty", "forward", (x,), params),
        Call(name, "penalty", "backward", (x,), params),
        Call(name, "penalty", "accumulate", (x, x), params),
    ]
