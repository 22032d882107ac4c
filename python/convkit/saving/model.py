"""Models in files: layers and weights, and what compile and training left.

A file is an archive of `convkit.saving.files` with the members

config.json
    Format, class and name of the model, its layers with their configurations, the graph as calls of
    these, flags of the weights, and what ``compile`` was given.
weights.safetensors
    Every weight under its path, such as "conv1.kernel", with states that are carried on.
arrays.safetensors
    Arrays among the layers' arguments, if there are any.
optimizer.safetensors
    Steps done, and the optimizer's state by weight; of a model that was trained.

To load one never runs code from the file: classes are looked up in a closed table, and what is not
the package's own has to be passed in.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.saving.config import FileDecoder, FileEncoder
from convkit.saving.files import member_names, read_archive, write_archive

if TYPE_CHECKING:
    from convkit.models.graph import Node
    from convkit.models.model import Model

__all__ = [
    "ARRAYS", "CONFIG", "OPTIMIZER", "WEIGHTS", "load_model", "model_from_members", "model_members",
    "save_model",
]  # fmt: skip

Members = dict[str, dict[str, Any]]
StrPath = str | os.PathLike[str]

FORMAT = 1
CONFIG, WEIGHTS = "config.json", "weights.safetensors"
ARRAYS, OPTIMIZER = "arrays.safetensors", "optimizer.safetensors"
# Of a parameter, by what the file calls them; those that it has.
_FLAGS = {
    "trainable": "_trainable",
    "frozen": "frozen",
    "lr_multiplier": "_lr_multiplier",
    "layer_multiplier": "layer_multiplier",
}


# Saving.


def save_model(
    model: Model, filepath: StrPath, overwrite: bool = True, include_optimizer: bool = True
) -> Path:
    """Write a model to a file; see `convkit.Model.save`."""
    path = Path(filepath)
    path = path if path.suffix else path.with_suffix(".convkit")
    if path.suffix in (".h5", ".hdf5", ".keras", ".npz", ".safetensors"):
        raise ValueError(
            f"a model is not written as {path.suffix}: name the file {path.stem}.convkit"
            + (", or call save_weights" if path.suffix in (".npz", ".safetensors") else "")
        )
    return write_archive(path, model_members(model, include_optimizer), overwrite)


def model_members(model: Model, include_optimizer: bool = True) -> Members:
    """The members of a model's file, for `write_archive`.

    Parameters
    ----------
    model : Model
    include_optimizer : bool
        Whether what `compile` was given and the optimizer's state are part of it.

    Returns
    -------
    dict of str to dict
        Others may be added; they are ignored when the model is loaded.

    Raises
    ------
    TypeError, ValueError
        If a part of the model cannot be saved; the message says which.
    """
    from convkit import __version__

    encoder = FileEncoder()
    config: dict[str, Any] = {
        "format": FORMAT,
        "convkit": __version__,
        **_class(model),
        "name": model.name,
        **_graph(model, encoder),
    }
    if model.inputs:
        model.build()
    members: Members = {CONFIG: config}
    members[WEIGHTS] = {p.path: p.value for p in model.parameters} if model.inputs else {}
    config["weights"] = {
        p.path: {flag: vars(p)[key] for flag, key in _FLAGS.items() if key in vars(p)}
        for p in model.parameters
    }
    if include_optimizer and model._compiled is not None:
        config["compile"], slots = _compiled(model, encoder)
        if slots is not None:
            members[OPTIMIZER] = slots
    config["layers"] = encoder.layers
    if encoder.arrays:
        members[ARRAYS] = encoder.arrays
    return members


def _class(model: Model) -> dict[str, str]:
    from convkit.models.model import Model
    from convkit.models.sequential import Sequential

    kind = type(model)
    return {"class" if kind in (Model, Sequential) else "custom": kind.__name__}


def _graph(model: Model, encoder: FileEncoder) -> dict[str, Any]:
    nodes = [*model.inputs, *(node for call in model.calls for node in call.outputs)]
    at = {id(node): i for i, node in enumerate(nodes)}
    graph: dict[str, Any] = {
        "inputs": [encoder.layer(node.layer) for node in model.inputs],
        "calls": [],
        "outputs": [at[id(node)] for node in model.outputs],
    }
    for call in model.calls:
        noted = {"layer": encoder.layer(call.layer), "inputs": [at[id(n)] for n in call.inputs]}
        graph["calls"].append({**noted, "training": False} if call.inference else noted)
    if not model.inputs:  # a chain that does not know its input's shape yet
        graph["chain"] = [encoder.layer(layer) for layer in model.layers]
    return graph


def _compiled(model: Model, encoder: FileEncoder) -> tuple[dict[str, Any], Any]:
    """What compile was given, and the optimizer's state if there is one."""
    compiled = model._compiled
    assert compiled is not None
    noted: dict[str, Any] = {"run_eagerly": model.run_eagerly}
    for field in dataclasses.fields(compiled):
        value, title = getattr(compiled, field.name), f"compile, {field.name}"
        try:
            noted[field.name] = encoder.value(value, title)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{error}; or save with include_optimizer=False") from None
    if not model._has_slots:
        return noted, None
    optimizer, store = compiled.optimizer, model.store
    noted["slots"] = len(store.slots)
    state: dict[str, Any] = getattr(optimizer, "get_state", dict)()
    if state:
        noted["state"] = encoder.value(state, "the optimizer's state")
    arrays = {"iterations": np.array(optimizer.iterations, np.int64)}
    for i, flat in enumerate(store.slots):
        arrays.update((f"{p.path}.{i}", store._cut(flat, p)) for p in model.parameters)
    return noted, arrays


# Loading.


def load_model(
    filepath: StrPath, custom_objects: Mapping[str, Any] | None = None, compile: bool = True
) -> Model:
    """Read a model that `Model.save` has written.

    Nothing in the file is run. Layers, functions and the like that are not convkit's own are not
    part of it, but their names are: pass them in.

    Parameters
    ----------
    filepath : path
        As given to `Model.save`, with or without ".convkit".
    custom_objects : dict of str to class or function, optional
        What the model has of your own: ``{"MyLayer": MyLayer}``.
    compile : bool
        Whether the model is compiled as it was, and its training goes on where it stopped.

    Returns
    -------
    Model
        With the same layers, names, weights and predictions.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is no model of convkit's, is damaged, or needs something that
        `custom_objects` lacks.
    """
    path = Path(filepath)
    if not path.suffix and not path.exists():
        path = path.with_suffix(".convkit")
    if custom_objects is not None and not isinstance(custom_objects, Mapping):
        FileDecoder({}, custom_objects)  # which says what it must be
    names = member_names(path)
    wanted = [CONFIG, WEIGHTS] + [name for name in (ARRAYS,) if name in names]
    wanted += [OPTIMIZER] if compile and OPTIMIZER in names else []
    members = read_archive(path, wanted)
    try:
        return model_from_members(members, custom_objects, compile)
    # A wrong value in a file may raise anything, in the constructor of any layer.
    except Exception as error:
        clear = isinstance(error, ValueError | TypeError)
        what = str(error) if clear else f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} cannot be loaded: {what}") from error


def model_from_members(
    members: Mapping[str, Mapping[str, Any]],
    custom_objects: Mapping[str, Any] | None = None,
    compile: bool = True,
) -> Model:
    """Make the model whose members these are; see `model_members` and `load_model`."""
    config = members[CONFIG]
    version = config.get("format")
    if version != FORMAT:
        raise ValueError(
            f"it has format {version!r}, written by convkit {config.get('convkit')!r}; this one "
            f"reads format {FORMAT}"
        )
    decoder = FileDecoder(members.get(ARRAYS, {}), custom_objects)
    for i, item in enumerate(_items(config, "layers", dict)):
        try:
            decoder.add_layer(item)
        except (RecursionError, MemoryError):
            raise
        except Exception as error:
            name = item.get("class", item.get("custom"))
            raise ValueError(f"layer {i} ({name}): {error}") from error
    model = _make(config, decoder)
    _set_weights(model, config, members[WEIGHTS])
    if compile and "compile" in config:
        _compile(model, config, members.get(OPTIMIZER), decoder)
    return model


def _items(config: Mapping[str, Any], key: str, kind: type) -> list[Any]:
    """A list of one type."""
    found = config.get(key)
    if not isinstance(found, list) or not all(type(item) is kind for item in found):
        raise ValueError(f"{CONFIG}: {key} must be a list of {kind.__name__}")
    return found


def _numbers(config: Mapping[str, Any], key: str, below: int) -> list[int]:
    found = _items(config, key, int)
    if not all(0 <= i < below for i in found):
        raise ValueError(f"{CONFIG}: {key} has a number outside of 0 to {below - 1}")
    return found


def _kind(config: Mapping[str, Any], decoder: FileDecoder) -> type[Model]:
    from convkit.models.model import Model
    from convkit.models.sequential import Sequential

    if "class" in config:
        for known in (Model, Sequential):
            if config["class"] == known.__name__:
                return known
        raise ValueError(f"convkit has no class {config['class']!r} of models")
    kind = decoder.piece(config.get("custom"), "class")
    if not isinstance(kind, type) or not issubclass(kind, Model):
        raise ValueError(f"custom_objects[{config['custom']!r}] must be a subclass of Model")
    return kind


def _make(config: Mapping[str, Any], decoder: FileDecoder) -> Model:
    """The model, with layers that have no values yet."""
    from convkit.layers.input import InputLayer
    from convkit.models import graph
    from convkit.models.sequential import Sequential

    kind, layers = _kind(config, decoder), decoder.layers
    # Not made by the constructor, which may be anyone's: what it did is in the graph.
    model = kind.__new__(kind)
    name = config.get("name")
    if not isinstance(name, str):
        raise ValueError(f"{CONFIG}: name must be a string")
    model._begin(name)
    sources = [layers[i] for i in _numbers(config, "inputs", len(layers))]
    if not all(isinstance(layer, InputLayer) for layer in sources):
        raise ValueError(f"{CONFIG}: inputs must be layers of class InputLayer")
    nodes: list[Node] = [layer.node for layer in sources]
    used = []
    for call in _items(config, "calls", dict):
        (number,) = _numbers({"layer": [call.get("layer")]}, "layer", len(layers))
        inputs = [nodes[i] for i in _numbers(call, "inputs", len(nodes))]
        if call.get("training", False) is not False or not inputs:
            raise ValueError(f"{CONFIG}: a call has inputs, and training=False if anything")
        nodes += graph.apply(layers[number], inputs, inference="training" in call)
        used.append(layers[number])
    outputs = [nodes[i] for i in _numbers(config, "outputs", len(nodes))]
    if "chain" in config:
        used = [layers[i] for i in _numbers(config, "chain", len(layers))]
    if isinstance(model, Sequential):
        model._set_chain(used, nodes)
    elif not outputs or not nodes:
        raise ValueError(f"{CONFIG}: a model has inputs and outputs")
    else:
        model._set_graph(nodes[: len(sources)], outputs)
    return model


def _set_weights(model: Model, config: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """Give the model its weights, so that none is drawn."""
    parameters = {p.path: p for p in model.parameters}
    check_arrays(f"model {model.name!r}", {k: p.shape for k, p in parameters.items()}, arrays)
    flags = config.get("weights")
    if not isinstance(flags, dict) or set(flags) != set(parameters):
        raise ValueError(f"{CONFIG}: weights must be the flags of each weight")
    for path, p in parameters.items():
        if not isinstance(flags[path], dict):
            raise ValueError(f"{CONFIG}: {path} has flags {flags[path]!r}")
        for flag, value in flags[path].items():
            key = _FLAGS.get(flag)
            if key not in vars(p) or type(value) is not type(vars(p)[key]):
                raise ValueError(f"{CONFIG}: {path} has a flag {flag!r} of {value!r}")
            setattr(p, key, value)
        p.keep(arrays[path])
    if model.inputs:
        model.build()


def check_arrays(
    title: str, expected: Mapping[str, tuple[int, ...]], arrays: Mapping[str, Any]
) -> None:
    """Refuse arrays that are not those of a model, before anything is changed.

    Raises
    ------
    ValueError
        If a name is missing or too many, or a shape or dtype is another one.
    """
    told = []
    if missing := sorted(set(expected) - set(arrays)):
        told.append(f"lacks {', '.join(missing)}")
    if extra := sorted(set(arrays) - set(expected)):
        told.append(f"has also {', '.join(extra)}")
    if told:
        raise ValueError(f"{title} is another one: the file {' and '.join(told)}")
    for name, shape in expected.items():
        array = arrays[name]
        if array.shape != shape or array.dtype.kind != "f":
            raise ValueError(f"{name} is {array.dtype} {array.shape}, the model's is {shape}")


def _compile(
    model: Model, config: Mapping[str, Any], slots: Mapping[str, Any] | None, decoder: FileDecoder
) -> None:
    noted = config["compile"]
    if not isinstance(noted, dict):
        raise ValueError(f"{CONFIG}: compile must be an object")
    given = {k: decoder.value(v) for k, v in noted.items() if k not in ("slots", "state")}
    try:
        model.compile(**given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"what compile was given: {error}") from error
    if slots is None:
        return
    assert model._compiled is not None
    optimizer, count = model._compiled.optimizer, noted.get("slots")
    if type(count) is not int or not 0 <= count <= len(slots):
        raise ValueError(f"{CONFIG}: slots must be the number of states for each weight")
    expected = {f"{p.path}.{i}": p.shape for p in model.parameters for i in range(count)}
    done = slots.get("iterations")
    states = {name: array for name, array in slots.items() if name != "iterations"}
    check_arrays("the optimizer", expected, states)
    if done is None or done.shape != () or done.dtype != np.int64 or done < 0:
        raise ValueError(f"{OPTIMIZER}: iterations must be a number of steps")
    if "state" in noted:
        getattr(optimizer, "set_state")(decoder.value(noted["state"]))  # noqa: B009
    if count != optimizer.slots:
        raise ValueError(f"the optimizer has {optimizer.slots} states for each weight, not {count}")
    optimizer.iterations = int(done)
    store = model.store
    flat = np.zeros((count, store.count), store.dtype)
    for i in range(count):
        for p in model.parameters:
            store._cut(flat[i], p)[...] = states[f"{p.path}.{i}"]
    model._adopt(flat)
