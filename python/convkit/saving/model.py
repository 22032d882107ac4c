"""A model as a file: its layers, its graph, its weights, and what compile and training left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import convkit
from convkit.layers.base import Layer
from convkit.layers.input import InputLayer
from convkit.models.model import Model
from convkit.models.sequential import Sequential
from convkit.ops.registry import Array
from convkit.saving.classes import Pieces
from convkit.saving.files import StrPath, member_names, read_archive, write_archive
from convkit.saving.packing import pack, unpack

__all__ = ["CONFIG", "OPTIMIZER", "WEIGHTS", "load_model", "model_members", "save_model"]

FORMAT = 1
SUFFIX = ".convkit"
CONFIG, WEIGHTS, OPTIMIZER = "config.json", "weights.safetensors", "optimizer.safetensors"
CONSTANTS = "constants.safetensors"  # arrays that are arguments of layers


def model_members(model: Model, include_optimizer: bool = True) -> dict[str, Any]:
    """What `save_model` writes, by the name of the member.

    Parameters
    ----------
    model : Model
    include_optimizer : bool
        Whether the optimizer's state belongs to it.

    Raises
    ------
    TypeError
        If a layer or what compile was given cannot be saved.
    """
    arrays: dict[str, Array] = {}
    config = {
        "format": FORMAT,
        "convkit": convkit.__version__,
        "model": _graph(model, arrays),
        "compiled": _compiled(model, arrays),
    }
    members: dict[str, Any] = {CONFIG: config}
    if model.inputs:
        model.build()
        members[WEIGHTS] = {p.path: p.numpy() for p in model.parameters}
    if include_optimizer and config["compiled"] is not None:
        state = _optimizer_state(model, arrays)
        if state is not None:
            config["optimizer"], members[OPTIMIZER] = state
    if arrays:
        members[CONSTANTS] = arrays
    return members


def save_model(
    model: Model,
    path: StrPath,
    include_optimizer: bool = True,
    overwrite: bool = True,
) -> Path:
    """Write a model to a file; see `Model.save`."""
    target = _with_suffix(path)
    return write_archive(target, model_members(model, include_optimizer), overwrite)


def _with_suffix(path: StrPath) -> Path:
    target = Path(path)
    if not target.suffix:
        target = target.with_suffix(SUFFIX)
    if target.suffix != SUFFIX:
        other = "save_weights" if target.suffix in (".npz", ".safetensors") else "save"
        raise ValueError(
            f"a model is saved as a file {SUFFIX!r}, got {str(path)!r}; call "
            f"{other}({str(target.with_suffix(SUFFIX if other == 'save' else target.suffix))!r})"
        )
    return target


def _graph(model: Model, arrays: dict[str, Array]) -> dict[str, Any]:
    """Layers, and how they are called: nodes by number, first the inputs, then each call's."""
    chain = model.layers if isinstance(model, Sequential) else []
    calls = model.calls
    layers = list(
        dict.fromkeys([*(n.layer for n in model.inputs), *(c.layer for c in calls), *chain])
    )
    number = {id(layer): i for i, layer in enumerate(layers)}
    nodes = [*model.inputs, *(node for call in calls for node in call.outputs)]
    at = {id(node): i for i, node in enumerate(nodes)}
    parameters = model.parameters
    return {
        "class": "Sequential" if isinstance(model, Sequential) else "Model",
        "name": model.name,
        "layers": [_layer(layer, arrays) for layer in layers],
        "inputs": [number[id(node.layer)] for node in model.inputs],
        "calls": [
            {
                "layer": number[id(call.layer)],
                "inputs": [at[id(node)] for node in call.inputs],
                "inference": call.inference,
            }
            for call in calls
        ],
        "outputs": [at[id(node)] for node in model.outputs],
        "frozen": [p.path for p in parameters if p.frozen],
        "constant": [p.path for p in parameters if not p._trainable],
        "executor": model.executor,
    }


def _layer(layer: Layer, arrays: dict[str, Array]) -> dict[str, Any]:
    packed: dict[str, Any] = pack(layer, layer.name, arrays)
    return {**packed, "trainable": layer.trainable}


def _compiled(model: Model, arrays: dict[str, Array]) -> dict[str, Any] | None:
    compiled = model._compiled
    if compiled is None:
        return None
    told = {
        "optimizer": compiled.optimizer,
        "loss": compiled.loss,
        "metrics": compiled.metrics,
        "weighted_metrics": compiled.weighted_metrics,
        "regularizer": compiled.regularizer,
    }
    return {name: pack(value, f"compile: {name}", arrays) for name, value in told.items()}


def _optimizer_state(model: Model, arrays: dict[str, Array]) -> tuple[Any, Any] | None:
    """The optimizer's numbers, and its arrays parameter by parameter; None if it has done none."""
    assert model._compiled is not None
    optimizer = model._compiled.optimizer
    store = model._store
    if store is None or model._slots_of != (store, optimizer):
        return None
    slots = {
        f"{k}.{p.path}": store.slots[k, p.offset : p.offset + p.size].reshape(p.shape)
        for k in range(len(store.slots))
        for p in model.parameters
    }
    own: dict[str, Any] = getattr(optimizer, "get_state", dict)()
    numbers = {"iterations": optimizer.iterations, "own": pack(own, "optimizer", arrays)}
    return numbers, slots


# Back.


def load_model(
    path: StrPath,
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
) -> Model:
    """Read a model from a file of ``model.save``.

    Loading runs nothing that is in the file: it makes objects of convkit's own classes, and of
    those in `custom_objects`, and checks every array against the layer that it belongs to.

    Parameters
    ----------
    path : path
        As given to ``save``, with or without ".convkit".
    custom_objects : mapping of str to class or function, optional
        Layers, losses, functions of one's own that the model uses, by name.
    compile : bool
        Whether the model is compiled as it was, with the optimizer's state if that was saved.

    Returns
    -------
    Model
        Or Sequential.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no file of a model, or names what is not passed in; the message says what is wrong.
    """
    target = Path(path)
    if not target.is_file() and not target.suffix:
        target = target.with_suffix(SUFFIX)
    known = (CONFIG, WEIGHTS, OPTIMIZER, CONSTANTS)
    members = read_archive(target, [name for name in member_names(target) if name in known])
    pieces = Pieces(custom_objects)
    config = members.get(CONFIG)
    if not isinstance(config, dict) or not isinstance(config.get("model"), dict):
        raise ValueError(f"{target} is not the file of a model")
    if config.get("format") != FORMAT:
        raise ValueError(
            f"{target} has format {config.get('format')!r}, and this convkit reads {FORMAT}"
        )
    constants = members.get(CONSTANTS, {})
    try:
        model = _made(config["model"], pieces, constants)
        if WEIGHTS in members:
            _fill(model, members[WEIGHTS])
        if compile and config.get("compiled") is not None:
            _compile(model, config, pieces, constants, members.get(OPTIMIZER))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        text = str(error) if isinstance(error, ValueError) else f"{type(error).__name__} {error}"
        raise ValueError(f"{target} cannot be loaded: {text}") from None
    return model


def _numbers(value: Any, below: int) -> list[int]:
    """Indices, each below a limit."""
    if not isinstance(value, list) or not all(type(n) is int and 0 <= n < below for n in value):
        raise ValueError("its graph is broken")
    return value


def _made(told: dict[str, Any], pieces: Pieces, constants: Mapping[str, Array]) -> Model:
    layers: list[Layer] = []
    for entry in told["layers"]:
        layer = unpack({k: v for k, v in entry.items() if k != "trainable"}, pieces, constants)
        if not isinstance(layer, Layer):
            raise ValueError(f"{entry.get('$class')!r} is no layer")
        layers.append(layer)
    name = told["name"]
    inputs = [layers[i] for i in _numbers(told["inputs"], len(layers))]
    if not all(isinstance(layer, InputLayer) for layer in inputs):
        raise ValueError("its inputs are no input layers")
    model: Model
    if told["class"] == "Sequential":
        model = Sequential(layers, name=name)
    elif told["class"] == "Model":
        model = _functional(told, layers, inputs, name)
    else:
        raise ValueError(f"{told['class']!r} is no class of models")
    frozen, constant = set(told["frozen"]), set(told["constant"])
    for layer, entry in zip(layers, told["layers"], strict=True):
        layer._trainable = bool(entry["trainable"])
    for p in model.parameters:
        p.frozen, p.trainable = p.path in frozen, p.path not in constant
    model.executor = told["executor"] if told["executor"] in ("native", "eager") else "native"
    return model


def _functional(told: dict[str, Any], layers: list[Layer], inputs: list[Layer], name: str) -> Model:
    nodes: list[Any] = [layer.node for layer in inputs if isinstance(layer, InputLayer)]
    count = len(nodes)
    for call in told["calls"]:
        (which,) = _numbers([call["layer"]], len(layers))
        given = [nodes[i] for i in _numbers(call["inputs"], len(nodes))]
        layer = layers[which]
        several = layer.takes_list or len(given) > 1
        training = False if call["inference"] else None
        made = layer(given if several else given[0], training=training)
        nodes.extend(made if isinstance(made, list) else [made])
    outputs = [nodes[i] for i in _numbers(told["outputs"], len(nodes))]
    return Model(nodes[:count], outputs, name=name)


def _fill(model: Model, arrays: Mapping[str, Array]) -> None:
    """Set the weights, once all of them are known to fit."""
    expected = {p.path: p for p in model.parameters}
    if set(arrays) != set(expected):
        odd = sorted(set(arrays) ^ set(expected))
        raise ValueError(f"its weights are not those of its layers: {', '.join(odd[:5])}")
    for name, array in arrays.items():
        p = expected[name]
        if array.shape != p.shape or array.dtype.kind != "f":
            raise ValueError(f"{name} is {array.dtype} {array.shape}, the layer's is {p.shape}")
    # No draws from the initializers, which these values would replace.
    for name, p in expected.items():
        p._kept = np.asarray(arrays[name], np.float32)
    model.build()


def _compile(
    model: Model,
    config: dict[str, Any],
    pieces: Pieces,
    constants: Mapping[str, Array],
    slots: Mapping[str, Array] | None,
) -> None:
    told = {name: unpack(value, pieces, constants) for name, value in config["compiled"].items()}
    executor = model.executor
    model.compile(**told)
    model.executor = executor
    state = config.get("optimizer")
    if state is None or slots is None:
        return
    assert model._compiled is not None
    optimizer = model._compiled.optimizer
    done = state["iterations"]
    if type(done) is not int or not 0 <= done < 1 << 62:
        raise ValueError(f"its optimizer has done {done!r} steps")
    store = model.store
    expected = {f"{k}.{p.path}": p for k in range(optimizer.slots) for p in model.parameters}
    if set(slots) != set(expected) or any(
        slots[name].shape != p.shape for name, p in expected.items()
    ):
        raise ValueError("its optimizer's state is not that of its weights")
    table = np.zeros((optimizer.slots, store.count), store.dtype)
    for name, p in expected.items():
        k = int(name.partition(".")[0])
        table[k, p.offset : p.offset + p.size] = slots[name].reshape(-1)
    optimizer.iterations = done
    model._adopt(table)
    own = unpack(state["own"], pieces, constants)
    if own:
        getattr(optimizer, "set_state")(own)  # noqa: B009  (of those that have one)
