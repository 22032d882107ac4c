"""Small random networks, and the programs of models without the ceremony around them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

import convkit as ck
from convkit import losses
from convkit.ops.registry import Array, Spec
from convkit.program import compile_program
from convkit.program.program import Instruction, Program

ACTIVATIONS = ("relu", "tanh", "sigmoid", "gelu", "silu", "softplus", "elu", "leaky_relu")


class Case(NamedTuple):
    """A compiled model and one batch."""

    model: Any
    x: Array
    y: Array


def randomise(model: Any, seed: int = 0) -> None:
    """Give every parameter, biases too, some value: at zero a ReLU may sit on its kink."""
    rng = np.random.default_rng(seed)
    model.build()
    for p in model.store.members:
        view = model.store.view(p)
        fan = max(int(np.prod(p.shape[:-1])), 1)
        view[...] = rng.standard_normal(p.shape) / np.sqrt(fan)


@st.composite
def cases(draw: st.DrawFn, most: int = 5) -> Case:
    """A random functional graph that trains; `most` layers between its input and its head."""

    def pick(*choices: Any) -> Any:
        return draw(st.sampled_from(choices))

    size, channels = draw(st.integers(3, 5)), draw(st.integers(1, 2))
    start = ck.Input((size, size + draw(st.integers(0, 1)), channels))
    nodes = [start]
    for _ in range(draw(st.integers(1, most))):
        node = pick(*nodes[-3:])
        shape = node.shape
        kind = pick("conv", "conv", "max", "average", "dropout", "activation", "add", "concat")
        if kind == "conv":
            window, padding = draw(st.integers(1, 3)), pick("valid", "same", 0, 1, 2)
            reach = min(shape[1:3]) + 2 * (padding if isinstance(padding, int) else 0)
            if padding != "same":
                window = min(window, reach)
            node = ck.layers.Conv2D(
                draw(st.integers(1, 3)), window, strides=draw(st.integers(1, 2)), padding=padding,
                activation=pick(None, *ACTIVATIONS), use_bias=draw(st.booleans()),
            )(node)  # fmt: skip
        elif kind in ("max", "average"):
            window = min(draw(st.integers(1, 3)), *shape[1:3])
            layer = ck.layers.MaxPooling2D if kind == "max" else ck.layers.AveragePooling2D
            node = layer(window, draw(st.integers(1, 2)), pick("valid", "same"))(node)
        elif kind == "dropout":
            node = ck.layers.Dropout(pick(0.0, 0.3))(node)
        elif kind == "activation":
            node = ck.layers.Activation(pick(*ACTIVATIONS))(node)
        elif kind == "add":
            same = [n for n in nodes if n.shape == shape]
            node = ck.layers.Add()([node, *(pick(*same) for _ in range(draw(st.integers(1, 2))))])
        else:
            fits = [n for n in nodes if n.shape[1:3] == shape[1:3] and n.shape[3] <= 3]
            if shape[3] <= 3 and fits:
                node = ck.layers.Concatenate()([node, pick(*fits)])
        nodes.append(node)
    last = nodes[-1]
    if np.prod(last.shape[1:]) > 40:
        last = ck.layers.GlobalAveragePooling2D()(last)
    else:
        last = ck.layers.Flatten()(last)
    head, loss = pick(
        ("softmax", "sparse_categorical_crossentropy"),
        ("softmax", "categorical_crossentropy"),
        ("sigmoid", "binary_crossentropy"),
        ("tanh", "mse"),
        (None, "mse"),
    )
    if draw(st.booleans()):
        last = ck.layers.Dense(3, pick(*ACTIVATIONS))(last)
    model = ck.Model(start, ck.layers.Dense(2, head)(last))
    seed, batch = draw(st.integers(0, 999)), draw(st.integers(1, 3))
    randomise(model, seed)
    model.compile(pick("sgd", "adam"), loss, metrics=["accuracy"] if "cross" in loss else None)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((batch, *start.shape[1:])).astype(np.float32)
    y: Array = rng.integers(0, 2, batch)
    if not loss.startswith("sparse"):
        y = np.eye(2, dtype=np.float32)[y]
    return Case(model, x, y)


def compiled(
    model: Any, mode: str = "train", batch: int = 2, loss: Any = None, **options: Any
) -> Program:
    """The program of a model over float32 inputs, without index array."""
    model.build()
    inputs = [Spec(tuple(node.shape[1:])) for node in model.inputs]
    if mode != "predict":
        chosen = losses.get(loss or "mse")
        shape = tuple(model.outputs[0].shape[1:])
        options["loss"] = chosen
        options["target"] = Spec(shape[:-1], "int32") if chosen.sparse else Spec(shape)
    return compile_program(model, mode, batch, inputs=inputs, indexed=False, **options)


def named(program: Program, op: str, pass_name: str | None = None) -> list[Instruction]:
    """The instructions of an op, in order."""
    return [i for i in program.instructions if i.op == op and pass_name in (None, i.pass_name)]


def calls(program: Program) -> list[str]:
    """Op and pass of every instruction."""
    return [f"{i.op}.{i.pass_name}" for i in program.instructions]
