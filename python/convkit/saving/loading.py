"""Loading models from files: see `convkit.saving.model` for what is in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convkit.ops.choosing.policy import known_names
from convkit.saving.classes import Pieces
from convkit.saving.estimators import estimator_from_members
from convkit.saving.files import StrPath, member_names, read_archive
from convkit.saving.model import (
    CONFIG,
    CONSTANTS,
    FLAGS,
    FORMAT,
    OPTIMIZER,
    SUFFIX,
    WEIGHTS,
    slot_arrays,
)
from convkit.saving.packing import unpack

if TYPE_CHECKING:
    from convkit.layers.base import Layer
    from convkit.models.graph import Node
    from convkit.models.model import Model

__all__ = ["load_model", "model_from_members"]


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
        With the same layers, names, weights and predictions. Or one of the models without layers,
        such as `convkit.models.Perceptron`, which have a ``save`` as well.

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
        path = path.with_suffix(SUFFIX)
    pieces = Pieces(custom_objects)
    names = member_names(path)
    if CONFIG not in names:
        raise ValueError(
            f"{path} is not the file of a model: it has {', '.join(names) or 'nothing'}"
        )
    wanted = [CONFIG, *(name for name in (WEIGHTS, CONSTANTS) if name in names)]
    wanted += [OPTIMIZER] if compile and OPTIMIZER in names else []
    members = read_archive(path, wanted)
    try:
        return _from_members(members, pieces, compile)
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
    return _from_members(members, Pieces(custom_objects), compile)


def _from_members(members: Mapping[str, Mapping[str, Any]], pieces: Pieces, compile: bool) -> Model:
    config, constants = members[CONFIG], members.get(CONSTANTS, {})
    version = config.get("format")
    if version != FORMAT:
        raise ValueError(
            f"it has format {version!r}, written by convkit {config.get('convkit')!r}; this one "
            f"reads format {FORMAT}"
        )
    if "estimator" in config:
        return estimator_from_members(members, pieces, constants)  # type: ignore[return-value]
    layers: list[Layer] = []
    for i, packed in enumerate(_items(config, "layers", dict)):
        try:
            layers.append(_layer(packed, pieces, constants, layers))
        except ValueError as error:
            raise ValueError(f"layer {i}: {error}") from error
    model = _make(_object(config, "model"), pieces, layers)
    _set_weights(model, _object(config, "weights"), members.get(WEIGHTS, {}))
    if compile and "compiled" in config:
        told = unpack(_object(config, "compiled"), pieces, constants, layers)
        recorded = known_names(f"model {model.name!r}", told.pop("kernels", None))
        try:
            model.compile(**told)
        except (TypeError, ValueError) as error:
            raise ValueError(f"what compile was given: {error}") from error
        model._policy.recorded.update(recorded)
        if "optimizer" in config:
            own = _object(config["optimizer"], "own")
            own = unpack(own, pieces, constants)
            _set_state(model, config["optimizer"], own, members.get(OPTIMIZER, {}))
    return model


def _layer(
    packed: dict[str, Any], pieces: Pieces, constants: Mapping[str, Any], layers: list[Layer]
) -> Layer:
    from convkit.layers.base import Layer

    inside = packed.get("inside", [])
    told = {key: value for key, value in packed.items() if key != "inside"}
    layer = unpack(told, pieces, constants, layers)
    if not isinstance(layer, Layer):
        raise ValueError(f"{str(packed)[:80]} is no layer")
    if inside and len(inside) != len(layer.inside):
        raise ValueError(f"it has {len(layer.inside)} layers in it, not {len(inside)}")
    for part, value in zip(layer.inside, inside):
        part.trainable = value is True
    return layer


def _object(config: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = config.get(key) if isinstance(config, dict) else None
    if not isinstance(found, dict):
        raise ValueError(f"{CONFIG}: {key} must be an object")
    return found


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


def _kind(config: Mapping[str, Any], pieces: Pieces) -> type[Model]:
    from convkit.models.model import Model
    from convkit.models.sequential import Sequential

    if "class" in config:
        for known in (Model, Sequential):
            if config["class"] == known.__name__:
                return known
        raise ValueError(f"convkit has no class {config['class']!r} of models")
    name = str(config.get("custom"))
    kind = pieces.custom(name, "class")
    if not isinstance(kind, type) or not issubclass(kind, Model):
        raise ValueError(f"custom_objects[{name!r}] must be a subclass of Model")
    return kind


def _make(config: Mapping[str, Any], pieces: Pieces, layers: list[Layer]) -> Model:
    """The model, with layers that have no values yet."""
    from convkit.layers.input import InputLayer
    from convkit.models import graph
    from convkit.models.sequential import Sequential

    kind = _kind(config, pieces)
    # Not made by the constructor, which may be anyone's: what it did is in the graph.
    model = kind.__new__(kind)
    name = config.get("name")
    if not isinstance(name, str):
        raise ValueError(f"{CONFIG}: name must be a string")
    model._begin(name)
    sources = [layers[i] for i in _numbers(config, "inputs", len(layers))]
    nodes: list[Node] = [layer.node for layer in sources if isinstance(layer, InputLayer)]
    if len(nodes) != len(sources):
        raise ValueError(f"{CONFIG}: inputs must be layers of class InputLayer")
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


def _set_weights(model: Model, flags: dict[str, Any], arrays: Mapping[str, Any]) -> None:
    """Give the model its weights, so that none is drawn."""
    parameters = {p.path: p for p in model.parameters}
    check_arrays(f"model {model.name!r}", {k: p.shape for k, p in parameters.items()}, arrays)
    if set(flags) != set(parameters):
        raise ValueError(f"{CONFIG}: weights must be the flags of each weight")
    for path, p in parameters.items():
        for flag, value in _object(flags, path).items():
            key = FLAGS.get(flag, "")
            if not key or type(value) is not type(vars(p)[key]):
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


def _set_state(
    model: Model, told: dict[str, Any], own: dict[str, Any], arrays: Mapping[str, Any]
) -> None:
    """Go on with the optimizer's state."""
    optimizer, store, done = model.optimizer, model.store, told.get("iterations")
    if type(done) is not int or not 0 <= done < 2**62:
        raise ValueError(f"{CONFIG}: the optimizer's iterations are {done!r}")
    count = optimizer.slots
    if told.get("slots") != count:
        raise ValueError(
            f"the optimizer has {count} states for each weight, not {told.get('slots')}"
        )
    optimizer.iterations = done
    model._adopt(np.zeros((count, store.count), store.dtype))
    slots = slot_arrays(store)
    check_arrays("the optimizer", {name: view.shape for name, view in slots.items()}, arrays)
    for name, view in slots.items():
        view[...] = arrays[name]
    if own:
        optimizer.set_state(own)
